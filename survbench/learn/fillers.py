"""Fillings for missing features from learned mixtures of priors, and a head that they perturb.

Letters: B patients, M modalities, H width of a feature, K intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.learn.dropout import Dropout

__all__ = ["Filler", "Fused", "FusedHead", "Noise"]

Noise = tuple[Tensor, Tensor]  # for the fused features (B, sum of widths) and the hidden layer


class Filler(nn.Module):
    """What stands in for one missing modality, and how it perturbs the head.

    Parameters
    ----------
    available, width
        Widths of what is present, and of the missing feature.
    fused, hidden
        Widths of the head's input and of its hidden layer.
    priors
        Number of centres.
    """

    priors: Tensor
    mean: Tensor

    def __init__(self, available: int, width: int, fused: int, hidden: int, priors: int) -> None:
        super().__init__()
        self.mix = nn.Linear(available, priors)
        self.lift = nn.Linear(available, fused)
        self.lift_hidden = nn.Linear(fused, hidden)
        self.register_buffer("priors", torch.zeros(priors, width))
        self.register_buffer("mean", torch.zeros(width))  # of the training patients' features

    def weights(self, available: Tensor) -> Tensor:
        """Weights (B, priors) of the centres: positive, of sum 1."""
        weight = functional.softplus(self.mix(available))
        return weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-12)

    def forward(self, available: Tensor) -> Tensor:
        """Features (B, H) in the convex hull of the centres."""
        return self.weights(available) @ self.priors


@dataclass
class Fused:
    """What the head makes of B patients: fused features, hidden layer, logits and fillings."""

    feature: Tensor  # (B, sum of widths)
    hidden: Tensor  # (B, hidden)
    logits: Tensor  # (B, K)
    filled: list[Tensor]  # (B, H) of each modality, of all patients


class FusedHead(nn.Module):
    """Features of all modalities, the missing ones filled, to hazard logits.

    Parameters
    ----------
    widths
        Of each modality's feature; they may differ where there are two.
    hidden, intervals
        Widths of the layer between and of the logits.
    priors
        Number of centres of each modality.
    dropout
        Of the hidden layer.
    multiply
        Whether perturbations multiply what they perturb, or are added to it.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        hidden: int,
        intervals: int,
        *,
        priors: int,
        dropout: float,
        multiply: bool = False,
    ) -> None:
        super().__init__()
        fused = sum(widths.values())
        others = {name: next(w for n, w in widths.items() if n != name) for name in widths}
        self.multiply = multiply
        self.fillers = nn.ModuleDict(
            {n: Filler(others[n], width, fused, hidden, priors) for n, width in widths.items()}
        )
        self.first = nn.Linear(fused, hidden)
        self.drop = Dropout(dropout)
        self.last = nn.Linear(hidden, intervals)

    def forward(
        self, features: Sequence[Tensor], present: Tensor, noise: Noise | None = None
    ) -> Fused:
        """Logits of features (B, H) of M modalities, of which patients have `present` (B, M).

        `noise` is added to what perturbs the fused features and the hidden layer of patients who
        lack something.
        """
        fillers = [cast("Filler", filler) for filler in self.fillers.values()]
        seen = [self._available(features, present, column) for column in range(len(fillers))]
        filled = [filler(one) for filler, one in zip(fillers, seen, strict=True)]
        feature = torch.cat(
            [
                torch.where(present[:, column, None], *pair)
                for column, pair in enumerate(zip(features, filled, strict=True))
            ],
            dim=1,
        )
        zero = (feature.new_zeros(()),) * 2 if noise is None else noise
        raw = [filler.lift(one) + zero[0] for filler, one in zip(fillers, seen, strict=True)]
        feature = self._perturbed(feature, raw, present)
        raw = [filler.lift_hidden(feature) + zero[1] for filler in fillers]
        hidden = self._perturbed(self.first(feature).relu(), raw, present)
        return Fused(feature, hidden, self.last(self.drop(hidden)), filled)

    def noise(self, count: int) -> Noise:
        """Standard normal noise for `count` patients."""
        weight = self.first.weight
        return weight.new_empty(count, weight.shape[1]).normal_(), weight.new_empty(
            count, weight.shape[0]
        ).normal_()

    def _available(self, features: Sequence[Tensor], present: Tensor, column: int) -> Tensor:
        """Mean (B, H) of the features present of all modalities but one; zero where none is."""
        others = [other for other in range(len(features)) if other != column]
        total = sum(features[other] * present[:, other, None] for other in others)
        count = present[:, others].sum(dim=1, keepdim=True).clamp(min=1)
        return cast("Tensor", total) / count

    def _perturbed(self, value: Tensor, raw: Sequence[Tensor], present: Tensor) -> Tensor:
        """Values (B, W) perturbed by the mean of softplus(raw) (B, W) over what is missing."""
        absent = ~present
        total = sum(
            functional.softplus(one) * absent[:, column, None] for column, one in enumerate(raw)
        )
        mean = cast("Tensor", total) / absent.sum(dim=1, keepdim=True).clamp(min=1)
        if self.multiply:
            return value * torch.where(absent.any(dim=1, keepdim=True), mean, 1.0)
        return value + mean
