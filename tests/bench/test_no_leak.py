"""What a cell learns, seen on disk: nothing of the fold it is tested on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from survbench.bench.ground import Ground
from survbench.bench.plan import Request, make_plan
from survbench.bench.run import run_task
from survbench.check.sample import overwritten, with_outcome


def without_truth_in(ground: Ground, fold: int) -> Ground:
    """Ground whose test patients of `fold` have nonsense for features and outcome."""
    test = ground.fold == fold
    cohort = overwritten(ground.cohort, 99.0, dict.fromkeys(ground.cohort.modalities, test))
    time = np.where(test, 500.0, cohort.time)
    return replace(ground, cohort=with_outcome(cohort, time, cohort.event ^ test))


@pytest.mark.parametrize("name", ["cox", "switch", "abmil"])
def test_weights_on_disk_do_not_depend_on_the_test_fold(name: str, tmp_path: Path) -> None:
    changes = ("epochs=1",) if name == "abmil" else ()
    weights = []
    for folder in ("true", "nonsense"):
        results = tmp_path / folder
        plan = make_plan(
            Request((name,), folds=(0,), device="cpu", results=results, changes=changes)
        )
        ground = plan.ground if folder == "true" else without_truth_in(plan.ground, 0)
        task = next(task for task in plan.todo if task.setting.method == name)
        assert run_task(task, ground).status == "done"
        weights.append((task.cell.folder / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]
