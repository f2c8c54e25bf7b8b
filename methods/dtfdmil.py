"""DTFD-MIL: attention over pseudo-bags, then over what each of them distils; pathology only.

Source: Zhang et al., DTFD-MIL, CVPR 2022, with its official code.
Missing modality: no mechanism; without P there is no prediction, without G nothing changes.
Departs: hazards instead of classes, both tiers trained by the discrete-time likelihood, every
    pseudo-bag under its patient's outcome, and the recipe of MCAT's code (official: Adam 1e-4,
    decay 1e-4, 200 epochs, one slide a step, lr x 0.2 half-way), since no survival run is
    known. One optimiser instead of two: Adam works parameter by parameter, and what is
    distilled is detached, so the updates are the same, and the official default, which fails in
    present PyTorch, runs. `distillation=maxs|maxmins` ranks patches by the risk their share of the
    logits alone would give (`score=last_class`: by the probability of the last class, which means
    nothing of hazards). Partitions are drawn from a stream of each patient, which the seed saved
    with the fit names: another at every visit in training, the same at every prediction (official:
    always another), so that no risk depends on chance, order or company. A bag of fewer patches
    than pseudo-bags has one for each patch (official: empty ones); of a short pseudo-bag no patch
    is distilled twice (official: `overlap`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from survbench.learn import (
    BagBatch,
    Batch,
    Inference,
    NeuralMethod,
    Recipe,
    Stage,
    Widths,
    nll_surv,
    risk_of,
    survival_of,
)
from survbench.learn.dropout import Dropout
from survbench.learn.instances import ends
from survbench.learn.partition import Shuffles, partition
from survbench.learn.pooling import AttentionScore

CHOICES = {"distillation": ("afs", "maxs", "maxmins"), "score": ("risk", "last_class")}
EPS = 1e-7  # least mean hazard, and its distance from 1


@dataclass(frozen=True)
class DTFDConfig(Recipe):
    """Hyperparameters; network of the official code, recipe of MCAT's."""

    hidden: int = 512  # d, width of a token; official code
    attention: int = 128  # width of the attention halves; official code
    groups: int = 4  # G, pseudo-bags of a patient; official code
    instances: int = 4  # distilled of a patient by maxs, half of those by maxmins; official code
    residual_blocks: int = 0  # after the reduction; official code
    dropout: float = 0.0  # before the head of the first tier; official code
    distillation: str = "afs"  # afs (the pooled vector) | maxs | maxmins; official code
    score: str = "risk"  # of a patch, for maxs and maxmins: risk | last_class (official code)
    detach: bool = True  # the second tier teaches the first nothing; official code
    clip: float | None = 5.0  # norm of the gradients of each of four modules; official code
    partitions: int = 1  # at test, hazards averaged; official code
    overlap: bool = False  # True: a patch of a short pseudo-bag may be distilled twice

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of(CHOICES)
        self.at_least({"groups": 1, "instances": self.groups, "partitions": 1})


