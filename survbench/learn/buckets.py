"""Batches cut into parts that padded attention can compute together without changing a number."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import torch
from torch import Tensor

from survbench.learn.batch import BagBatch, Batch, GeneBatch

__all__ = ["buckets", "selected"]

ABSENT = -1


def selected(batch: Batch, rows: Tensor) -> Batch:
    """The patients at positions `rows` (b,) of a batch, in that order."""
    place = torch.full((len(batch),), ABSENT, device=rows.device)
    place[rows] = torch.arange(len(rows), device=rows.device)
    return replace(
        batch,
        case_id=tuple(batch.case_id[row] for row in rows.tolist()),
        modalities={
            name: _bags(modality, place)
            if isinstance(modality, BagBatch)
            else _genes(modality, place)
            for name, modality in batch.modalities.items()
        },
        interval=None if batch.interval is None else batch.interval[rows],
        event=None if batch.event is None else batch.event[rows],
    )


def _kept(rows: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Which entries of a modality stay, in their new order, and their new rows."""
    moved = place[rows]
    kept = moved.argsort()[int((moved == ABSENT).sum()) :]
    return kept, moved[kept]


def _bags(bags: BagBatch, place: Tensor) -> BagBatch:
    kept, rows = _kept(bags.rows, place)
    start, length = bags.length.cumsum(0) - bags.length, bags.length[kept]
    # patch i of a kept bag is i behind where that bag starts now, and where it started before
    moved = torch.repeat_interleave(start[kept] - (length.cumsum(0) - length), length)
    index = torch.arange(len(moved), device=place.device) + moved
    return BagBatch(features=bags.features[index], length=length, rows=rows)


def _genes(genes: GeneBatch, place: Tensor) -> GeneBatch:
    kept, rows = _kept(genes.rows, place)
    return replace(genes, values=genes.values[kept], rows=rows)


def buckets(batch: Batch, longest: int) -> list[tuple[Tensor, Batch]]:
    """Parts of a batch with their positions in it: all of a part have the same modalities.

    Bags of at most `longest` patches share a part, to be padded, with bags whose length rounds up
    to the same power of two; longer ones share it only with bags of equal length, so that their
    attention needs no mask.
    """
    size = torch.full((len(batch), len(batch.modalities)), ABSENT)
    for column, modality in enumerate(batch.modalities.values()):
        value = torch.zeros(len(modality), dtype=torch.long)
        if isinstance(modality, BagBatch):
            length = modality.length.cpu()
            rounded = 2 ** length.double().log2().ceil().long()
            value = torch.where(length <= longest, rounded, length + longest)
        size[modality.rows.cpu(), column] = value
    alike = defaultdict(list)
    for row, key in enumerate(size.tolist()):
        alike[tuple(key)].append(row)
    device = next(iter(batch.modalities.values())).rows.device
    parts = [torch.tensor(rows, device=device) for rows in alike.values()]
    if len(parts) == 1:
        return [(parts[0], batch)]
    return [(rows, selected(batch, rows)) for rows in parts]
