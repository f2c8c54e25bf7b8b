"""ShaSpec: a shared and a specific feature of each modality; the shared ones stand in for absences.

Source: Wang et al., Multi-modal Learning with Missing Modality via Shared-Specific Feature
    Modelling, CVPR 2023 (arXiv 2307.14126), with its code for segmentation.
Missing modality: any subset, in training and prediction; the fused feature of an absent modality
    is the shared feature of those present. Incomplete patients align and classify what they have.
Departs: where survival differs from segmentation, and from its code where that is order or cost.
    Network: stems (dense layer and gated attention pooling of a bag; an SNN of each gene group)
    give each modality one vector, since a shared encoder needs a common input; encoders are MLPs
    without norms; the composition is linear, the centre tap of the 3x3x3 convolution; one head.
    Absence: the mean of the shared features present, which no order of modalities changes
    (`absent=first`: the first present, as the code; the same where there are two modalities).
    Losses: over present modalities only (`absent_losses`: of zeroed inputs too, as the code); the
    ring of two modalities is one pair, counted once (`pairs=ring_double`: twice).
    Training: all modalities that a patient has, Adam as MUST ran it (`modality_dropout`: random
    subsets of them after a third of the epochs, drawn per patient, with a fresh optimiser).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from survbench.cohort import Cohort
from survbench.learn import Batch, Inference, NeuralMethod, Recipe, Stage, Widths, nll_surv
from survbench.learn.snn import mlp_head
from survbench.learn.stems import Stems
from survbench.method import ALL

CHOICES = {"absent": ("mean", "first"), "pairs": ("ring", "ring_double", "all")}


@dataclass(frozen=True)
class ShaSpecConfig(Recipe):
    """Hyperparameters; weights of the losses are the official code's, the recipe is MUST's."""

    epochs: int = 30  # MUST, supplement 7.3
    lr: float = 1e-3  # MUST, supplement 7.3
    width: int = 256  # H, of every vector; the official bottleneck
    dropout: float = 0.25  # of stems, encoders and head; ours
    weight_shared: float = 0.1  # official code
    weight_domain: float = 0.02  # official code
    pairs: str = "ring"  # aligned: neighbours in a ring (official) | ring_double | all
    absent: str = "mean"  # shared feature of an absent modality: mean of those present | first
    absent_losses: bool = False  # True: zeroed inputs are aligned and classified too, as official
    standardise_weight: bool = False  # of the composition; official code, off there too
    normalise: bool = False  # L2, of what the composition reads; official code, off there too
    modality_dropout: bool = False  # the official recipe, which needs its long training

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of(CHOICES)


@dataclass
class Features:
    """Shared, specific and fused features (B, M, H) of B patients; `present` is (B, M)."""

    shared: Tensor
    specific: Tensor
    fused: Tensor
    present: Tensor


class Composition(nn.Module):
    """Shared + W [shared; specific]: what a modality adds to its shared feature."""

    def __init__(self, width: int, *, standardise: bool = False, normalise: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, width, bias=False)
        self.standardise, self.normalise = standardise, normalise

    def forward(self, shared: Tensor, specific: Tensor) -> Tensor:
        """Fused features (..., H) of shared and specific ones (..., H)."""
        parts = [shared, specific]
        if self.normalise:
            parts = [functional.normalize(part, dim=-1) for part in parts]
        weight = self.linear.weight
        if self.standardise:
            weight = standardised(weight)
        return shared + functional.linear(torch.cat(parts, dim=-1), weight)


class ShaSpecNet(nn.Module):
    """Modalities to one vector each, to shared, specific and fused features, to hazard logits."""

    def __init__(self, config: ShaSpecConfig, widths: Widths) -> None:
        super().__init__()
        width, self.names = config.width, widths.order
        self.rule = config.absent
        self.stems = Stems(widths, width, config.dropout)
        self.shared = mlp_head(width, width, width, dropout=config.dropout)
        self.specific = nn.ModuleDict(
            {name: mlp_head(width, width, width, dropout=config.dropout) for name in self.names}
        )
        self.compose = Composition(
            width, standardise=config.standardise_weight, normalise=config.normalise
        )
        self.domain = nn.Linear(width, len(self.names))
        self.head = mlp_head(
            len(self.names) * width, width, widths.intervals, dropout=config.dropout
        )
        self.centre: Tensor
        self.register_buffer("centre", torch.zeros(len(self.names), width))  # of fused features

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K)."""
        return self.logits(self.features(*self.stems(batch)))

    def features(self, vector: Tensor, present: Tensor) -> Features:
        """Features of vectors (B, M, V), zero where not `present` (B, M)."""
        shared = self.shared(vector)  # (B, M, H)
        encoders = enumerate(self.specific.values())
        specific = torch.stack([encode(vector[:, m]) for m, encode in encoders], dim=1)
        weight = present.to(shared.dtype)
        if self.rule == "first":
            weight = weight * (weight.cumsum(dim=1) == 1)
        common = (weight[..., None] * shared).sum(dim=1) / weight.sum(dim=1, keepdim=True)
        composed = self.compose(shared, specific)
        fused = torch.where(present[..., None], composed, common[:, None])
        return Features(shared, specific, fused, present)

    def logits(self, features: Features) -> Tensor:
        """Hazard logits (B, K)."""
        logits: Tensor = self.head(features.fused.flatten(1))
        return logits


