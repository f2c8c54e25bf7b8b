"""Bags cut at random into pseudo-bags of about equal size, each patient by streams of their own.

Letters: T patches of n bags, at most G pseudo-bags of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from survbench.learn.batch import BagBatch

__all__ = ["Shuffles", "partition"]

Stream = Callable[[str, str], int]


class Shuffles:
    """Orders of the patches of patients; the i-th of a patient is the same in any company.

    Parameters
    ----------
    stream : callable (purpose, case_id) -> int
        Seed of a random stream, such as `Method.stream`.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.visits: Counter[str] = Counter()

    def fixed(self, case_id: tuple[str, ...], bags: BagBatch, number: int = 0) -> Tensor:
        """Indices (T,) of the patches, each bag shuffled: order `number` of every patient."""
        return self._drawn(case_id, bags, [f"partition-{number}"] * len(bags))

    def fresh(self, case_id: tuple[str, ...], bags: BagBatch) -> Tensor:
        """Indices (T,) of the patches, each bag shuffled otherwise at every visit."""
        purposes = []
        for case in case_id:
            purposes.append(f"partition-visit-{self.visits[case]}")
            self.visits[case] += 1
        return self._drawn(case_id, bags, purposes)

    def _drawn(self, case_id: tuple[str, ...], bags: BagBatch, purposes: list[str]) -> Tensor:
        first, orders = 0, []
        for case, purpose, length in zip(case_id, purposes, bags.length.tolist(), strict=True):
            draw = np.random.default_rng(self.stream(purpose, case))
            orders.append(first + draw.permutation(length))
            first += length
        return torch.as_tensor(np.concatenate(orders), device=bags.length.device)


def partition(length: Tensor, groups: int | Tensor) -> tuple[Tensor, Tensor]:
    """Sizes of all pseudo-bags, bag after bag, and how many each bag has, (n,).

    A bag of N patches has min(G, N), the first N mod G of them one patch larger.

    Parameters
    ----------
    length
        (n,), patches of each bag.
    groups
        G, or (n,), one number for each bag.
    """
    count = length.clamp(max=groups)
    bag = torch.repeat_interleave(torch.arange(len(length), device=length.device), count)
    place = torch.arange(len(bag), device=length.device) - (count.cumsum(0) - count)[bag]
    size = (length // count)[bag] + (place < (length % count)[bag]).long()
    return size, count
