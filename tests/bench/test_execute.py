"""Many cells in several processes; kills, hangs, crowds and full disks are in tests/faults."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from survbench.bench.execute import Watcher, deaf_to_ctrl_c, death, execute
from survbench.bench.ground import Source
from survbench.bench.plan import Plan
from survbench.bench.run import Outcome
from tests.bench.conftest import run_here
from tests.bench.fakes import FAULT

Planner = Callable[..., Plan]
Fits = Callable[[], list[str]]
ROOT = Path(__file__).resolve().parents[2]


def statuses(outcomes: list[Outcome]) -> dict[int, str]:
    return {outcome.cell.fold: outcome.status for outcome in outcomes}


def test_a_dead_worker_fails_its_cell_and_the_run_goes_on(
    plan: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULT, "plain/0=die")
    made = plan(jobs=1)
    assert statuses(execute(made, Watcher())) == {0: "failed", 1: "done"}
    assert made.failures() == [
        "plain seed 0 fold 0 fit: ChildProcessError: its process was killed by SIGKILL "
        "(out of memory?)"
    ]
    assert not (made.results / ".work").exists()


def test_what_goes_wrong_outside_of_a_fit_is_kept_as_failed(
    plan: Planner, fakes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(folds=(0,), jobs=1)
    made.todo[0] = replace(made.todo[0], threads=-1)  # no library takes so many
    assert statuses(execute(made, Watcher())) == {0: "failed"}
    assert "plain seed 0 fold 0 fit: RuntimeError" in made.failures()[0]


def test_a_worker_is_sent_the_names_of_the_patients_place_and_not_the_patients() -> None:
    source = Source("demo")
    assert len(source.ground.cohort) == 200
    sent = pickle.dumps(source)
    assert len(sent) < 500  # a new process is waited for until it has read it: a pipe must hold it
    assert pickle.loads(sent) == source
    assert "ground" not in vars(pickle.loads(sent))


@pytest.mark.parametrize("threads", [0, 3])
def test_ctrl_c_while_a_worker_is_born_is_heard_afterwards(threads: int) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    end = threading.Event()
    others = [threading.Thread(target=end.wait) for _ in range(threads)]  # they may take it instead
    try:
        for other in others:
            other.start()
        with deaf_to_ctrl_c():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            assert heard == []
        assert heard == [signal.SIGINT]
    finally:
        end.set()
        signal.signal(signal.SIGINT, before)


def test_the_death_of_a_process_is_put_in_words() -> None:
    assert death(-9) == "was killed by SIGKILL (out of memory?)"
    assert death(-(signal.SIGRTMIN + 1)) == f"was killed by signal {signal.SIGRTMIN + 1}"
    assert death(3) == "ended by itself with exit code 3"


def test_many_processes_give_the_bytes_of_one(plan: Planner, tmp_path: Path) -> None:
    here = plan("plain", "G@0.4", results=tmp_path / "here")
    run_here(here)
    there = plan("plain", "G@0.4", results=tmp_path / "there", jobs=2)
    execute(there, Watcher())
    assert predictions(tmp_path / "here") == predictions(tmp_path / "there")
    assert len(predictions(tmp_path / "there")) == 4


def test_a_cell_that_another_run_holds_is_waited_for(plan: Planner, fits: Fits) -> None:
    made = plan(jobs=1)
    lock = made.todo[0].cell.lock
    assert lock.take()
    seen = []

    class Freeing(Watcher):
        def ended(self, outcome: Outcome) -> None:
            seen.append(outcome.cell.fold)
            if len(seen) == 1:
                lock.free()

    execute(made, Freeing())
    assert seen == [1, 0]
    assert len(fits()) == 2


def predictions(results: Path) -> dict[str, bytes]:
    """Bytes of every prediction file, by its path in the results folder."""
    files = results.glob("demo/*/*/*/predictions/*.csv")
    return {str(file.relative_to(results)): file.read_bytes() for file in files}


def test_a_failed_cell_is_named_and_the_exit_code_is_1(fakes: Path, results: Path) -> None:
    words = ["run", "--method", "plain", "--missing", "G@0.4", "--folds", "0,1", "--jobs", "1"]
    path = os.pathsep.join([str(fakes), str(ROOT), os.environ.get("PYTHONPATH", "")])
    made = subprocess.run(
        [sys.executable, "-m", "survbench", *words, "--device", "cpu", "--results", str(results)],
        env=os.environ | {"PYTHONPATH": path, FAULT: "plain/1=raise"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 1
    assert "failed: plain seed 0 fold 1 fit: ValueError: broken on purpose" in made.stderr
    kept = json.loads(next(results.rglob("failed.json")).read_text())
    assert kept["stage"] == "fit"
