"""What the suite adds to the arithmetic, as ratios within one run.

`pytest tests/benchmarks/test_suite.py --benchmark-only -n 0` prints four groups of two rows each,
the number in brackets being the ratio to the faster one:

overhead
    a fit, and a bare loop over the same batches, net and optimiser;
bags
    patches from a cohort folder, and from TRIDENT files with one chunk for each patch;
regimes
    one fit that predicts every regime, and one fit for each regime;
large bag
    a training step on one large bag, and its matrix products alone.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from survbench.cohort import Bags
from survbench.cohort.folder import read_cohort
from survbench.cohort.transforms import Transforms
from survbench.cohort.write_folder import write_cohort
from survbench.learn import Batch, NeuralMethod, Widths, nll_surv
from survbench.learn.batch import chunks
from survbench.learn.intervals import label, time_edges
from survbench.registry import get_method
from tests.benchmarks.reference import PATCH_WIDTH, reference_cohort

REGIMES = ("none", "P", "G")
EPOCHS = 2
LARGE = 8192  # patches of a large bag


def abmil(epochs: int = EPOCHS) -> NeuralMethod:
    kind = get_method("abmil")
    method = kind(replace(kind.Config(), epochs=epochs))
    assert isinstance(method, NeuralMethod)
    return method


def suite() -> float:
    """Last loss of a fit."""
    return float(abmil().fit(reference_cohort(64, 256)).record["losses"]["fit"][-1])


def bare() -> float:
    """Last loss of a loop that does nothing but train."""
    cohort, method = reference_cohort(64, 256), abmil()
    edges = time_edges(cohort.time, cohort.event, method.config.intervals)
    interval = label(cohort.time, edges)
    bags_alone = replace(cohort, modalities={"P": cohort.modalities["P"]})
    bags_alone = Transforms.fit(bags_alone).apply(bags_alone)
    net = method.build(Widths.of(bags_alone, len(edges) - 1)).train()
    config = method.config
    optimiser = torch.optim.Adam(
        net.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    draw, total = np.random.default_rng(0), 0.0
    for _ in range(EPOCHS):
        order, total = draw.permutation(len(cohort)), 0.0
        for rows in np.array_split(order, range(config.batch, len(order), config.batch)):
            optimiser.zero_grad(set_to_none=True)
            for part in chunks(bags_alone, rows):
                batch = Batch.of(bags_alone, part, "cpu", interval)
                loss = nll_surv(net(batch), *batch.outcome).sum() / len(rows)
                loss.backward()
                total += float(loss.detach()) * len(rows)
            optimiser.step()
    return total / len(cohort)


@pytest.mark.benchmark(group="overhead")
@pytest.mark.parametrize("loop", [suite, bare])
def test_overhead(benchmark: BenchmarkFixture, loop: Callable[[], float]) -> None:
    found = benchmark.pedantic(loop, warmup_rounds=2, rounds=10)  # type: ignore[no-untyped-call]
    assert np.isfinite(found)


def from_folder(folder: Path) -> Callable[[], NDArray[np.float32]]:
    """Reads every bag of a cohort folder."""
    whole = reference_cohort(8, 2048)
    write_cohort(replace(whole, modalities={"P": whole.modalities["P"]}), folder / "cohort")
    bags = read_cohort(folder / "cohort").modalities["P"]
    assert isinstance(bags, Bags)
    return lambda: bags.gather(range(8))


def from_trident(folder: Path) -> Callable[[], NDArray[np.float32]]:
    """Reads every bag from a file of its own, as TRIDENT writes them."""
    bags = reference_cohort(8, 2048).modalities["P"]
    assert isinstance(bags, Bags)
    paths = [folder / f"slide-{row}.h5" for row in range(8)]
    for row, path in enumerate(paths):
        with h5py.File(path, "w") as file:
            file.create_dataset("features", data=bags.bag(row), chunks=(1, PATCH_WIDTH))

    def read() -> NDArray[np.float32]:
        parts = []
        for path in paths:
            with h5py.File(path) as file:
                parts.append(file["features"][:])
        return np.concatenate(parts)

    return read


@pytest.mark.benchmark(group="bags")
@pytest.mark.parametrize("source", [from_folder, from_trident])
def test_bags(
    benchmark: BenchmarkFixture,
    tmp_path: Path,
    source: Callable[[Path], Callable[[], NDArray[np.float32]]],
) -> None:
    whole = reference_cohort(8, 2048).modalities["P"]
    assert isinstance(whole, Bags)
    np.testing.assert_array_equal(benchmark(source(tmp_path)), whole.features)


def one_fit() -> int:
    """Every regime from one fit; patients predicted."""
    method = get_method("shaspec")
    cohort = reference_cohort(32, 64)
    fitted = method(replace(method.preset("quick"), epochs=2)).fit(cohort)
    return sum(len(fitted.predict(cohort, missing=regime)) for regime in REGIMES)


def fit_for_each() -> int:
    """A fit for each regime; patients predicted."""
    method = get_method("shaspec")
    cohort, count = reference_cohort(32, 64), 0
    for regime in REGIMES:
        fitted = method(replace(method.preset("quick"), epochs=2)).fit(cohort)
        count += len(fitted.predict(cohort, missing=regime))
    return count


@pytest.mark.benchmark(group="regimes")
@pytest.mark.parametrize("way", [one_fit, fit_for_each])
def test_regimes(benchmark: BenchmarkFixture, way: Callable[[], int]) -> None:
    assert benchmark(way) == 32 * len(REGIMES)


def step_of_large_bag() -> Callable[[], object]:
    """Gradient of ABMIL's loss on one bag."""
    cohort = reference_cohort(1, LARGE)
    bags_alone = replace(cohort, modalities={"P": cohort.modalities["P"]})
    method = abmil()
    net = method.build(Widths.of(bags_alone, 4)).train()

    def step() -> Tensor:
        net.zero_grad(set_to_none=True)
        batch = Batch.of(bags_alone, np.arange(1), "cpu", np.zeros(1, np.int64))
        loss = nll_surv(net(batch), *batch.outcome).sum()
        loss.backward()
        return loss.detach()

    return step


def products_alone() -> Callable[[], object]:
    """The same step's products: embedding and both attention halves, forward and backward."""
    config = abmil().config
    patch, token = torch.randn(LARGE, PATCH_WIDTH), torch.randn(LARGE, config.hidden)
    embed = torch.randn(PATCH_WIDTH, config.hidden)
    halves = torch.randn(2, config.hidden, config.attention)
    score = torch.randn(LARGE, config.attention)

    def step() -> Tensor:
        made = patch @ embed
        for half in halves:
            made = token @ half
            made = token.T @ score  # gradient of the weight
            made = score @ half.T  # gradient of the tokens
        made = patch.T @ token
        return made.sum()

    return step


@pytest.mark.benchmark(group="large bag")
@pytest.mark.parametrize("work", [step_of_large_bag, products_alone])
def test_large_bag(benchmark: BenchmarkFixture, work: Callable[[], Callable[[], object]]) -> None:
    found = benchmark(work())
    assert torch.isfinite(torch.as_tensor(found))
