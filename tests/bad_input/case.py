"""What a case of bad input is, and how its files are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CANARY = "canary"  # what a payload touches; no test may ever find it
PLUGINS = "plugins"  # folder of a case from which Python imports

Make = Callable[[Path], object]


def nothing(folder: Path) -> None:
    """The command line alone is wrong."""


@dataclass(frozen=True)
class Case:
    """One wrong input and what must be said of it.

    Parameters
    ----------
    id : str
        What is wrong.
    make : callable
        Writes the input into the folder in which the command runs.
    command : str
        The command line.
    names, advises : str
        Parts of the one-line error: the place or the value, and what is allowed or to do.
    limit : (str, int) or None
        A limit of the code that is lowered, so that an input beyond it is small.
    process : bool
        Run in a process of its own, as a person would.
    """

    id: str
    make: Make
    command: str
    names: str
    advises: str
    limit: tuple[str, int] | None = None
    process: bool = False


def both(*makers: Make) -> Make:
    """One after the other."""

    def make(folder: Path) -> None:
        for maker in makers:
            maker(folder)

    return make


def text_file(name: str, content: str | bytes) -> Make:
    """A file of exactly this content."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


class Payload:
    """Unpickling this touches the canary."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / CANARY

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.target,)