class Residual(nn.Module):
    """Token plus two dense ReLU layers of it, without biases."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers = [nn.Linear(width, width, bias=False) for _ in range(2)]
        self.block = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU())

    def forward(self, token: Tensor) -> Tensor:
        """Tokens (T, H) of tokens (T, H)."""
        changed: Tensor = token + self.block(token)
        return changed


class Tier(nn.Module):
    """Tokens of a patient to one vector by gated attention to hazard logits."""

    def __init__(self, hidden: int, attention: int, intervals: int) -> None:
        super().__init__()
        self.attend = AttentionScore(hidden, attention, dropout=0.0)
        self.head = nn.Linear(hidden, intervals)

    def forward(self, bags: BagBatch) -> Tensor:
        """Hazard logits (n, K) of n ragged bags of tokens."""
        logits: Tensor = self.head(self.attend.pool(bags.features, bags))
        return logits


@dataclass
class Tiers:
    """What both tiers say of B patients with Q pseudo-bags in all.

    `first` (Q, K) and `second` (B, K) are hazard logits; `parts` holds the pseudo-bags, `weight`
    (T,) their attention, `vectors` what it pools, in bags of the patients, and `distilled` the
    tokens the second tier reads.
    """

    first: Tensor
    second: Tensor
    parts: BagBatch
    weight: Tensor
    vectors: BagBatch
    distilled: BagBatch


class DTFDNet(nn.Module):
    """Patches to pseudo-bags to distilled tokens to hazard logits."""

    def __init__(
        self, config: DTFDConfig, widths: Widths, stream: Callable[[str, str], int]
    ) -> None:
        super().__init__()
        self.config, self.shuffles, hidden = config, Shuffles(stream), config.hidden
        self.reduce = nn.Sequential(
            nn.Linear(widths.patch["P"], hidden, bias=False),
            nn.ReLU(inplace=True),
            *(Residual(hidden) for _ in range(config.residual_blocks)),
        )
        self.first = Tier(hidden, config.attention, widths.intervals)
        self.drop = Dropout(config.dropout)
        self.second = Tier(hidden, config.attention, widths.intervals)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch whose P is B ragged bags, (T, D) in all."""
        return self.tiers(batch).second

    def tiers(self, batch: Batch, number: int = 0) -> Tiers:
        """Both tiers on partition `number` of each patient; in training on a fresh one."""
        bags = batch.bags("P")
        if self.training:
            order = self.shuffles.fresh(batch.case_id, bags)
        else:
            order = self.shuffles.fixed(batch.case_id, bags, number)
        return self.split(bags, order)

    def split(self, bags: BagBatch, order: Tensor) -> Tiers:
        """Both tiers on bags whose patches are cut into pseudo-bags in the order (T,)."""
        size, count = partition(bags.length, self.config.groups)
        owner = torch.repeat_interleave(torch.arange(len(bags), device=size.device), count)
        parts = BagBatch(self.reduce(bags.features)[order], size, owner)
        weight = parts.softmax(self.first.attend(parts.features))  # (T,)
        vector = parts.sum(weight[:, None] * parts.features)  # (Q, H)
        vectors = BagBatch(vector, count, bags.rows)
        row, kept = self._distil(parts, weight, vector)
        if self.config.detach:
            row = row.detach()
        distilled = BagBatch(row, vectors.sum(kept), bags.rows)
        return Tiers(
            first=self.first.head(self.drop(vector)),
            second=self.second(distilled),
            parts=parts,
            weight=weight,
            vectors=vectors,
            distilled=distilled,
        )

    def _distil(self, parts: BagBatch, weight: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (., H) for the second tier, and how many of each pseudo-bag, (Q,)."""
        if self.config.distillation == "afs":
            return vector, torch.ones_like(parts.length)
        index, kept = self.chosen(parts, weight)
        return parts.features[index], kept

    def chosen(self, parts: BagBatch, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Patches distilled from each pseudo-bag, the highest score first, and their number."""
        config, longest = self.config, parts.length
        each = config.instances // config.groups
        if config.distillation == "maxs":
            top, bottom = longest.clamp(max=each), torch.zeros_like(longest)
        else:
            bottom = (longest if config.overlap else longest // 2).clamp(max=each)
            top = bottom.clamp(min=1)
        return ends(self.scores(parts.features, weight), parts, top, bottom), top + bottom

    @torch.no_grad()
    def scores(self, token: Tensor, weight: Tensor) -> Tensor:
        """Score (T,) of each patch from its share of the first tier's logits, without the bias."""
        share = (weight[:, None] * token).double() @ self.first.head.weight.double().T  # (T, K)
        if self.config.score == "risk":
            return risk_of(share)
        return share.softmax(dim=1)[:, -1]


class DTFDMIL(NeuralMethod):
    """Double-tier feature distillation; see the module docstring."""

    uses = frozenset({"P"})
    Config = DTFDConfig
    net: DTFDNet
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"hidden": 128, "attention": 64, "epochs": 12, "lr": 1e-3},
    }

    def build(self, widths: Widths) -> nn.Module:
        """DTFD-MIL for patches of the cohort's width."""
        return DTFDNet(self.config, widths, self.stream)

    def stages(self) -> list[Stage]:
        """One stage, its gradients clipped module by module."""
        return [replace(stage, before_step=self._clip) for stage in super().stages()]

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """Likelihood (B,) of the second tier plus its mean over the pseudo-bags of the first."""
        tiers, (interval, event) = cast("DTFDNet", net).tiers(batch), batch.outcome
        alpha, owner = self.config.alpha, tiers.parts.rows
        first = nll_surv(tiers.first, interval[owner], event[owner], alpha=alpha)
        second = nll_surv(tiers.second, interval, event, alpha=alpha)
        return second + tiers.vectors.sum(first) / tiers.vectors.length

    def infer(self, batch: Batch) -> Inference:
        """Logits of the second tier; of several partitions, those of their mean hazard."""
        if self.config.partitions == 1:
            return super().infer(batch)
        numbers = range(self.config.partitions)
        hazards = [survival_of(self.net.tiers(batch, i).second)[0] for i in numbers]
        return Inference(torch.stack(hazards).mean(dim=0).logit(eps=EPS))

    def _clip(self, net: nn.Module) -> None:
        if self.config.clip is not None:
            for name in ("reduce", "first.attend", "first.head", "second"):
                clip_grad_norm_(net.get_submodule(name).parameters(), self.config.clip)