class ShaSpec(NeuralMethod):
    """Shared features stand in for what is absent; see the module docstring."""

    uses = ALL
    tolerates = ALL
    trains_without = ALL
    resumes = True
    Config = ShaSpecConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"width": 64, "epochs": 15},
        "paper": {"modality_dropout": True, "absent": "first", "absent_losses": True},
    }
    net: ShaSpecNet

    def build(self, widths: Widths) -> ShaSpecNet:
        """ShaSpec for the cohort's modalities."""
        return ShaSpecNet(self.config, widths)

    def stages(self) -> list[Stage]:
        """One stage by the recipe; with modality dropout its last two thirds see subsets."""
        (whole,) = super().stages()
        if not self.config.modality_dropout:
            return [whole]
        subsets = partial(self.loss, drop=True)
        return [
            replace(whole, name="complete", epochs=whole.epochs // 3),
            replace(whole, name="subsets", epochs=whole.epochs - whole.epochs // 3, loss=subsets),
        ]

    def loss(self, net: nn.Module, batch: Batch, *, drop: bool = False) -> Tensor:
        """Loss (B,): likelihood, alignment of shared features, modality told by specific ones."""
        config: ShaSpecConfig = self.config
        shaspec = cast("ShaSpecNet", net)
        vector, present = shaspec.stems(batch)
        if drop and net.training:
            present = random_subset(present)
            vector = vector * present[..., None]
        features = shaspec.features(vector, present)
        counted = torch.ones_like(present) if config.absent_losses else present
        aligned = alignment(features.shared, counted, config.pairs)
        told = domain_loss(shaspec.domain(features.specific), counted)
        loss = nll_surv(shaspec.logits(features), *batch.outcome, alpha=config.alpha)
        return loss + config.weight_shared * aligned + config.weight_domain * told

    def fit_cases(self, cohort: Cohort) -> None:
        """Train the net, then note where its fused features lie."""
        super().fit_cases(cohort)
        for centre, fused in zip(self.net.centre, self.latents(cohort).values(), strict=True):
            known = fused[~np.isnan(fused[:, 0])]
            if len(known):
                centre.copy_(torch.as_tensor(known.mean(axis=0)))

    def infer(self, batch: Batch) -> Inference:
        """Logits, and the fused features of what is absent."""
        found = self.net.features(*self.net.stems(batch))
        made = found.fused.masked_fill(found.present[..., None], torch.nan)
        recovered = dict(zip(self.net.names, made.unbind(dim=1), strict=True))
        return Inference(self.net.logits(found), recovered=recovered)

    def latents(self, cohort: Cohort) -> dict[str, NDArray[np.float64]]:
        """Fused features (N, H) of each modality; NaN where absent."""

        def made(batch: Batch) -> tuple[Tensor, Tensor]:
            found = self.net.features(*self.net.stems(batch))
            return found.fused, found.present

        fused = self.gathered(cohort, made)
        return {name: fused[:, column] for column, name in enumerate(self.net.names)}

    def latent_centre(self) -> dict[str, NDArray[np.float64]]:
        """Training mean (H,) of those features."""
        centre = self.net.centre.double().cpu().numpy()
        return dict(zip(self.net.names, centre, strict=True))


def standardised(weight: Tensor) -> Tensor:
    """Weight (out, in, ...) with mean 0 and variance 1 of what enters each output."""
    axes = tuple(range(1, weight.dim()))
    variance, mean = torch.var_mean(weight, dim=axes, keepdim=True)
    return (weight - mean) / (variance + 1e-12).sqrt()  # 1e-12 as in the official code


def aligned_pairs(count: int, kind: str) -> list[tuple[int, int]]:
    """Pairs of `count` modalities whose shared features are aligned."""
    if kind == "all":
        return list(combinations(range(count), 2))
    ring = [(m, (m + 1) % count) for m in range(count)] if count > 1 else []
    return ring if kind == "ring_double" or count > 2 else ring[:1]


def alignment(shared: Tensor, counted: Tensor, kind: str) -> Tensor:
    """Sum (B,) over pairs of the mean absolute difference of shared features (B, M, H).

    A pair takes part where both its modalities are `counted` (B, M).
    """
    pairs = torch.tensor(aligned_pairs(shared.shape[1], kind), device=shared.device)
    first, second = pairs.reshape(-1, 2).long().unbind(dim=1)
    apart = (shared[:, first] - shared[:, second]).abs().mean(dim=2)  # (B, pairs)
    return (apart * (counted[:, first] & counted[:, second])).sum(dim=1)


def domain_loss(logits: Tensor, counted: Tensor) -> Tensor:
    """Cross entropy (B,) of telling each modality, logits (B, M, M); mean over those `counted`."""
    missed = -logits.log_softmax(dim=2).diagonal(dim1=1, dim2=2)  # (B, M)
    return (missed * counted).sum(dim=1) / counted.sum(dim=1)


def random_subset(present: Tensor) -> Tensor:
    """Some of what each patient has, (B, M): any number of them equally often, never none."""
    count = present.sum(dim=1, keepdim=True)
    size = (torch.rand_like(count, dtype=torch.float32) * count).long() + 1
    lot = torch.rand(present.shape, device=present.device).masked_fill(~present, 2.0)
    return (lot.argsort(dim=1).argsort(dim=1) < size) & present
