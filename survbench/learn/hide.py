"""Who has what in a batch, and batches from which a modality is taken.

Letters: B patients, M modalities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from survbench.learn.batch import BagBatch, Batch

__all__ = ["present_in", "without"]


def present_in(batch: Batch, names: Sequence[str]) -> Tensor:
    """Who has which of the modalities `names`, (B, M)."""
    rows = [batch.modalities[name].rows for name in names]
    present = torch.zeros(len(batch), len(rows), dtype=torch.bool, device=rows[0].device)
    for column, row in enumerate(rows):
        present[row, column] = True
    return present


def without(batch: Batch, name: str) -> Batch:
    """The batch in which nobody has modality `name`."""
    modality = batch.modalities[name]
    emptied = (
        BagBatch(modality.features[:0], modality.length[:0], modality.rows[:0])
        if isinstance(modality, BagBatch)
        else replace(modality, values=modality.values[:0], rows=modality.rows[:0])
    )
    return replace(batch, modalities={**batch.modalities, name: emptied})
