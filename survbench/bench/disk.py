"""Writes that are whole or absent, and locks that die with their holder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from survbench.errors import SurvbenchError

try:
    import fcntl
except ImportError:  # no such locks on this system: two runs at once then merely do work twice
    fcntl = None  # type: ignore[assignment]

WORK = ".work"  # inside the results folder, so that a rename never crosses file systems
FULL = {  # errors of a disk that takes no more, in words
    errno.ENOSPC: "no space left",
    errno.EDQUOT: "quota used up",
    errno.EFBIG: "file larger than allowed",
}
# safetensors hides the system's error in its text, since 0.8 as "os error 28", before as "code: 28"
_HIDDEN = re.compile(r"I/?O ?error.*?(?:os error|code:) (\d+)", re.IGNORECASE | re.DOTALL)


class DiskError(SurvbenchError, OSError):
    """The results folder cannot be written: the run stops, what is finished stays."""


@contextlib.contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn a failure to write into one line that says what was being written."""
    try:
        yield
    except DiskError:
        raise
    except OSError as error:
        raise _cannot(what, error.errno or 0, str(error.strerror)) from error
    except Exception as error:
        hidden = _HIDDEN.search(str(error))
        if hidden is None:
            raise
        number = int(hidden[1])
        raise _cannot(what, number, os.strerror(number)) from error


def _cannot(what: str, number: int, why: str) -> DiskError:
    full = FULL.get(number)
    remedy = "make room" if full else "make the results folder writable"
    return DiskError(
        f"cannot write {what}: {full or why}; nothing half-written is left, finished cells stay: "
        f"{remedy} and run the same command again"
    )


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sums_line(path: Path) -> str:
    """Hash and name of a file, as `sha256sum` writes them."""
    return f"{sha256_of(path)}  {path.name}\n"


def flush(folder: Path) -> None:
    """Ask the system to keep every file of a folder before it gets its final name."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def write_whole(path: Path, text: str, work: Path) -> None:
    """Write a text file that is there whole or not at all; an existing one is replaced."""
    temporary = work / f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}"
    with writing(path.name):
        try:
            work.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(work: Path) -> Iterator[Path]:
    """New folder below `work`, removed afterwards unless it was renamed away."""
    folder = work / f"{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with writing(folder.name):
            folder.mkdir(parents=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def adopt(folder: Path, final: Path) -> bool:
    """Rename a finished folder to its final name; False when another run was first."""
    with writing(final.name):
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.rename(final)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
    return True


class Lock:
    """Advisory lock on a name in a work folder; the system frees it when its holder dies.

    Whatever temporary files lie in the lock's own folder while it is held are somebody's who died,
    so taking the lock empties the folder.
    """

    def __init__(self, work: Path, name: str) -> None:
        self.folder = work / name
        self._path = work / f"{name}.lock"
        self._file: int | None = None

    def take(self) -> bool:
        """Take the lock if it is free; True also where the file system has no locks."""
        while True:
            file = self._open()
            if fcntl is None:
                os.close(file)
                return True
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            except OSError:  # a file system without locks: nobody's leftovers can be told apart
                os.close(file)
                return True
            if self._still_there(file):
                shutil.rmtree(self.folder, ignore_errors=True)
                self._file = file
                return True
            os.close(file)

    def free(self) -> None:
        """Give the lock back and leave no trace of it, or one that the next run sweeps."""
        if self._file is None:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # gone, or the disk has just become read-only
            self._path.unlink()
        os.close(self._file)
        self._file = None

    def _open(self) -> int:
        with writing(self._path.name):
            while True:
                # another run may remove the empty work folder at any moment
                with contextlib.suppress(FileNotFoundError):
                    _make_shared(self._path.parent)
                    return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)

    def _still_there(self, file: int) -> bool:
        """Whether the locked file still has its name: its last holder may have removed it."""
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except FileNotFoundError:
            return False


def _make_shared(folder: Path) -> None:
    """Make a folder that others may make or remove at the same time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # it was there for `mkdir`, but gone at the look that follows
        if folder.exists():
            raise
        raise FileNotFoundError(*error.args) from error


def sweep(work: Path) -> None:
    """Remove what runs that died have left in a work folder; a living run's is left alone."""
    if fcntl is None:
        return
    try:
        left = sorted(work.iterdir())
    except (FileNotFoundError, NotADirectoryError):  # none, or another run has just removed it
        return
    for path in left:
        lock = Lock(work, path.name.removesuffix(".lock"))
        if lock.take():
            lock.free()
    with contextlib.suppress(OSError):  # somebody else is at work in it
        work.rmdir()
