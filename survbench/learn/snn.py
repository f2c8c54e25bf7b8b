"""Stacks of dense blocks for gene vectors: self-normalising (SNN) and plain (MLP)."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from survbench.errors import InputError
from survbench.learn.batch import Widths

__all__ = ["SNNActivation", "gene_columns", "lecun_normal_", "mlp_blocks", "snn_blocks"]

SNNActivation = Literal["elu", "selu"]


def snn_blocks(
    width: int,
    hidden: Sequence[int],
    *,
    activation: SNNActivation = "elu",
    dropout: float = 0.25,
) -> nn.Sequential:
    """Blocks Linear, ELU or SELU, AlphaDropout, from `width` through the `hidden` widths.

    Weights start as torch's defaults; a self-normalising network wants `lecun_normal_` on top,
    the gene encoders of the multimodal networks (same blocks) do not.

    Raises
    ------
    InputError
        If `activation` is neither 'elu' (all public survival code) nor 'selu' (the paper).
    """
    kinds: dict[str, type[nn.Module]] = {"elu": nn.ELU, "selu": nn.SELU}
    if activation not in kinds:
        msg = f"activation is {activation!r}; it must be 'elu' or 'selu'"
        raise InputError(msg)
    return nn.Sequential(
        *(
            nn.Sequential(nn.Linear(before, after), kinds[activation](), nn.AlphaDropout(dropout))
            for before, after in pairwise([width, *hidden])
        )
    )


def mlp_blocks(width: int, hidden: Sequence[int], *, dropout: float = 0.25) -> nn.Sequential:
    """Blocks Linear, ReLU, Dropout, from `width` through the `hidden` widths."""
    return nn.Sequential(
        *(
            nn.Sequential(nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout))
            for before, after in pairwise([width, *hidden])
        )
    )


def lecun_normal_(net: nn.Module) -> None:
    """Draw every Linear weight of `net` from N(0, 1 / fan_in) and set every bias to 0."""
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_features))
            nn.init.zeros_(module.bias)


def gene_columns(widths: Widths, modality: str, *, ungrouped: bool = False) -> Tensor:
    """Columns (C',) of the union of a modality's gene groups, rising; all where `ungrouped`."""
    if ungrouped:
        return torch.arange(widths.columns[modality])
    return torch.tensor(sorted(set().union(*widths.groups[modality].values())))
