"""Stacks of dense blocks for gene vectors: self-normalising (SNN) and plain (MLP)."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from survbench.errors import InputError
from survbench.learn.batch import Batch, GeneBatch, Widths
from survbench.learn.dropout import Dropout

__all__ = [
    "GeneVectorNet",
    "GroupSNN",
    "SNNActivation",
    "dense_block",
    "gene_columns",
    "lecun_normal_",
    "mlp_blocks",
    "mlp_head",
    "snn_blocks",
    "xavier_normal_",
]

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
        *(dense_block(before, after, dropout) for before, after in pairwise([width, *hidden]))
    )


def dense_block(width: int, hidden: int, dropout: float) -> nn.Sequential:
    """Linear, ReLU, Dropout."""
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), Dropout(dropout))


def mlp_head(width: int, hidden: int, outputs: int, *, dropout: float) -> nn.Sequential:
    """Linear, ReLU, Dropout, Linear, from `width` through `hidden` to `outputs`."""
    return nn.Sequential(*dense_block(width, hidden, dropout), nn.Linear(hidden, outputs))


def lecun_normal_(net: nn.Module) -> None:
    """Draw every Linear weight of `net` from N(0, 1 / fan_in) and set every bias to 0."""
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_features))
            nn.init.zeros_(module.bias)


def xavier_normal_(net: nn.Module) -> None:
    """Draw every Linear weight of `net` from N(0, 2 / (fan_in + fan_out)), set every bias to 0."""
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def gene_columns(widths: Widths, modality: str, *, ungrouped: bool = False) -> Tensor:
    """Columns (C',) of the union of a modality's gene groups, rising; all where `ungrouped`."""
    if ungrouped:
        return torch.arange(widths.columns[modality])
    return torch.tensor(sorted(set().union(*widths.groups[modality].values())))


class GeneVectorNet(nn.Module):
    """One gene vector of all groups through dense blocks to hazard logits.

    Parameters
    ----------
    columns
        Columns (C',) that are read.
    blocks
        From width C' to width `hidden`.
    hidden, intervals
        Sizes of the head.
    """

    def __init__(self, columns: Tensor, blocks: nn.Sequential, hidden: int, intervals: int) -> None:
        super().__init__()
        self.columns: Tensor
        self.register_buffer("columns", columns, persistent=False)
        self.blocks = blocks
        self.head = nn.Linear(hidden, intervals)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch whose G is B gene vectors."""
        gene = batch.genes("G").values[:, self.columns]
        logits: Tensor = self.head(self.blocks(gene))
        return logits


class GroupSNN(nn.ModuleList):
    """One self-normalising stack for each gene group, which makes a token of it.

    Parameters
    ----------
    groups
        Column indices of each group; their order is that of the tokens.
    hidden
        Widths of the blocks, the last of them H.
    dropout
        Of the blocks.
    """

    def __init__(
        self, groups: Mapping[str, Sequence[int]], hidden: Sequence[int], *, dropout: float = 0.25
    ) -> None:
        super().__init__(
            snn_blocks(len(columns), hidden, dropout=dropout) for columns in groups.values()
        )
        self.groups = tuple(groups)

    def forward(self, genes: GeneBatch) -> Tensor:
        """Tokens (n, groups, H) of n patients."""
        pairs = zip(self.groups, self, strict=True)
        return torch.stack([blocks(genes.group(name)) for name, blocks in pairs], dim=1)
