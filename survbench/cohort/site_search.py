"""Search for folds that share no tissue source site and are as even as can be."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RESTARTS = 200  # of the search, each from another order of the sites


def even_places(count: NDArray[np.float64], names: Sequence[str], folds: int) -> NDArray[np.int64]:
    """Fold of each site (S,), as even in every column of `count` (S, 2) as was found.

    The largest deviation of a fold's share of a column (patients, events) from an even share is
    minimised, then the sum of their squares. Fold 0 has the largest first column. Deterministic.
    """
    share = count / np.maximum(count.sum(axis=0), 1)
    places = [_search(share, folds, _order(share, names, start)) for start in range(RESTARTS)]
    place = places[_least(np.stack([_totals(share, place, folds) for place in places]))]
    return _largest_first(count[:, 0], place, folds)


def _order(share: NDArray[np.float64], names: Sequence[str], start: int) -> NDArray[np.int64]:
    """Order in which sites are placed: the first by size, the others by hashes of the names."""
    if start == 0:
        return np.argsort(-share.max(axis=1), kind="stable")
    return np.argsort([hashlib.sha256(f"{start}/{name}".encode()).hexdigest() for name in names])


def _totals(
    share: NDArray[np.float64], place: NDArray[np.int64], folds: int
) -> NDArray[np.float64]:
    """Shares of patients and events in each fold, (folds, 2)."""
    total = np.zeros((folds, share.shape[1]))
    np.add.at(total, place, share)
    return total


def _least(totals: NDArray[np.float64]) -> int:
    """Index of the most even of M candidates, totals (M, folds, 2); the first among equals."""
    gap = totals - 1 / totals.shape[1]
    worst = np.abs(gap).max(axis=(1, 2)).round(9)  # rounded, so that equals are equal everywhere
    squares = (gap**2).sum(axis=(1, 2)).round(9)
    return int(np.lexsort((squares, worst))[0])


def _search(share: NDArray[np.float64], folds: int, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fold of each site (S,): placed greedily in `order`, then moved and swapped while it helps."""
    place = np.zeros(len(share), np.int64)
    total = np.zeros((folds, share.shape[1]))
    every = np.eye(folds)[:, :, None]  # candidate, fold, 1
    for site in order:
        squares = ((total + every * share[site] - 1 / folds) ** 2).sum(axis=(1, 2))
        place[site] = squares.round(9).argmin()
        total[place[site]] += share[site]
    one, fold = (index.ravel() for index in np.indices((len(share), folds)))
    first, second = np.triu_indices(len(share), 1)
    while True:
        total = _totals(share, place, folds)
        moved = total + (every[fold] - every[place[one]]) * share[one][:, None]
        change = (share[first] - share[second])[:, None]
        swapped = total + (every[place[second]] - every[place[first]]) * change
        best = _least(np.concatenate([total[None], moved, swapped]))
        if best == 0:
            return place
        if best <= len(one):
            place[one[best - 1]] = fold[best - 1]
        else:
            pair = [first[best - 1 - len(one)], second[best - 1 - len(one)]]
            place[pair] = place[pair[::-1]]


def _largest_first(
    patients: NDArray[np.float64], place: NDArray[np.int64], folds: int
) -> NDArray[np.int64]:
    """The same folds, numbered by falling number of patients."""
    size = np.bincount(place, weights=patients, minlength=folds)
    rank = np.empty(folds, np.int64)
    rank[np.argsort(-np.round(size, 9), kind="stable")] = np.arange(folds)
    return rank[place]
