"""Batches that are ragged and hold any modalities: only what is present is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from survbench.cohort import Bags, Cohort, GeneGroups

PATCH_BUDGET = 16_384  # padded patches computed together, so that memory stays bounded
PATIENT_BUDGET = 256


@dataclass(frozen=True)
class Widths:
    """Sizes a net is built for, in the order of the cohort's modalities.

    Parameters
    ----------
    patch : mapping of modality to int
        Patch width D of each bag modality.
    columns : mapping of modality to int
        Number of distinct gene columns C of each gene modality.
    groups : mapping of modality to mapping of group to tuple of int
        Column indices of each gene group.
    intervals : int
        Number of hazards K.
    order : tuple of str
        Names of all modalities.
    """

    patch: Mapping[str, int]
    columns: Mapping[str, int]
    groups: Mapping[str, Mapping[str, tuple[int, ...]]]
    intervals: int
    order: tuple[str, ...]

    @classmethod
    def of(cls, cohort: Cohort, intervals: int) -> Widths:
        """Widths of the cohort's modalities, and K hazards."""
        genes = {n: m for n, m in cohort.modalities.items() if isinstance(m, GeneGroups)}
        return cls(
            patch={n: m.width for n, m in cohort.modalities.items() if isinstance(m, Bags)},
            columns={name: modality.width for name, modality in genes.items()},
            groups={
                name: {group: tuple(index.tolist()) for group, index in modality.groups.items()}
                for name, modality in genes.items()
            },
            intervals=intervals,
            order=tuple(cohort.modalities),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a fit's facts."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Widths from the plain values of `to_json`."""
        return cls(**{**values, "order": tuple(values["order"])})


@dataclass(eq=False)
class BagBatch:
    """Bags of the patients in a batch who have one, laid end to end.

    Parameters
    ----------
    features : Tensor (T, D)
        All patches.
    length : Tensor (n,)
        Patches of each bag, at least 1.
    rows : Tensor (n,)
        Position in the batch of the patient each bag belongs to.
    """

    features: Tensor
    length: Tensor
    rows: Tensor

    def __post_init__(self) -> None:
        count = len(self.length)
        self.longest = int(self.length.max()) if count else 0
        self.even = bool((self.length == self.longest).all())
        bag = torch.arange(count, device=self.length.device)
        self.segment = torch.repeat_interleave(bag, self.length)  # (T,), bag of each patch
        first = torch.cumsum(self.length, 0) - self.length
        patch = torch.arange(len(self.segment), device=self.length.device)
        self.position = patch - first[self.segment]  # (T,), place of each patch in its bag

    def __len__(self) -> int:
        return len(self.length)

    def sum(self, values: Tensor) -> Tensor:
        """Sum over each bag: (T, H) to (n, H), or (T,) to (n,)."""
        if self.even:
            return values.reshape(len(self), self.longest, *values.shape[1:]).sum(dim=1)
        return values.new_zeros(len(self), *values.shape[1:]).index_add(0, self.segment, values)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over each bag: (T, H) to (n, H), or (T,) to (n,)."""
        total = self.sum(values)
        return total / self.length.reshape(-1, *[1] * (total.dim() - 1))

    def softmax(self, score: Tensor) -> Tensor:
        """Softmax of (T,) over each bag: non-negative, sums to 1 in a bag."""
        top = score.new_full((len(self),), -torch.inf)
        top = top.scatter_reduce(0, self.segment, score.detach(), "amax")
        weight = torch.exp(score - top[self.segment])
        return weight / self.sum(weight)[self.segment]

    def padded(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Values (T, H) as (n, L, H) with zeros behind, and a mask (n, L), True where real."""
        shape = (len(self), self.longest)
        if self.even:
            real = torch.ones(shape, dtype=torch.bool, device=values.device)
            return values.reshape(*shape, *values.shape[1:]), real
        place = torch.arange(self.longest, device=values.device)
        real = place[None, :] < self.length[:, None]
        out = values.new_zeros(*shape, *values.shape[1:])
        return out.index_put((self.segment, self.position), values), real

    def unpadded(self, tokens: Tensor) -> Tensor:
        """Real entries (T, H) of padded tokens (n, L, H)."""
        if self.even:
            return tokens.reshape(-1, *tokens.shape[2:])
        return tokens[self.segment, self.position]


@dataclass(eq=False)
class GeneBatch:
    """Gene measurements of the patients in a batch who have them.

    Parameters
    ----------
    values : Tensor (n, C)
        Each column once.
    rows : Tensor (n,)
        Position in the batch of the patient each row belongs to.
    groups : mapping of name to Tensor
        Column indices of each group.
    """

    values: Tensor
    rows: Tensor
    groups: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.values)

    def group(self, name: str) -> Tensor:
        """Values (n, C_g) of one group."""
        return self.values[:, self.groups[name]]


