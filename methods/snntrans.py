"""SNNTrans: one SNN per gene group, then TransMIL over the groups; genomics only.

Source: named in the tables of AdaMHF and of CMTA's line of papers (Zhou & Chen, ICCV 2023); nobody
    published code. Original: gene encoders and initialisation as CMTA's code, aggregation as
    TransMIL's (Shao et al., NeurIPS 2021). Adapted: how the two are joined, which no paper states.
Missing modality: no mechanism; without G there is no prediction, without P nothing changes.
Departs: there is no official code to depart from; these are choices. TransMIL's own embedding of
    patches is left out, the SNNs embed. Six groups (any number here) fill a square by repeating the
    first ones and lie on it in the cohort's order, which means nothing, but makes the order matter;
    `ppeg=False` drops square and positions, as CMTA's gene encoder. Groups are fewer than landmarks
    and so attend exactly, where the official layer would mix them with 118 zero rows
    (`attention=nystrom`; `mask_padding` keeps the rows out). Discrete hazards instead of classes;
    recipe of SNN; CMTA's own for its network is preset `cmta`, without the choice of the best
    epoch; balanced sampling is off elsewhere, since it changes the prior of the loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from survbench.learn import Batch, GeneBatch, NeuralMethod, Recipe, Widths
from survbench.learn.nystrom import AttentionKind
from survbench.learn.snn import GroupSNN, xavier_normal_
from survbench.learn.transmil import TransMILEncoder, square

CLASS_STD = 1e-6  # CMTA's code


@dataclass(frozen=True)
class SNNTransConfig(Recipe):
    """Hyperparameters; encoders as CMTA's code, aggregation as TransMIL's, recipe as SNN's."""

    hidden: int = 1024  # inside the SNN of a group; MCAT's code has 256
    width: int = 256  # H, width of a token
    gene_dropout: float = 0.25  # CMTA's code
    heads: int = 8
    landmarks: int | None = None  # H / 2 where None
    iterations: int = 6  # of the pseudo-inverse
    kernel: int = 33  # of the value convolution
    ppeg: bool = True  # False: no square and no positions, as CMTA's gene encoder
    ppeg_kernels: tuple[int, ...] = (7, 5, 3)
    dropout: float = 0.1  # after the attention
    attention: AttentionKind = "auto"  # exact within the landmarks; 'nystrom' as the official code
    mask_padding: bool = False  # True keeps zero rows out of the softmax; official code does not


class SNNTransNet(nn.Module):
    """Gene groups to tokens to a class token to hazard logits."""

    def __init__(self, config: SNNTransConfig, widths: Widths) -> None:
        super().__init__()
        self.embed = GroupSNN(
            widths.groups["G"], (config.hidden, config.width), dropout=config.gene_dropout
        )
        self.encoder = TransMILEncoder(
            config.width,
            class_std=CLASS_STD,
            ppeg_kernels=config.ppeg_kernels if config.ppeg else (),
            heads=config.heads,
            landmarks=config.landmarks,
            iterations=config.iterations,
            kernel=config.kernel,
            dropout=config.dropout,
            attention=config.attention,
            mask_padding=config.mask_padding,
        )
        self.head = nn.Linear(config.width, widths.intervals)
        xavier_normal_(self)

    def patient(self, genes: GeneBatch) -> Tensor:
        """Class tokens (B, H) that have read the groups of B patients."""
        token = self.embed(genes)  # (B, groups, H)
        if self.encoder.ppeg is not None:
            token = square(token)
        encoded: Tensor = self.encoder(token)
        return encoded[:, 0]

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch whose G is the gene groups of B patients."""
        logits: Tensor = self.head(self.patient(batch.genes("G")))
        return logits


class SNNTrans(NeuralMethod):
    """Self-normalising networks and a transformer on gene groups; see the module docstring."""

    uses = frozenset({"G"})
    Config = SNNTransConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"hidden": 64, "width": 64, "epochs": 10, "lr": 1e-3},
        "mcat": {"hidden": 256},  # gene encoders as MCAT's code
        "cmta": {
            "optimiser": "sgd",
            "lr": 1e-3,
            "epochs": 30,
            "batch": 1,
            "sampler": "balanced",
        },  # its run script
    }

    def build(self, widths: Widths) -> nn.Module:
        """SNNTrans for the cohort's gene groups."""
        return SNNTransNet(self.config, widths)
