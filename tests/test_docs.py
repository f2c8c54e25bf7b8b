"""What README and CONTRIBUTING say can be done: every command and block is run, or read as typed.

Here commands are read by the real command line, names and regimes included. Those of README are
carried out by test_readme_commands.py, its first two by `.ci/run`, those of the guides by
test_contributing.py.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from survbench.cli import main
from survbench.cli.app import cli
from survbench.cohort import Regime
from survbench.registry import list_methods
from tests.markdown import GUIDE, README, ROOT, blocks, commands, mentioned

PAGES = {page.name: page.read_text(encoding="utf-8") for page in (README, GUIDE)}
MADE = {"meanpair", "ridgepair"}  # methods that the guide makes
TOOLS = {"pytest", "ruff", "mypy", "pre-commit", "mkdocs"}  # from the extras, under their own name
RESULTS = "SURVBENCH_README_RESULTS"  # where the README's command has left its results, if it has
MACHINES = 0.02  # how far a C-index of a network may be off on another processor
COMMANDS = [(page, line) for page, text in PAGES.items() for line in commands(text)]
MENTIONED = [(page, line) for page, text in PAGES.items() for line in mentioned(text)]


def read_by_survbench(words: list[str], *, whole: bool = True) -> None:
    """Let the command line read what was typed, without doing it; not `whole`: a name will do."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, *words = words
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"there is no command {name!r}"
        command = found
    if not whole and not words:
        return
    given = command.make_context(command.name, list(words)).params
    known = {entry.name for entry in list_methods()} | MADE | {"all", "NAME"}
    methods = ",".join(given.get("methods") or ()).split(",")
    assert set(filter(None, methods)) <= known
    for regime in ",".join(given.get("missing") or ()).split(","):
        Regime.parse(regime or "none")


def read_by_pip(words: list[str]) -> None:
    """Check that what is installed has the extras that are asked for."""
    assert words[:2] == ["install", "-e"]
    place, extra = words[2].partition("[")[0], re.search(r"\[(\w+)\]$", words[2])
    assert extra is not None
    home = ROOT / ("tests/example_package" if any(name in place for name in MADE) else place)
    about = tomllib.loads((home / "pyproject.toml").read_text())["project"]
    assert extra[1] in about["optional-dependencies"]


def read_by_pytest(words: list[str]) -> None:
    """Check that the paths exist, or are what the guide makes."""
    for word in words:
        path = word.partition("::")[0]
        if "/" in path or (ROOT / path).exists():
            assert (ROOT / path).exists() or any(name in path for name in MADE)


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[line for _, line in COMMANDS])
def test_every_command_is_one_that_can_be_typed(page: str, line: str) -> None:
    tool, *words = shlex.split(line)
    tool = tool.removeprefix(".venv/bin/")
    if tool == "survbench":
        read_by_survbench(words)
    elif tool == "pip":
        read_by_pip(words)
    elif tool == "pytest":
        read_by_pytest(words)
    elif tool in TOOLS:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        needed = extras["optional-dependencies"]
        assert any(one.startswith(tool) for name in ("dev", "docs") for one in needed[name])
    else:
        known = ("python -m venv .venv", "source .venv/bin/activate", "lint-imports")
        assert line in known, f"{page}: nobody knows whether {line!r} works; say so here"


@pytest.mark.parametrize(("page", "line"), MENTIONED, ids=[line for _, line in MENTIONED])
def test_every_command_in_a_sentence_can_be_typed(page: str, line: str) -> None:
    read_by_survbench(shlex.split(line)[1:], whole=False)


@pytest.mark.parametrize("block", blocks(PAGES["README.md"], "python"))
def test_every_python_block_of_the_readme_runs(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    assert shown.getvalue().strip()
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_link_leads_to_a_file_that_exists() -> None:
    for page, text in PAGES.items():
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (ROOT / target).exists(), f"{page} links to {target}"


@pytest.mark.slow
def test_the_readme_shows_what_its_command_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = next(line for line in commands(PAGES["README.md"]) if "survbench run" in line)
    words = shlex.split(command)[1:]
    results = os.environ.get(RESULTS, str(tmp_path / "results"))
    assert main([*words, "--results", results]) == 0
    printed = capsys.readouterr().out
    (shown,) = blocks(PAGES["README.md"], "text")
    then, now = (text.splitlines() for text in (shown, printed))
    for old, new in zip(then, now, strict=False):
        if " must " not in old:
            assert old == new
            continue
        (*row, c_index), (*same, found) = (
            re.split(r" +", line, maxsplit=4)[:5] for line in (old, new)
        )
        assert row == same
        assert abs(float(c_index.split()[0]) - float(found.split()[0])) < MACHINES
