"""Small patients that the tests of several methods share."""

import math

import numpy as np
import torch
from torch import Tensor

from survbench.cohort import Cohort, Regime
from survbench.cohort.demo import simulate
from survbench.learn import Batch, NeuralMethod
from tests.parity.fixture import batch

BLCA = {str(i): size for i, size in enumerate((94, 334, 521, 468, 1496, 479))}
ROUND = {str(i): 100 * (i + 1) for i in range(6)}
SIZES = {"a": 3, "b": 5, "c": 2}
GROUPS = {"a": range(3), "b": range(3, 8), "c": range(8, 10)}


def bags(*lengths: int) -> list[Tensor]:
    """Bags of these lengths, of patches 6 wide."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, 6, generator=generator) for length in lengths]


def patients(*lengths: int) -> Batch:
    """Patients with bags of these lengths, genes and an outcome."""
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.randn(length, 6, generator=generator) for length in lengths]
    made = batch(drawn, torch.randn(len(lengths), 10, generator=generator), GROUPS)
    made.interval = torch.arange(len(lengths)) % 4
    made.event = (torch.arange(len(lengths)) % 2).float()
    return made


def one_of(whole: Batch, row: int) -> Batch:
    """One patient of a batch, alone."""
    drawn = whole.bags("P").features.split(whole.bags("P").length.tolist())
    alone = batch([drawn[row]], whole.genes("G").values[row : row + 1], GROUPS)
    interval, event = whole.outcome
    alone.interval, alone.event = interval[row : row + 1], event[row : row + 1]
    alone.case_id = (whole.case_id[row],)  # the random streams of a patient go by the name
    return alone


def cohort(n: int = 40, seed: int = 3, modalities: tuple[str, ...] = ("P", "G")) -> Cohort:
    """Simulated patients with bags of 2 to 30 patches."""
    return simulate(n=n, seed=seed, patches=(2, 30), modalities=modalities)


def everybody(method: NeuralMethod, data: Cohort, missing: str = "none") -> Batch:
    """All patients of a cohort in one training batch, as the suite hands them to the method."""
    seen = method._scaled(Regime.parse(missing).apply(data).cohort)
    made = Batch.of(seen, np.arange(len(seen)))
    made.interval = torch.arange(len(seen)) % method.widths.intervals
    made.event = (torch.arange(len(seen)) % 2).float()
    return made


@torch.no_grad()
def never_read(method: NeuralMethod, gone: str) -> None:
    """NaN in place of a modality reaches those who have it, and nobody who lacks it."""
    batch = everybody(method, cohort(n=12, seed=5), missing=f"{gone}@0.5")
    clean = method.infer(batch).logits
    has = batch.modalities[gone].rows
    lack = sorted(set(range(12)) - set(has.tolist()))
    (batch.bags("P").features if gone == "P" else batch.genes("G").values).fill_(math.nan)
    found = method.infer(batch).logits
    assert lack
    assert torch.equal(found[lack], clean[lack])
    assert bool(found[has].isnan().all())
