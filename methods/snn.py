"""SNN: a self-normalising network on one gene vector; genomics only.

Source: Klambauer et al., Self-Normalizing Neural Networks, NeurIPS 2017, as the survival baseline
    of PORPOISE's code (four blocks Linear, ELU, AlphaDropout; LeCun-normal weights, no biases).
Missing modality: no mechanism; without G there is no prediction, without P nothing changes.
Departs: genes in several groups enter once (union of the groups); L1 off and balanced sampling off
    (both on in preset `paper`); `l1` counts per optimiser step, where the official 1e-5 is added at
    each of 32 accumulated patients and so equals 32e-5 here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from survbench.learn import NeuralMethod, Recipe, Stage, Widths
from survbench.learn.penalty import with_l1
from survbench.learn.snn import (
    GeneVectorNet,
    SNNActivation,
    gene_columns,
    lecun_normal_,
    snn_blocks,
)


@dataclass(frozen=True)
class SNNConfig(Recipe):
    """Hyperparameters; network and recipe are those of PORPOISE's code."""

    hidden: tuple[int, ...] = (256, 256, 256, 256)  # its 'big': 1024, 1024, 1024, 256
    activation: SNNActivation = "elu"  # official code; 'selu' is the paper
    dropout: float = 0.25  # official code
    l1: float = 0.0  # per optimiser step, on weights and biases of the blocks; official 32e-5
    ungrouped: bool = False  # also read the columns that are in no gene group


class SNNNet(GeneVectorNet):
    """Gene vector through self-normalising blocks to hazard logits."""

    def __init__(self, config: SNNConfig, widths: Widths) -> None:
        columns = gene_columns(widths, "G", ungrouped=config.ungrouped)
        blocks = snn_blocks(
            len(columns), config.hidden, activation=config.activation, dropout=config.dropout
        )
        super().__init__(columns, blocks, config.hidden[-1], widths.intervals)
        lecun_normal_(self)


class SNN(NeuralMethod):
    """Self-normalising network on genes; see the module docstring."""

    uses = frozenset({"G"})
    Config = SNNConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"hidden": (64, 64), "epochs": 10, "lr": 1e-3},
        "paper": {"sampler": "balanced", "l1": 32e-5},  # PORPOISE's commands
        "survpath": {
            "hidden": (256, 256),
            "optimiser": "radam",
            "lr": 5e-4,
            "weight_decay": 1e-4,
            "epochs": 5,
            "batch": 1,
            "schedule": "cosine_warmup",
            "sampler": "balanced",
            "alpha": 0.5,
        },  # its scripts/snn.sh
    }

    def build(self, widths: Widths) -> nn.Module:
        """SNN for the cohort's gene groups."""
        return SNNNet(self.config, widths)

    def stages(self) -> list[Stage]:
        """One stage by the recipe, with the L1 term of the blocks where it is on."""
        return with_l1(super().stages(), self.config.l1, lambda net: net.get_submodule("blocks"))
