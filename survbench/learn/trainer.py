"""The training loop; it knows no model.

One optimiser step takes `batch` patients. They are computed together as far as memory allows, and
the gradient is that of their mean loss, however they are cut into chunks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from survbench.bookmark import Bookmark
from survbench.cohort import Cohort
from survbench.errors import InputError, SurvbenchError
from survbench.learn.batch import PATCH_BUDGET, Batch, chunks
from survbench.learn.sampler import balanced_weights
from survbench.method import Progress, silent
from survbench.streams import random_states, set_random_states

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "radam": torch.optim.RAdam,
    "sgd": partial(torch.optim.SGD, momentum=0.9, fused=True),
}
SCHEDULES = ("constant", "cosine_warmup")
SAMPLERS = ("plain", "balanced")


@dataclass(frozen=True)
class Recipe:
    """Training recipe; a method's Config inherits it and states its own defaults."""

    epochs: int = 20  # MCAT code
    batch: int = 32  # patients per optimiser step; MCAT code: batch 1, accumulation 32
    optimiser: str = "adam"  # adam | adamw | radam | sgd (momentum 0.9)
    lr: float = 2e-4  # MCAT code
    weight_decay: float = 1e-5  # MCAT code
    schedule: str = "constant"  # constant | cosine_warmup (one epoch linear, then cosine to 0)
    sampler: str = "plain"  # plain | balanced over (interval, censored), with replacement
    alpha: float = 0.0  # weight 1 - alpha on censored patients
    intervals: int = 4  # hazards K

    def __post_init__(self) -> None:
        self.one_of({"optimiser": tuple(OPTIMISERS), "schedule": SCHEDULES, "sampler": SAMPLERS})
        self.at_least({"epochs": 0, "batch": 1, "intervals": 2})

    def one_of(self, choices: Mapping[str, Sequence[str]]) -> None:
        """Refuse a field whose value is none of its choices (InputError)."""
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                msg = f"{name} {getattr(self, name)!r} is not known; use {' or '.join(allowed)}"
                raise InputError(msg)

    def at_least(self, bounds: Mapping[str, int]) -> None:
        """Refuse a field whose value is below its bound (InputError); None is no value."""
        for name, least in bounds.items():
            value = getattr(self, name)
            if value is not None and value < least:
                msg = f"{name} is {value}; it must be at least {least}"
                raise InputError(msg)


@dataclass(frozen=True)
class Stage:
    """One stretch of training: a loss, minimised over some parameters for some epochs.

    Parameters
    ----------
    name : str
        Shown as progress and in the record.
    loss : callable (net, batch) -> Tensor (B,)
        Loss of each patient.
    epochs, lr
        How long and how fast.
    optimiser, weight_decay, schedule, sampler, batch
        As in Recipe.
    modules : callable (net) -> iterable of nn.Module, or None
        Which parts learn; None means all.
    penalty : callable (net) -> Tensor, or None
        Added once to every optimiser step.
    before_step : callable (net) -> object, or None
        Called once the gradients of a step are whole, to clip them.
    """

    name: str
    loss: Callable[[nn.Module, Batch], Tensor]
    epochs: int
    lr: float
    optimiser: str = "adam"
    weight_decay: float = 0.0
    schedule: str = "constant"
    sampler: str = "plain"
    batch: int = 32
    modules: Callable[[nn.Module], Iterable[nn.Module]] | None = None
    penalty: Callable[[nn.Module], Tensor] | None = None
    before_step: Callable[[nn.Module], object] | None = None

    def parameters(self, net: nn.Module) -> list[nn.Parameter]:
        """Parameters that learn in this stage, each once."""
        parts = [net] if self.modules is None else list(self.modules(net))
        found = {id(p): p for part in parts for p in part.parameters() if p.requires_grad}
        return list(found.values())


@dataclass(frozen=True)
class Trained:
    """What a stage did: optimiser updates, and the mean loss of each epoch."""

    updates: int
    losses: list[float]


