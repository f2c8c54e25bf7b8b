"""Wrong and hostile input at the command line: one line, exit code 2, nothing written, nothing run.

Each kind of input has a table of cases beside this file.
"""

import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from survbench.cli import main
from survbench.cohort.demo import simulate
from tests.bad_input import cohorts, folds, plugins, records, requests, slides, submissions, tables
from tests.bad_input.case import CANARY, PLUGINS, Case

CASES = [
    case
    for kind in (tables, slides, cohorts, folds, requests, plugins, submissions, records)
    for case in kind.CASES
]
SIMULATED = cache(simulate)  # the same patients for every case, drawn once
Said = tuple[int, str]


def tree(folder: Path) -> dict[str, str]:
    """What is below a folder: files by their content, links by where they lead."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            what = f"link to {path.readlink()}"
        elif path.is_file():
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            what = "folder" if path.is_dir() else "special"
        found[str(path.relative_to(folder))] = what
    return found


def in_process(case: Case, capsys: pytest.CaptureFixture[str]) -> Said:
    """Exit code and stderr of a command."""
    code = main(shlex.split(case.command))
    return code, capsys.readouterr().err


def in_own_process(case: Case, folder: Path) -> Said:
    """The same of the command that people type."""
    path = os.pathsep.join([str(folder / PLUGINS), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "survbench", *shlex.split(case.command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the command runs: not the top, so that a path that leads upwards is seen."""
    work = tmp_path / "home" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(work / PLUGINS))
    monkeypatch.setattr("survbench.cohort.catalogue.simulate", SIMULATED)
    yield work
    for name in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[name]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_bad_input_is_one_line_that_helps_with_exit_code_2_and_leaves_no_trace(
    case: Case,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case.make(folder)
    before = tree(tmp_path)
    if case.limit is not None:
        monkeypatch.setattr(*case.limit)
    capsys.readouterr()
    code, told = in_own_process(case, folder) if case.process else in_process(case, capsys)
    assert (code, told.count("\n")) == (2, 1), told
    assert told.startswith("error: ")
    assert case.names in told
    assert case.advises in told
    assert told.strip().isprintable()
    assert CANARY not in {path.name for path in tmp_path.rglob("*")}
    assert tree(tmp_path) == before


def test_there_are_at_least_a_hundred_cases_each_with_a_name_of_its_own() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 100
