"""The example of CONTRIBUTING.md as a package: installed by pip and listed.

That it keeps the promises, passes its own tests and becomes a row of a leaderboard is seen where
the guide is followed, which makes the same package (tests/test_contributing.py).
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "example_package"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for PYTHONPATH in which the example is installed; nothing is downloaded."""
    source = tmp_path_factory.mktemp("source") / EXAMPLE.name
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-compile"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}
    where = ["--target", str(target), str(source)]
    command = [sys.executable, "-m", "pip", "install", *options, *where]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return target


def told(*words: str | Path, at: Path, site: Path) -> str:
    """What a command that must succeed prints, run in a folder of its own."""
    scripts = Path(sysconfig.get_path("scripts"))
    done = subprocess.run(
        [str(scripts / words[0]), *map(str, words[1:])],
        cwd=at,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_an_installed_package_is_listed_with_its_first_line(
    installed: Path, tmp_path: Path
) -> None:
    listing = told("survbench", "methods", at=tmp_path, site=installed)
    expected = "meanpair Meanpair: mean-pooled patches beside the gene groups"
    assert expected in " ".join(listing.split())
