"""Milliseconds of one training step: patients together, and one patient at a time.

`pytest tests/benchmarks/test_training.py --benchmark-only -n 0` puts the two of a method side by
side, with their ratio. A step is the gradient of the mean loss of 32 patients with small bags, or
of 4 with large ones, which are cut as the memory budget says.
"""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from survbench.cohort import Cohort
from survbench.learn import NeuralMethod
from survbench.learn.batch import PATCH_BUDGET
from survbench.learn.intervals import label
from survbench.learn.trainer import accumulate
from survbench.registry import get_method, load_all
from tests.benchmarks.reference import reference_cohort

FEW, LARGE = 4, 4096  # patients with large bags, and their patches
LARGE_BAGS = ("abmil", "cmta", "mcat", "must", "survpath", "transmil")
NEURAL = sorted(name for name, cls in load_all()[0].items() if issubclass(cls, NeuralMethod))


def step_of(name: str, cohort: Cohort, patch_budget: int) -> Callable[[], float]:
    """One gradient of the mean loss of all patients, by a net that has seen one epoch."""
    method_class = get_method(name)
    config = method_class.Config()
    once = {f.name: 1 for f in fields(config) if f.name.endswith(("epochs", "diffusion_steps"))}
    method = method_class(replace(config, **once)).fit(reference_cohort())
    assert isinstance(method, NeuralMethod)
    seen = method._narrowed(cohort, outcome=True)
    stage, net = method.stages()[-1], method.net.train()
    interval = label(seen.time, method.edges)
    rows = np.arange(len(cohort))

    def step() -> float:
        net.zero_grad(set_to_none=True)
        return accumulate(net, stage.loss, seen, rows, interval, patch_budget=patch_budget)

    return step


def timed(benchmark: BenchmarkFixture, name: str, cohort: Cohort, patch_budget: int) -> None:
    step = step_of(name, cohort, patch_budget)
    assert np.isfinite(step())
    benchmark.extra_info["patients"] = len(cohort)
    benchmark.group = f"{name}, step of {len(cohort)} patients"
    benchmark(step)


@pytest.mark.parametrize("patients", ["together", "one by one"])
@pytest.mark.parametrize("name", NEURAL)
def test_small_bags(benchmark: BenchmarkFixture, name: str, patients: str) -> None:
    timed(benchmark, name, reference_cohort(), 2**62 if patients == "together" else 1)


@pytest.mark.parametrize("patients", ["as the budget says", "one by one"])
@pytest.mark.parametrize("name", LARGE_BAGS)
def test_large_bags(benchmark: BenchmarkFixture, name: str, patients: str) -> None:
    budget = 1 if patients == "one by one" else PATCH_BUDGET
    timed(benchmark, name, reference_cohort(FEW, LARGE), budget)
