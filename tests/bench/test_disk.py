"""Locks that die with their holder, and the sweeping of what the dead left."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from survbench.bench import disk
from survbench.bench.disk import (
    DiskError,
    Lock,
    adopt,
    sweep,
    temporary_folder,
    write_whole,
    writing,
)

HOLD = """
import sys, time
from pathlib import Path
from survbench.bench.disk import Lock
lock = Lock(Path(sys.argv[1]), "cell")
assert lock.take()
lock.folder.mkdir()
(lock.folder / "half").write_text("half")
print("held", flush=True)
time.sleep(600)
"""


def test_a_lock_is_held_by_one_and_leaves_no_trace(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "w", "cell"), Lock(tmp_path / "w", "cell")
    assert first.take()
    assert not second.take()
    first.free()
    assert second.take()
    second.free()
    assert list((tmp_path / "w").iterdir()) == []


def test_the_lock_of_a_killed_process_is_free_and_its_leftovers_are_swept(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "w")], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        sweep(tmp_path / "w")
        assert (tmp_path / "w/cell/half").exists()  # its holder lives
        assert not Lock(tmp_path / "w", "cell").take()
        holder.send_signal(signal.SIGKILL)
    sweep(tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_system_without_locks_lets_everybody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "fcntl", None)
    first, second = Lock(tmp_path, "cell"), Lock(tmp_path, "cell")
    assert first.take()
    assert second.take()
    first.free()
    second.free()


def test_a_work_folder_that_others_remove_at_the_same_moment_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir, races = Path.mkdir, [FileExistsError, FileNotFoundError]

    def racing(*given: Any, **options: Any) -> None:
        if races:
            raise races.pop()
        mkdir(*given, **options)

    monkeypatch.setattr(Path, "mkdir", racing)
    lock = Lock(tmp_path / "w", "cell")
    assert lock.take()
    assert races == []
    lock.free()
    sweep(tmp_path / "w")
    sweep(tmp_path / "w")  # another run has removed it
    assert not (tmp_path / "w").exists()


def test_a_folder_is_adopted_once(tmp_path: Path) -> None:
    for number, wanted in enumerate([True, False]):
        with temporary_folder(tmp_path / "w") as folder:
            (folder / "file").write_text(str(number))
            assert adopt(folder, tmp_path / "final") is wanted
    assert (tmp_path / "final/file").read_text() == "0"
    assert list((tmp_path / "w").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DiskError, match=r"cannot write note\.txt"):
        write_whole(tmp_path / "note.txt", "text", tmp_path / "w")
    tmp_path.chmod(0o700)


def test_a_disk_too_full_for_the_weights_is_told_as_such(tmp_path: Path) -> None:
    size, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, most))
    try:
        told = r"weights: file larger than allowed; .* make room"
        with pytest.raises(DiskError, match=told), writing("weights"):
            save_file({"weight": np.ones(1000)}, tmp_path / "weights.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))


def test_what_is_no_failure_to_write_is_told_as_it_is() -> None:
    with pytest.raises(KeyError, match="weight"), writing("weights"):
        raise KeyError("weight")  # noqa: EM101


def test_a_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("a file")
    with pytest.raises(
        DiskError, match=r"cannot write note\.txt: .*; nothing half-written"
    ) as told:
        write_whole(tmp_path / "note.txt", "text", tmp_path / "w")
    assert "make the results folder writable" in str(told.value)
    with pytest.raises(DiskError, match=r"cannot write cell\.lock: File exists"):
        Lock(tmp_path / "w", "cell").take()
    sweep(tmp_path / "w")
    assert (tmp_path / "w").read_text() == "a file"
