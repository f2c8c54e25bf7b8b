"""TransMIL: a two-layer Nystrom transformer over one patient's patches; pathology only.

Source: Shao et al., TransMIL, NeurIPS 2021, with Xiong et al., Nystromformer, AAAI 2021; the
    logits are read as discrete hazards.
Missing modality: no mechanism; without P there is no prediction, without G nothing changes.
Departs: bags within the landmarks are attended exactly, better and tens of times cheaper
    (`attention=nystrom`: never); the pseudo-inverse is scaled per patient (official: per batch), so
    that nobody's risk depends on company; recipe of MCAT's code (Adam, nll_surv) instead of
    Lookahead-RAdam with early stopping on cross entropy, as the survival tables do; full precision
    instead of half.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from survbench.learn import Batch, NeuralMethod, Recipe, Widths
from survbench.learn.dropout import Dropout
from survbench.learn.nystrom import AttentionKind, NystromAttention
from survbench.learn.transmil import TransMILEncoder, equal_groups, in_order, square_groups


@dataclass(frozen=True)
class TransMILConfig(Recipe):
    """Hyperparameters; network as the official code, recipe as MCAT's."""

    width: int = 512  # H, width of a token
    heads: int = 8
    head_width: int | None = None  # H / heads where None
    landmarks: int | None = None  # H / 2 where None
    iterations: int = 6  # of the pseudo-inverse
    kernel: int = 33  # of the value convolution
    ppeg_kernels: tuple[int, ...] = (7, 5, 3)
    dropout: float = 0.1  # after the attention
    attention: AttentionKind = "auto"  # exact within the landmarks; 'nystrom' as the official code
    mask_padding: bool = False  # True keeps zero rows out of the softmax; official code does not
    tmil: bool = False  # SurvPath's small network of the same name, see TMILNet


class TransMILNet(nn.Module):
    """Patches to tokens to a class token over a square grid to hazard logits."""

    def __init__(self, config: TransMILConfig, widths: Widths) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(widths.patch["P"], config.width), nn.ReLU(inplace=True)
        )
        self.encoder = TransMILEncoder(
            config.width,
            ppeg_kernels=config.ppeg_kernels,
            heads=config.heads,
            head_width=config.head_width,
            landmarks=config.landmarks,
            iterations=config.iterations,
            kernel=config.kernel,
            dropout=config.dropout,
            attention=config.attention,
            mask_padding=config.mask_padding,
        )
        self.head = nn.Linear(config.width, widths.intervals)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch whose P is B ragged bags, (T, D) in all."""
        bags = batch.bags("P")
        token = self.embed(bags.features)  # (T, H)
        groups = square_groups(bags.length)
        patient = [self.encoder(token[index])[:, 0] for _, index in groups]  # each (b, H)
        logits: Tensor = self.head(in_order(patient, groups))
        return logits


class TMILNet(nn.Module):
    """SurvPath's "TransMIL": one Nystrom attention, no class token, mean over the tokens."""

    def __init__(self, config: TransMILConfig, widths: Widths) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(widths.patch["P"], config.width), nn.ReLU(inplace=True), Dropout(0.25)
        )
        self.attention = NystromAttention(
            config.width,
            heads=config.heads,
            head_width=config.head_width,
            landmarks=config.landmarks,
            iterations=config.iterations,
            kernel=None,
            dropout=config.dropout,
            attention=config.attention,
            mask_padding=config.mask_padding,
        )
        self.head = nn.Linear(config.width, widths.intervals)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch whose P is B ragged bags, (T, D) in all."""
        bags = batch.bags("P")
        token = self.embed(bags.features)  # (T, H)
        groups = equal_groups(bags.length)
        patient = [self.attention(token[index]).mean(dim=1) for _, index in groups]
        logits: Tensor = self.head(in_order(patient, groups))
        return logits


class TransMIL(NeuralMethod):
    """Nystrom transformer over patches; see the module docstring."""

    uses = frozenset({"P"})
    resumes = True
    Config = TransMILConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"width": 64, "landmarks": 128, "epochs": 10, "lr": 1e-3},
        "survpath_tmil": {
            "tmil": True,
            "width": 256,
            "heads": 1,
            "head_width": 128,
            "landmarks": 256,
        },
    }

    def build(self, widths: Widths) -> nn.Module:
        """TransMIL for patches of the cohort's width."""
        return (TMILNet if self.config.tmil else TransMILNet)(self.config, widths)
