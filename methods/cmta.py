"""CMTA: each modality encoded, translated into the other, and pulled towards its own encoding.

Source: Zhou & Chen, Cross-Modal Translation and Alignment for Survival Analysis, ICCV 2023, with
    its code: two Nystrom encoders, two cross attentions, two decoders, an L1 alignment.
Missing modality: no mechanism, since each decoder reads the tokens of both; zero genes, or one zero
    patch, stand in (`*` in every table). The number of zero patches would matter: one, always.
Departs: sequences within the landmarks are attended exactly (`attention=nystrom`: never), so that
    the 7 tokens of the genes no longer share their softmax with 121 zero rows; longer ones get zero
    rows as in the official code unless `mask_padding`; one alignment weight for all cohorts, 1, the
    authors' for three of five (presets `paper_brca`, `paper_luad`: theirs, tuned on these
    patients); balanced sampling is off (on in presets `paper*`), since it changes the prior of the
    loss; last epoch instead of the best on the reported fold; weights are drawn once; no sampling
    of patches, which is also random at evaluation in the official code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from survbench.learn import Batch, NeuralMethod, Recipe, Widths, nll_surv
from survbench.learn.coattention import CoAttention
from survbench.learn.fusion import FusionKind, fusion_of
from survbench.learn.nystrom import AttentionKind
from survbench.learn.snn import GroupSNN, mlp_blocks, xavier_normal_
from survbench.learn.transmil import TransMILEncoder, in_order, square_groups

CLASS_STD = 1e-6


@dataclass(frozen=True)
class CMTAConfig(Recipe):
    """Hyperparameters; network and recipe are those of the official code."""

    width: int = 256  # H, width of a token
    gene_hidden: int = 1024  # of the gene groups' first layer
    heads: int = 8
    landmarks: int | None = None  # H / 2 where None
    iterations: int = 6  # of the pseudo-inverse
    attention: AttentionKind = "auto"  # exact within the landmarks; 'nystrom' as the official code
    mask_padding: bool = False  # True keeps zero rows out of the softmax; official code does not
    dropout: float = 0.1  # after the attention
    embed_dropout: float = 0.25  # of patches and genes before the encoders
    fusion: FusionKind = "concat"  # all official commands; 'bilinear' is MCAT's
    weight_alignment: float = 1.0  # BLCA, GBMLGG and UCEC; BRCA 100, LUAD 1e-4, command line 0.5
    epochs: int = 30
    batch: int = 1
    optimiser: str = "sgd"
    lr: float = 1e-3


@dataclass
class ClassTokens:
    """Vectors (B, H) of a patient's modalities, each encoded and translated from the other."""

    patch: Tensor
    patch_made: Tensor
    gene: Tensor
    gene_made: Tensor

    def misalignment(self) -> Tensor:
        """Mean distance (B,) of what was translated from what was encoded, which stays put."""
        patch = (self.patch.detach() - self.patch_made).abs().mean(dim=1)
        gene = (self.gene.detach() - self.gene_made).abs().mean(dim=1)
        return patch + gene


class CMTANet(nn.Module):
    """Patches and gene groups to two pairs of class tokens to hazard logits."""

    def __init__(self, config: CMTAConfig, widths: Widths) -> None:
        super().__init__()
        width, drop = config.width, config.embed_dropout
        hidden = (config.gene_hidden, width)
        self.embed_patch = mlp_blocks(widths.patch["P"], (width, width), dropout=drop)
        self.embed_gene = GroupSNN(widths.groups["G"], hidden, dropout=drop)
        self.encode_patch, self.decode_patch = _transformer(config), _transformer(config)
        self.encode_gene, self.decode_gene = (
            _transformer(config, positions=False),
            _transformer(config, positions=False),
        )
        self.patch_reads, self.gene_reads = CoAttention(width), CoAttention(width)
        self.fuse = fusion_of(config.fusion, width)
        self.head = nn.Linear(width, widths.intervals)
        xavier_normal_(self)
        for reads in (self.patch_reads, self.gene_reads):
            nn.init.xavier_uniform_(reads.inward.weight)  # as torch's packed attention

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch whose P is B ragged bags, and whose G is B patients."""
        return self.logits(self.tokens(batch))

    def logits(self, tokens: ClassTokens) -> Tensor:
        """Hazard logits (B, K) of the mean of each encoded and translated pair."""
        patch = (tokens.patch + tokens.patch_made) / 2
        gene = (tokens.gene + tokens.gene_made) / 2
        logits: Tensor = self.head(self.fuse(patch, gene))
        return logits

    def tokens(self, batch: Batch) -> ClassTokens:
        """Class tokens of all patients; bags of the same square are computed together."""
        bags = batch.bags("P")
        token = self.embed_patch(bags.features)  # (T, H)
        gene = self.encode_gene(self.embed_gene(batch.genes("G")))  # (B, 1 + M, H)
        groups = square_groups(bags.length)
        parts = [self._exchanged(token[index], gene[which, 1:]) for which, index in groups]
        patch, patch_made, gene_read = (in_order(part, groups) for part in zip(*parts, strict=True))
        return ClassTokens(patch, patch_made, gene[:, 0], self.decode_gene.classes(gene_read)[:, 0])

    def _exchanged(self, patch: Tensor, gene: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Patches (b, H) encoded, patches (b, H) made of genes, and what genes read (b, M, H).

        Of embedded patches (b, s*s, H) that fill a square, and encoded genes (b, M, H).
        """
        encoded = self.encode_patch(patch)  # (b, 1 + s*s, H)
        made = self.decode_patch.classes(self.patch_reads(encoded[:, 1:], gene))
        return encoded[:, 0], made[:, 0], self.gene_reads(gene, encoded[:, 1:])


def _transformer(config: CMTAConfig, *, positions: bool = True) -> TransMILEncoder:
    """Encoder or decoder: of patches with positions by convolution, of genes without."""
    return TransMILEncoder(
        config.width,
        class_std=CLASS_STD,
        ppeg_kernels=(7, 5, 3) if positions else (),
        heads=config.heads,
        landmarks=config.landmarks,
        iterations=config.iterations,
        attention=config.attention,
        mask_padding=config.mask_padding,
        dropout=config.dropout,
    )


class CMTA(NeuralMethod):
    """Cross-modal translation and alignment; see the module docstring."""

    uses = frozenset({"P", "G"})
    fill = "zero"
    resumes = True
    Config = CMTAConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {
            "width": 64,
            "gene_hidden": 64,
            "heads": 4,
            "landmarks": 128,
            "epochs": 5,
            "batch": 32,
            "optimiser": "adam",
            "lr": 2e-3,
        },  # one patient per step would take minutes
        "paper": {"sampler": "balanced"},
        "paper_brca": {"sampler": "balanced", "weight_alignment": 100.0},
        "paper_luad": {"sampler": "balanced", "weight_alignment": 1e-4},
    }

    def build(self, widths: Widths) -> nn.Module:
        """CMTA for the cohort's patches and gene groups."""
        return CMTANet(self.config, widths)

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """Likelihood and alignment (B,) of each patient."""
        cmta = cast("CMTANet", net)
        tokens = cmta.tokens(batch)
        likelihood = nll_surv(cmta.logits(tokens), *batch.outcome, alpha=self.config.alpha)
        loss: Tensor = likelihood + self.config.weight_alignment * tokens.misalignment()
        return loss
