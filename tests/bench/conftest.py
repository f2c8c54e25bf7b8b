"""Fixtures of the runs: misbehaving methods, a log of fits, plans on the demo cohort."""

from collections.abc import Callable
from pathlib import Path

import pytest

from survbench.bench.ground import Ground
from survbench.bench.plan import Plan, Request, make_plan
from survbench.bench.run import Outcome, run_task
from tests.bench.fakes import FAULT, LOG, announce


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Announce the methods of tests/bench/fakes.py; the folder to put on PYTHONPATH."""
    folder = tmp_path / "site"
    announce(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv(LOG, str(tmp_path / "fits.log"))
    monkeypatch.delenv(FAULT, raising=False)
    return folder


@pytest.fixture
def fits(fakes: Path) -> Callable[[], list[str]]:
    """Every fit so far, as `method seed fold`."""
    log = fakes.parent / "fits.log"
    return lambda: log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results folder that does not exist yet."""
    return tmp_path / "results"


@pytest.fixture
def plan(fakes: Path, results: Path) -> Callable[..., Plan]:
    """Plan of a method on folds 0 and 1 of the demo cohort, without the rows of the truth."""

    def make(method: str = "plain", *missing: str, **options: object) -> Plan:
        defaults: dict[str, object] = {"folds": (0, 1), "device": "cpu", "results": results}
        made = make_plan(Request((method,), missing, **(defaults | options)))  # type: ignore[arg-type]
        made.todo[:] = [task for task in made.todo if task.setting.method == method]
        return made

    return make


def run_here(plan: Plan) -> list[Outcome]:
    """What the workers do, in this process."""
    ground: Ground = plan.ground
    return [run_task(task, ground) for task in plan.todo]
