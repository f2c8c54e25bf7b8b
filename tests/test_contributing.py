"""The guide of CONTRIBUTING.md, followed as it stands, from a skeleton to a row of a board."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.markdown import GUIDE, ROOT, blocks, commands, section
from tests.test_packaging import NOT_SOURCE

TEXT = GUIDE.read_text(encoding="utf-8")
WAYS = {"(a)": "meanpair", "(b)": "meanpair", "(c)": "ridgepair"}
OFFLINE = ["--quiet", "--no-deps", "--no-build-isolation", "--no-compile"]


def test_the_guide_shows_the_method_of_the_example_package() -> None:
    (shown,) = blocks(TEXT, "python")
    example = ROOT / "tests/example_package/src/survbench_meanpair.py"
    assert shown == example.read_text(encoding="utf-8")


def test_the_guide_shows_the_entry_point_of_the_example_package() -> None:
    (shown,) = blocks(section(TEXT, "(b)"), "toml")
    assert shown in (ROOT / "tests/example_package/pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_following_the_guide_ends_with_a_row_of_a_leaderboard(way: str, tmp_path: Path) -> None:
    copy, site = tmp_path / "survbench", tmp_path / "site"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=NOT_SOURCE)
    dropped = ("PYTHONWARNINGS", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER")
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    environment["PYTHONPATH"] = os.pathsep.join([str(site), str(copy)])
    printed = {}
    for line in commands(section(TEXT, way)):
        tool, *words = shlex.split(line)
        if tool == "pip":
            what = copy / words[2].partition("[")[0]
            command = [sys.executable, "-m", "pip", "install", *OFFLINE, "--target", site, what]
        elif tool == "pytest":
            command = [sys.executable, "-m", "pytest", *words]
        else:
            command = [Path(sysconfig.get_path("scripts"), tool), *words]
        done = subprocess.run(
            list(map(str, command)),
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        printed[" ".join([tool, *words[:1]])] = done.stdout
    name = WAYS[way]
    assert "BROKEN" not in printed["survbench check"]
    for board in ("survbench run", "survbench leaderboard"):
        rows = [line.split() for line in printed[board].splitlines() if f" {name} " in line]
        assert {row[2] for row in rows} >= {"none", "P", "G"}
