import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from survbench.check.surroundings import changed_settings, memory_limit, writes


def test_writing_moving_and_deleting_are_seen_and_reading_is_not(tmp_path: Path) -> None:
    old, gone, made = tmp_path / "old", tmp_path / "gone", tmp_path / "made"
    for file in (old, gone):
        file.write_text("text")
    kept = tmp_path / "kept"
    kept.write_text("text")
    with writes() as written:
        kept.read_text()
        made.mkdir()
        os.close(os.open(made / "low", os.O_WRONLY | os.O_CREAT))
        old.rename(tmp_path / "new")
        assert written == []  # the list is made at the end
    # The old name is gone, and lay among temporary files.
    assert written == [made, made / "low", tmp_path / "new"]
    (made / "low").unlink()
    with writes() as written:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "passing").write_text("text")
        Path(os.devnull).write_text("text")
    assert written == []


def test_nothing_is_noted_when_nobody_watches(tmp_path: Path) -> None:
    with writes() as written:
        pass
    (tmp_path / "file").write_text("text")
    assert written == []


def test_changed_settings_are_named_and_set_back(tmp_path: Path) -> None:
    here, kept = Path.cwd(), np.geterr()
    with changed_settings() as changed:
        torch.set_default_dtype(torch.float64)
        np.seterr(over="ignore", under="raise")
        os.chdir(tmp_path)
    assert [name.split()[-1] for name in changed] == ["type", "overflow", "folder"]
    assert (torch.get_default_dtype(), np.geterr(), Path.cwd()) == (torch.float32, kept, here)


def test_nothing_changed_is_no_setting() -> None:
    with changed_settings() as changed:
        torch.zeros(2).sum()
    assert changed == []


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_asking_for_more_memory_than_allowed_is_an_error_and_the_limit_ends() -> None:
    with memory_limit(0.5), pytest.raises(RuntimeError, match="allocate"):
        torch.empty(2**30, dtype=torch.uint8)
    assert len(torch.empty(2**30, dtype=torch.uint8)) == 2**30
