import shutil
from pathlib import Path

import pytest

from survbench.cli import main

REGIMES = ("none", "P", "G@0.3+P@0.4")


@pytest.fixture(scope="session")
def demo_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two quick rows and a floor on demo, as the command writes them."""
    results = tmp_path_factory.mktemp("results")
    words = ["run", "--method", "clinical", "--missing", ",".join(REGIMES[1:])]
    assert main([*words, "--results", str(results)]) == 0
    return results


@pytest.fixture(scope="session")
def _submitted(demo_results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("leaderboards")
    assert main(["submit", str(demo_results), "--to", str(root)]) == 0
    return root


@pytest.fixture
def root(_submitted: Path, tmp_path: Path) -> Path:
    """Folder of submissions with its rendered board, to be changed."""
    return shutil.copytree(_submitted, tmp_path / "leaderboards")
