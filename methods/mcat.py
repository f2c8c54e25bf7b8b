"""MCAT: gene groups query the patches by co-attention; two set transformers read both sides.

Source: Chen et al., Multimodal Co-Attention Transformer for Survival Prediction in Gigapixel Whole
    Slide Images, ICCV 2021, with its code.
Missing modality: no mechanism; zero genes, or one zero patch, stand in (`*` in every table). The
    genes' biases still query the bag; the number of zero patches would not matter.
Departs: balanced sampling is off (on in preset `paper`), since it changes the prior of the loss;
    `dropout` is a real rate, where the official attention pooling has 0.25 whatever is asked for;
    one width, since the official code breaks with its wider patch network; its optional L1, off
    there too, is left out. The last step of an epoch takes the patients left over, whose gradients
    the official code carries into the next epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from survbench.learn import NeuralMethod, Recipe, Widths
from survbench.learn.fusion import FusionKind, fusion_of
from survbench.learn.gene_guided import GeneGuided


@dataclass(frozen=True)
class MCATConfig(Recipe):
    """Hyperparameters; network and recipe are those of the official code."""

    width: int = 256  # H, width of a token
    heads: int = 8  # of both transformers
    hidden: int = 512  # their feed-forward width
    layers: int = 2  # of each
    dropout: float = 0.25  # everywhere but in the co-attention and in fusion 'concat'
    fusion: FusionKind = "concat"  # official default; 'bilinear' is its gated outer product


class MCATNet(GeneGuided):
    """Patches and gene groups to visual concepts to hazard logits."""

    def __init__(self, config: MCATConfig, widths: Widths) -> None:
        super().__init__(
            widths,
            width=config.width,
            heads=config.heads,
            hidden=config.hidden,
            layers=config.layers,
            dropout=config.dropout,
            fusion=fusion_of(
                config.fusion,
                config.width,
                dropout=config.dropout,
                encoder_dropout=config.dropout,
            ),
        )


class MCAT(NeuralMethod):
    """Multimodal co-attention transformer; see the module docstring."""

    uses = frozenset({"P", "G"})
    fill = "zero"
    Config = MCATConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"width": 64, "hidden": 128, "epochs": 10, "lr": 1e-3},
        "paper": {"sampler": "balanced"},  # its main script
    }

    def build(self, widths: Widths) -> nn.Module:
        """MCAT for the cohort's patches and gene groups."""
        return MCATNet(self.config, widths)
