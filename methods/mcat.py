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
from survbench.learn.gene_guided import GeneGuided, GeneGuidedOptions


@dataclass(frozen=True)
class MCATConfig(GeneGuidedOptions, Recipe):
    """Hyperparameters; network (GeneGuidedOptions) and recipe are those of the official code."""


class MCAT(NeuralMethod):
    """Multimodal co-attention transformer; see the module docstring."""

    uses = frozenset({"P", "G"})
    fill = "zero"
    resumes = True
    Config = MCATConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"width": 64, "hidden": 128, "epochs": 10, "lr": 1e-3},
        "paper": {"sampler": "balanced"},  # its main script
    }

    def build(self, widths: Widths) -> nn.Module:
        """MCAT for the cohort's patches and gene groups."""
        return GeneGuided.of(self.config, widths)
