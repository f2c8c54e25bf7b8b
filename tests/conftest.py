"""Fixtures of the whole suite."""

import os
from pathlib import Path

import pytest

from survbench.bench.machine import keep_freed_memory

collect_ignore = ["example_package"]  # its tests need it installed: test_example_package.py

# One thread: the suite runs two workers on two cores, and numbers do not depend on the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

keep_freed_memory()  # as the workers of a run do; the benchmarks measure those


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `gpu` where there is no CUDA device."""
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of shared data and reference numbers: $SURVBENCH_SHARED, else beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SURVBENCH_SHARED", beside))
    if not folder.is_dir():
        pytest.skip("no folder ../shared beside this checkout and SURVBENCH_SHARED names none")
    return folder