def accumulate(
    net: nn.Module,
    loss: Callable[[nn.Module, Batch], Tensor],
    cohort: Cohort,
    rows: NDArray[np.int64],
    interval: NDArray[np.int64],
    *,
    device: str = "cpu",
    patch_budget: int = PATCH_BUDGET,
) -> float:
    """Add the gradient of the mean loss over patients `rows` to `net`; returns that mean."""
    total = 0.0
    for chunk in chunks(cohort, rows, patch_budget=patch_budget):
        value = loss(net, Batch.of(cohort, chunk, device, interval)).sum() / len(rows)
        value.backward()
        total += float(value.detach())
    return total


def train(
    net: nn.Module,
    stage: Stage,
    cohort: Cohort,
    interval: NDArray[np.int64],
    *,
    seed: int,
    device: str = "cpu",
    report: Callable[[Progress], None] = silent,
    bookmark: Bookmark | None = None,
) -> Trained:
    """Train `net` by one stage on every patient of `cohort`, last epoch kept.

    With a bookmark, training goes on after the last epoch that was kept, to the same weights.

    Raises
    ------
    SurvbenchError
        The loss stops being finite.
    """
    parameters = stage.parameters(net)
    make = OPTIMISERS[stage.optimiser]
    optimiser = make(parameters, lr=stage.lr, weight_decay=stage.weight_decay)
    steps = math.ceil(len(cohort) / stage.batch)
    factor = _schedule(stage.schedule, steps, stage.epochs)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    order = _order(stage, cohort, interval, seed)
    net.train()
    parts: dict[str, Any] = {"net": net, "optimiser": optimiser, "schedule": schedule}
    losses: list[float] = [] if bookmark is None else _gone_on(bookmark, parts)
    for _ in losses:
        next(order)
    for epoch in range(len(losses), stage.epochs):
        total = 0.0
        for rows in np.array_split(next(order), range(stage.batch, len(cohort), stage.batch)):
            optimiser.zero_grad(set_to_none=True)
            mean = accumulate(net, stage.loss, cohort, rows, interval, device=device)
            if stage.penalty is not None:
                stage.penalty(net).backward()
            if stage.before_step is not None:
                stage.before_step(net)
            optimiser.step()
            schedule.step()
            total += mean * len(rows)
        losses.append(total / len(cohort))
        if not math.isfinite(losses[-1]):
            msg = (
                f"loss is {losses[-1]} in stage {stage.name!r}, epoch {epoch + 1}; lower lr "
                f"(now {stage.lr:g}) or check the features for extreme values"
            )
            raise SurvbenchError(msg)
        report(Progress(stage.name, epoch + 1, stage.epochs, losses[-1]))
        if bookmark is not None and bookmark.due:
            states = {name: part.state_dict() for name, part in parts.items()}
            bookmark.keep({"losses": losses, "parts": states, "random": random_states()})
    return Trained(updates=steps * stage.epochs, losses=losses)


def _gone_on(bookmark: Bookmark, parts: Mapping[str, Any]) -> list[float]:
    """Put the parts of training where the bookmark left them; losses of the epochs before."""
    kept = bookmark.read()
    if kept is None:
        return []
    for name, part in parts.items():
        part.load_state_dict(kept["parts"][name])
    set_random_states(kept["random"])
    return list(kept["losses"])


def _order(
    stage: Stage, cohort: Cohort, interval: NDArray[np.int64], seed: int
) -> Iterator[NDArray[np.int64]]:
    """Order of the patients in each epoch, from its own random stream."""
    generator = np.random.default_rng(seed)
    count = len(cohort)
    weight = balanced_weights(interval, cohort.event) if stage.sampler == "balanced" else None
    while True:
        if weight is None:
            yield generator.permutation(count)
        else:
            yield generator.choice(count, count, p=weight / weight.sum())


def _schedule(name: str, steps: int, epochs: int) -> Callable[[int], float]:
    """Factor on the learning rate at an update."""
    if name == "constant":
        return lambda _: 1.0

    def cosine_warmup(update: int) -> float:
        if update < steps:
            return (update + 1) / steps
        return 0.5 * (1 + math.cos(math.pi * (update - steps) / max(1, steps * (epochs - 1))))

    return cosine_warmup
