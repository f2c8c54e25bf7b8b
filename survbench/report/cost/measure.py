"""One method under measurement: fitted without training, then asked about patients of given sizes.

What is timed and counted is what users run: `predict` of patients whose features are in memory,
from transforms and filling to risks and survival. Only the comparison of recovered latents with
the true ones is left out, which needs the truth. Weights are those of initialisation: training
changes no cost, but the choices of networks that route patches by their content.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from survbench.bench.machine import resident_mib, spending
from survbench.cohort import Cohort
from survbench.learn import NeuralMethod
from survbench.learn.batch import PATCH_BUDGET
from survbench.method import Method, Progress
from survbench.registry import get_method
from survbench.report.cost.flops import counted
from survbench.report.cost.latency import FOR_P95, clock, repeats_within, timed
from survbench.report.cost.patients import Sizes, patients, without
from survbench.streams import isolated

__all__ = ["QUANTITIES", "Place", "Subject", "Task"]

FITTED_ON = 128  # patients of the fit without training; what a method keeps of them is used
SHORT = 4  # their patches
MOST_PATIENTS = 32  # of a batch
STEP = 3  # forward passes that a training step takes, about
EPOCHS = ("epochs", "diffusion_steps")  # how config fields end that say how long training takes
QUANTITIES = ("latency", "flops", "throughput", "training")


@dataclass(frozen=True)
class Task:
    """One cell of the report: a method, sizes of a patient, and what everybody lacks.

    Parameters
    ----------
    method : str
        Name in the registry.
    preset : str
        Preset of its config.
    sizes : Sizes
        Of each patient.
    lacking : tuple of str
        Modalities that are missing.
    """

    method: str
    preset: str
    sizes: Sizes
    lacking: tuple[str, ...] = ()

    @property
    def regime(self) -> str:
        """Canonical text of what is missing."""
        return "+".join(self.lacking) or "none"


@dataclass(frozen=True)
class Place:
    """Where and how long is measured.

    Parameters
    ----------
    device : str
        cpu or cuda.
    threads : int
        Threads of numerical libraries.
    repeats : int
        Warm calls at most.
    seconds : float
        Time for the warm calls of one quantity; at least three are made.
    """

    device: str = "cpu"
    threads: int = 1
    repeats: int = FOR_P95
    seconds: float = 3.0


class Subject:
    """A method as users have it, but untrained.

    Parameters
    ----------
    task
        Its `method`, `preset` and gene and patch widths are used.
    place
        Device and repeats.
    """

    def __init__(self, task: Task, place: Place) -> None:
        self.kind, self.place = get_method(task.method), place
        self.config = self.kind.preset(task.preset)
        self.sizes = task.sizes
        self._warm: dict[Task, float] = {}  # milliseconds of one patient

    @cached_property
    def method(self) -> Method:
        """The method, fitted for no epoch on patients with short bags."""
        untrained = self.kind(lasting(self.config, 0), device=self.place.device)
        return untrained.fit(patients(FITTED_ON, replace(self.sizes, patches=SHORT)))

    @property
    def parameters(self) -> int | None:
        """Numbers the method learns; None where it does not tell."""
        found = self.method.record.get("parameters")
        return None if found is None else int(found)

    def measure(self, task: Task, quantity: str) -> dict[str, Any]:
        """Values of one quantity, by name of the row's fields.

        Raises
        ------
        MissingModalityError
            The method refuses to predict without what the task's patients lack.
        NotMeasuredError
            The quantity has no value here; the message says why.
        """
        return {
            "latency": self._latency,
            "flops": self._flops,
            "throughput": self._throughput,
            "training": self._training,
        }[quantity](task)

    def _latency(self, task: Task) -> dict[str, Any]:
        one = without(patients(1, task.sizes), task.lacking)
        call = self._call(one)
        _return_memory()
        before = resident_mib()
        with spending(self.place.device) as spent:
            found = timed(
                call,
                device=self.place.device,
                seconds=self.place.seconds,
                repeats=self.place.repeats,
            )
        peak = spent.peak_memory_mib or 0.0
        self._warm[task] = found.median
        return {
            "parameters": self.parameters,
            "mark": "*" if self.method.filled(one) else "",
            "first_ms": found.first,
            "median_ms": found.median,
            "p95_ms": found.p95,
            "calls": len(found.warm),
            "host_mib": peak,
            "host_extra_mib": round(max(0.0, peak - before), 1),
            "device_mib": spent.peak_gpu_memory_mib,
        }

    def _flops(self, task: Task) -> dict[str, Any]:
        if not isinstance(self.method, NeuralMethod):
            reason = "not counted: no torch network, it computes in NumPy"
            raise NotMeasuredError(reason)
        found = counted(self._call(without(patients(1, task.sizes), task.lacking)))
        return {
            "flops": found.total,
            "macs": found.macs,
            "by_operator": dict(found.by_operator),
            "uncounted": [dataclasses.asdict(each) for each in found.uncounted],
        }

    def _throughput(self, task: Task) -> dict[str, Any]:
        count = self._patients(task, of_calls=1, least=1)
        several = without(patients(count, task.sizes, shared=True), task.lacking)
        found = timed(
            self._call(several),
            device=self.place.device,
            seconds=self.place.seconds,
            repeats=self.place.repeats,
        )
        return {"batch": count, "patients_per_second": count / found.median * 1e3}

    def _training(self, task: Task) -> dict[str, Any]:
        if not isinstance(self.method, NeuralMethod):
            reason = "not measured: trained at once, without steps"
            raise NotMeasuredError(reason)
        if task.lacking:
            reason = "measured with nothing missing"
            raise NotMeasuredError(reason)
        count = self._patients(task, of_calls=STEP, least=2)
        steps = repeats_within(self.place.seconds, STEP * self._alone(task) * count, 5)
        times = self._steps(patients(count, task.sizes, shared=True), steps)
        return {
            "step_patients": count,
            "step_ms": max(times.values()),
            "step_ms_by_stage": times,
        }

    def _steps(self, cohort: Cohort, steps: int) -> dict[str, float]:
        """Milliseconds of an optimiser step on these patients, for each stage of training."""
        watch = _Stopwatch(self.place.device)
        config = replace(lasting(self.config, steps + 1), batch=len(cohort))
        self.kind(config, device=self.place.device, report=watch).fit(cohort)
        return {stage: float(np.median(each)) for stage, each in watch.steps()}

    def _patients(self, task: Task, *, of_calls: int, least: int) -> int:
        """Patients of a batch: as many as the suite computes together, if time allows."""
        lone = self._alone(task) * of_calls
        fitting = int(self.place.seconds * 1e3 / max(lone, 1e-3))
        at_once = PATCH_BUDGET // (1 if "P" in task.lacking else task.sizes.patches)
        return int(np.clip(min(at_once, fitting), least, MOST_PATIENTS))

    def _alone(self, task: Task) -> float:
        """Milliseconds that one such patient takes warm."""
        if task not in self._warm:
            call = self._call(without(patients(1, task.sizes), task.lacking))
            found = timed(call, device=self.place.device, seconds=0, repeats=1)
            self._warm[task] = found.median
        return self._warm[task]

    def _call(self, cohort: Cohort) -> Callable[[], object]:
        """What predicting these patients does once they are masked."""
        method = self.method

        def predict() -> object:
            seen = method.seen(cohort)
            with isolated(method.stream("predict")):
                return method.predict_cases(seen)

        return predict


def _return_memory() -> None:
    """Give back what earlier calls have freed, so that a peak above it is this call's own."""
    gc.collect()
    with suppress(AttributeError, OSError):  # only glibc can
        ctypes.CDLL(None).malloc_trim(0)


class NotMeasuredError(Exception):
    """A quantity has no value; the message says why."""


class _Stopwatch:
    """Told of a fit's progress, it keeps when each epoch of each stage ended."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.ends: dict[str, list[float]] = {}

    def __call__(self, progress: Progress) -> None:
        self.ends.setdefault(progress.stage, []).append(clock(self.device))

    def steps(self) -> Iterator[tuple[str, list[float]]]:
        """Stages and the time between ends, where there were two or more."""
        for stage, ends in self.ends.items():
            if len(ends) > 1:
                yield stage, [later - sooner for sooner, later in itertools.pairwise(ends)]


def lasting(config: Any, epochs: int) -> Any:
    """Config whose stages last so many epochs, however the method names them; no diffusion."""
    changes = {
        entry.name: epochs if entry.name.endswith(EPOCHS[0]) else 0
        for entry in dataclasses.fields(config)
        if entry.name.endswith(EPOCHS)
    }
    return replace(config, **changes)
