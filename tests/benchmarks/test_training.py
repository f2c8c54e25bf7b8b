"""Milliseconds of one training step of 32 patients: all together, and one patient at a time.

`pytest tests/benchmarks --benchmark-only -n 0 --benchmark-group-by=param:name` puts the two of a
method side by side, with their ratio. A step is the gradient of the mean loss of PATIENTS patients.
"""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from survbench.learn import NeuralMethod
from survbench.learn.intervals import label
from survbench.learn.trainer import accumulate
from survbench.registry import get_method, load_all
from tests.benchmarks.reference import reference_cohort

PATIENTS = 32
NEURAL = sorted(name for name, cls in load_all()[0].items() if issubclass(cls, NeuralMethod))


def step_of(name: str, patch_budget: int) -> Callable[[], float]:
    """One gradient of the mean loss of all patients, by a net that has seen one epoch."""
    method_class = get_method(name)
    config = method_class.Config()
    once = {f.name: 1 for f in fields(config) if f.name.endswith(("epochs", "diffusion_steps"))}
    method = method_class(replace(config, **once)).fit(reference_cohort(PATIENTS))
    assert isinstance(method, NeuralMethod)
    seen = method._narrowed(reference_cohort(PATIENTS), outcome=True)
    stage, net = method.stages()[-1], method.net.train()
    interval = label(seen.time, method.edges)
    rows = np.arange(PATIENTS)

    def step() -> float:
        net.zero_grad(set_to_none=True)
        return accumulate(net, stage.loss, seen, rows, interval, patch_budget=patch_budget)

    return step


@pytest.mark.parametrize("patients", ["together", "one by one"])
@pytest.mark.parametrize("name", NEURAL)
def test_training_step(benchmark: BenchmarkFixture, name: str, patients: str) -> None:
    step = step_of(name, patch_budget=2**62 if patients == "together" else 1)
    assert np.isfinite(step())
    benchmark.extra_info["patients"] = PATIENTS
    benchmark(step)
