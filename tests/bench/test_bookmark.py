"""A long fit that was killed goes on from its bookmark, and from no other fit's."""

import json
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from survbench.bench.cell import UNFINISHED
from survbench.bench.plan import Request, make_plan
from survbench.bench.run import Task, run_task
from survbench.bookmark import Bookmark
from survbench.method import Progress

EPOCHS = 4


class KilledError(BaseException):
    """Ends a fit as a signal would: nothing on the way catches it."""


@pytest.fixture
def _kept_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("survbench.bench.run.Bookmark", partial(Bookmark, every=0))


def ran(results: Path, *, killed_in: int = EPOCHS + 1, threads: int = 1) -> tuple[Task, list[int]]:
    """The one cell of a run, and its epochs; the run dies at the end of epoch `killed_in`."""
    changes = (f"epochs={EPOCHS}", "hidden=16", "attention=8")
    request = Request(("abmil",), folds=(0,), device="cpu", results=results, changes=changes)
    made = make_plan(request)
    (task,) = (task for task in made.tasks if task.setting.method == "abmil")
    epochs: list[int] = []

    def report(progress: Progress) -> None:
        if progress.done >= killed_in:
            raise KilledError
        epochs.append(progress.done)

    with suppress(KilledError):
        run_task(replace(task, threads=threads), made.ground, report)
    return task, epochs


def content(task: Task) -> dict[str, object]:
    """Files of a cell; its record without what it spent."""
    folder = task.cell.folder
    record = json.loads((folder / "cell.json").read_text())
    spent = ("seconds", "peak_memory_mib", "peak_gpu_memory_mib")
    files = ("train.csv", "fit.json", "weights.safetensors", "predictions/none.csv")
    told = {key: value for key, value in record.items() if key not in spent}
    return {"record": told, **{name: (folder / name).read_bytes() for name in files}}


@pytest.mark.usefixtures("_kept_at_once")
def test_the_next_run_ends_a_killed_fit_as_if_it_had_never_been_killed(tmp_path: Path) -> None:
    whole, epochs = ran(tmp_path / "whole")
    assert epochs == [1, 2, 3, 4]
    _, epochs = ran(tmp_path / "killed", killed_in=3)
    assert epochs == [1, 2]
    assert len(list((tmp_path / "killed" / UNFINISHED).iterdir())) == 1
    task, epochs = ran(tmp_path / "killed")
    assert epochs == [3, 4]
    assert content(task) == content(whole)
    assert not (tmp_path / "killed" / UNFINISHED).exists()


@pytest.mark.usefixtures("_kept_at_once")
def test_the_seconds_of_a_fit_are_those_of_all_its_runs(tmp_path: Path) -> None:
    ran(tmp_path, killed_in=3)
    (file,) = (tmp_path / UNFINISHED).iterdir()
    import torch

    kept = torch.load(file, weights_only=True)
    assert kept["seconds"] > 0
    torch.save(kept | {"seconds": 1000.0}, file)
    task, _ = ran(tmp_path)
    assert 1000 < task.cell.record["seconds"] < 1100


@pytest.mark.usefixtures("_kept_at_once")
def test_a_fit_under_other_conditions_begins_anew(tmp_path: Path) -> None:
    ran(tmp_path, killed_in=3)
    _, epochs = ran(tmp_path, threads=2)
    assert epochs == [1, 2, 3, 4]


@pytest.mark.usefixtures("_kept_at_once")
def test_a_damaged_bookmark_is_as_good_as_none(tmp_path: Path) -> None:
    ran(tmp_path, killed_in=3)
    (file,) = (tmp_path / UNFINISHED).iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    _, epochs = ran(tmp_path)
    assert epochs == [1, 2, 3, 4]
    assert not (tmp_path / UNFINISHED).exists()


def test_a_short_fit_keeps_none(tmp_path: Path) -> None:
    _, epochs = ran(tmp_path, killed_in=3)
    assert epochs == [1, 2]
    assert not (tmp_path / UNFINISHED).exists()


def test_where_nothing_can_be_kept_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here no folder can be made")
    bookmark = Bookmark(tmp_path / "file" / "fit.pt", "key", every=0)
    bookmark.keep({"losses": [1.0]})
    assert bookmark.read() is None
    bookmark.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_last_state_is_read_by_the_fit_that_kept_it_alone(tmp_path: Path) -> None:
    file = tmp_path / "deeper" / "fit.pt"
    for losses in ([2.0], [2.0, 1.0]):
        Bookmark(file, "mine").keep({"losses": losses})
    assert Bookmark(file, "mine").read() == {"losses": [2.0, 1.0]}
    assert Bookmark(file, "other").read() is None
