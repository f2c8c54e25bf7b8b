"""What surrounds a method while a promise is tried: memory, random state, settings, files."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

try:
    import resource
except ImportError:  # no such limits on this system: a method that needs too much is slow instead
    resource = None  # type: ignore[assignment]

GIB = 1024**3
_CHANGING = {  # events: which arguments are paths, and which the open folder they are relative to
    "os.mkdir": ((0,), 2),
    "os.remove": ((0,), 1),
    "os.rmdir": ((0,), 1),
    "os.rename": ((0, 1), 2),
    "os.link": ((1,), 3),
    "os.symlink": ((1,), 2),
    "os.truncate": ((0,), None),
}
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_noted: list[str] | None = None  # paths touched while somebody watches
_hooked = False  # an audit hook cannot be taken out again: there is one, and it mostly sleeps


@contextmanager
def memory_limit(gib: float) -> Iterator[None]:
    """Let this process allocate so much beyond what it has; more is an error, not a dead process.

    Does nothing where the system has no such limit.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    allowed = pages * resource.getpagesize() + int(gib * GIB)
    if before[0] != resource.RLIM_INFINITY:
        allowed = min(allowed, before[0])
    resource.setrlimit(resource.RLIMIT_AS, (allowed, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def changed_settings() -> Iterator[list[str]]:
    """Settings of the process that a block changes, listed after it; they are then set back."""
    import torch  # noqa: PLC0415

    changed: list[str] = []
    settings: dict[str, tuple[Any, Any]] = {
        "the number of torch threads": (torch.get_num_threads, torch.set_num_threads),
        "torch's default number type": (torch.get_default_dtype, torch.set_default_dtype),
        "whether torch keeps gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
        "what numpy does about overflow": (np.geterr, lambda kept: np.seterr(**kept)),
        "the working folder": (Path.cwd, os.chdir),
    }
    before = {name: read() for name, (read, _) in settings.items()}
    try:
        yield changed
    finally:
        for name, (read, write) in settings.items():
            if read() != before[name]:
                changed.append(name)
                write(before[name])


@contextmanager
def writes() -> Iterator[list[Path]]:
    """Files and folders that Python writes, moves or deletes in a block, listed after it.

    Left out are byte code, devices, and temporary files that are gone at its end. What a compiled
    library does by itself is not seen.
    """
    global _noted, _hooked  # noqa: PLW0603  (one hook per process, see above)
    if not _hooked:
        sys.addaudithook(_note)
        _hooked = True
    written: list[Path] = []
    _noted = []
    try:
        yield written
    finally:
        noted, _noted = _noted, None
        paths = [Path(os.path.realpath(text)) for text in dict.fromkeys(noted)]
        written += [path for path in paths if _counts(path)]


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    """Remember what an event of the interpreter writes."""
    if _noted is None:
        return
    if event == "open":
        path, _, flags = arguments
        if (flags or 0) & _TO_WRITE:
            _keep(path)
    elif event in _CHANGING:
        paths, folder = _CHANGING[event]
        if folder is None or arguments[folder] == -1:  # else part of deleting a whole folder
            for index in paths:
                _keep(arguments[index])


def _keep(path: object) -> None:
    """Add a path to what is noted; an open file, which is a number, was noted when opened."""
    if _noted is not None and isinstance(path, str | bytes | os.PathLike):
        _noted.append(os.fsdecode(path))


def _counts(path: Path) -> bool:
    """Whether something written is of lasting effect."""
    temporary = path.is_relative_to(os.path.realpath(tempfile.gettempdir()))
    gone = temporary and not path.exists()
    return not (gone or path.is_relative_to("/dev") or "__pycache__" in path.parts)