@dataclass(eq=False)
class Batch:
    """Some patients, ready for a net.

    Parameters
    ----------
    case_id : tuple of str
        Opaque ids of the B patients.
    modalities : mapping of name to BagBatch or GeneBatch
        What they have; `rows` of each tells who.
    interval : Tensor (B,) or None
        Interval of each patient's time, in training.
    event : Tensor (B,) or None
        1.0 where the death was seen, in training.
    """

    case_id: tuple[str, ...]
    modalities: Mapping[str, BagBatch | GeneBatch]
    interval: Tensor | None = None
    event: Tensor | None = None

    def __len__(self) -> int:
        return len(self.case_id)

    @property
    def outcome(self) -> tuple[Tensor, Tensor]:
        """Interval and event, (B,) each, of a training batch."""
        if self.interval is None or self.event is None:
            msg = "a batch made for prediction has no outcome"
            raise ValueError(msg)
        return self.interval, self.event

    def bags(self, name: str) -> BagBatch:
        """Bags of modality `name`."""
        modality = self.modalities[name]
        if not isinstance(modality, BagBatch):
            msg = f"modality {name!r} holds genes, not bags"
            raise TypeError(msg)
        return modality

    def genes(self, name: str) -> GeneBatch:
        """Genes of modality `name`."""
        modality = self.modalities[name]
        if not isinstance(modality, GeneBatch):
            msg = f"modality {name!r} holds bags, not genes"
            raise TypeError(msg)
        return modality

    @classmethod
    def of(
        cls,
        cohort: Cohort,
        rows: NDArray[np.int64],
        device: str = "cpu",
        interval: NDArray[np.int64] | None = None,
    ) -> Batch:
        """Batch of the patients `rows` of a cohort; with `interval` (N,) also their outcome."""
        outcome = {}
        if interval is not None:
            outcome = {
                "interval": torch.as_tensor(interval[rows], device=device),
                "event": torch.as_tensor(cohort.event[rows], dtype=torch.float32, device=device),
            }
        return cls(
            case_id=tuple(cohort.case_id[rows]),
            modalities={
                name: _bag_batch(modality, rows, device)
                if isinstance(modality, Bags)
                else _gene_batch(modality, rows, device)
                for name, modality in cohort.modalities.items()
            },
            **outcome,
        )


def _bag_batch(bags: Bags, rows: NDArray[np.int64], device: str) -> BagBatch:
    here = np.flatnonzero(bags.present[rows])
    return BagBatch(
        features=torch.as_tensor(bags.gather(rows[here]), device=device),
        length=torch.as_tensor(bags.length[rows[here]], device=device),
        rows=torch.as_tensor(here, device=device),
    )


def _gene_batch(genes: GeneGroups, rows: NDArray[np.int64], device: str) -> GeneBatch:
    here = np.flatnonzero(genes.present[rows])
    return GeneBatch(
        values=torch.as_tensor(genes.matrix(rows[here]), device=device),
        rows=torch.as_tensor(here, device=device),
        groups={n: torch.as_tensor(index, device=device) for n, index in genes.groups.items()},
    )


def chunks(
    cohort: Cohort, rows: NDArray[np.int64], *, patch_budget: int = PATCH_BUDGET
) -> Iterator[NDArray[np.int64]]:
    """Patients `rows` in chunks of similar bag length that fit in memory; each at least one.

    A chunk holds at most `patch_budget` patches when every bag is padded to the longest.
    """
    length = np.ones(len(rows), np.int64)
    for modality in cohort.modalities.values():
        if isinstance(modality, Bags):
            length = np.maximum(length, modality.length[rows])
    order = np.argsort(length, kind="stable")
    begin = 0
    for end in range(1, len(rows) + 1):
        full = end - begin >= PATIENT_BUDGET
        if end == len(rows) or full or length[order[end]] * (end + 1 - begin) > patch_budget:
            yield rows[order[begin:end]]
            begin = end
