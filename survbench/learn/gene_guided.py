"""Gene-guided pathology: gene tokens query the patches, two small transformers read both sets.

The backbone of MCAT, which MOTCat and LD-CVAE share. Letters: B patients, g gene groups, T patches
of all patients, D patch width, H token width, K intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from survbench.errors import InputError
from survbench.learn.batch import BagBatch, Batch, Widths
from survbench.learn.coattention import CoAttention
from survbench.learn.dropout import Dropout
from survbench.learn.fusion import ConcatFusion, FusionKind, fusion_of
from survbench.learn.pooling import AttentionScore
from survbench.learn.snn import GroupSNN

__all__ = ["BagCoAttention", "GeneGuided", "GeneGuidedOptions", "TokenBranch"]


@dataclass(frozen=True)
class GeneGuidedOptions:
    """Sizes of a `GeneGuided`, and its fusion; the defaults are those of MCAT's code."""

    width: int = 256  # H, width of a token
    heads: int = 8  # of both transformers
    hidden: int = 512  # their feed-forward width
    layers: int = 2  # of each
    dropout: float = 0.25  # everywhere but in the guide and in fusion 'concat'
    fusion: FusionKind = "concat"  # its default; 'bilinear' is its gated outer product


class BagCoAttention(nn.Module):
    """What the gene tokens of each patient read from the patches of the patient's bag."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = CoAttention(width)

    def forward(self, gene: Tensor, token: Tensor, bags: BagBatch) -> Tensor:
        """Visual concepts (B, g, H) of gene tokens (B, g, H) and patch tokens (T, H) of B bags."""
        source, mask = bags.padded(token)
        concept: Tensor = self.attention(gene, source, None if bags.even else mask)
        return concept


class TokenBranch(nn.Module):
    """A set of tokens to one vector: post-norm transformer, gated attention pooling, dense layer.

    Raises
    ------
    InputError
        If the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            msg = f"heads is {heads}; it must divide the token width {width}"
            raise InputError(msg)
        layer = nn.TransformerEncoderLayer(width, heads, hidden, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.attend = AttentionScore(width, width, dropout=dropout)
        self.rho = nn.Sequential(nn.Linear(width, width), nn.ReLU(), Dropout(dropout))

    def forward(self, token: Tensor) -> Tensor:
        """Vectors (B, H) of tokens (B, L, H)."""
        vector: Tensor = self.rho(self.attend.pool(self.encoder(token)))
        return vector


class GeneGuided(nn.Module):
    """Patches and gene groups to hazard logits, by way of one visual concept per gene group.

    Parameters
    ----------
    widths
        Of a cohort with bags `P` and gene groups `G`.
    width
        H, of every token and vector.
    heads, hidden, layers
        Of the transformer over each set of tokens.
    dropout
        Everywhere but in the co-attention.
    guide
        Makes visual concepts, called as `BagCoAttention`, which it is if None.
    fusion
        Makes one vector (B, H) of two (B, H); `ConcatFusion` if None.
    """

    def __init__(
        self,
        widths: Widths,
        *,
        width: int = 256,
        heads: int = 8,
        hidden: int = 512,
        layers: int = 2,
        dropout: float = 0.25,
        guide: nn.Module | None = None,
        fusion: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(widths.patch["P"], width), nn.ReLU(), Dropout(dropout))
        self.genes = GroupSNN(widths.groups["G"], (width, width), dropout=dropout)
        self.guide = BagCoAttention(width) if guide is None else guide
        self.branches = nn.ModuleDict(
            {name: TokenBranch(width, heads, hidden, layers, dropout) for name in ("P", "G")}
        )
        self.fuse = ConcatFusion(width) if fusion is None else fusion
        self.head = nn.Linear(width, widths.intervals)

    @classmethod
    def of(
        cls, options: GeneGuidedOptions, widths: Widths, guide: nn.Module | None = None
    ) -> GeneGuided:
        """The net with these options; both drop-outs of 'bilinear' are the options' own."""
        fusion = fusion_of(
            options.fusion,
            options.width,
            dropout=options.dropout,
            encoder_dropout=options.dropout,
        )
        return cls(
            widths,
            width=options.width,
            heads=options.heads,
            hidden=options.hidden,
            layers=options.layers,
            dropout=options.dropout,
            guide=guide,
            fusion=fusion,
        )

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of patients who have both modalities."""
        bags = batch.bags("P")
        return self.logits(self.genes(batch.genes("G")), self.embed(bags.features), bags)

    def logits(self, gene: Tensor, token: Tensor, bags: BagBatch) -> Tensor:
        """Hazard logits (B, K) of gene tokens (B, g, H) and patch tokens (T, H) of B bags."""
        return self.judge(self.guide(gene, token, bags), gene)

    def judge(self, concept: Tensor, gene: Tensor) -> Tensor:
        """Hazard logits (B, K) of visual concepts and gene tokens, (B, g, H) each."""
        logits: Tensor = self.head(self.fuse(self.branches["P"](concept), self.branches["G"](gene)))
        return logits
