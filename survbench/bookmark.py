"""Where a long fit stands, kept on disk, so that a run that was killed goes on from there.

A bookmark is used for the fit that wrote it alone (`key`): data, config, seed, the method's source,
versions, hardware and threads must be the same, for the result must be that of an undisturbed fit,
bit by bit.
"""

from __future__ import annotations

import contextlib
import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EVERY = 600.0


@dataclass
class Bookmark:
    """State of an unfinished fit in one file.

    Parameters
    ----------
    file : Path
        Where it is kept; its folder is made when it is needed.
    key : str
        Names the fit; a file with another key is not read.
    every : float
        Seconds after which the state is kept again, at the end of an epoch.
    seconds : float
        What earlier runs spent on the fit, up to where it goes on; set by `read`.
    """

    file: Path
    key: str
    every: float = EVERY
    seconds: float = 0.0
    _begun: float = field(default_factory=time.monotonic)
    _kept: float = field(default_factory=time.monotonic)

    def read(self) -> Mapping[str, Any] | None:
        """State that was kept; None where there is none, it is damaged, or of another fit."""
        import torch  # noqa: PLC0415  (listing cells must not load torch)

        try:
            found = torch.load(self.file, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            return None
        if not isinstance(found, dict) or found.get("key") != self.key:
            return None
        self.seconds = found["seconds"]
        state: Mapping[str, Any] = found["state"]
        return state

    @property
    def due(self) -> bool:
        """Whether enough time has passed to keep the state again."""
        return time.monotonic() - self._kept >= self.every

    def keep(self, state: Mapping[str, Any]) -> None:
        """Keep a state in place of the last; where the disk takes none, the fit goes on without."""
        import torch  # noqa: PLC0415

        self._kept = time.monotonic()
        seconds = self.seconds + self._kept - self._begun
        half = self.file.with_suffix(".half")
        with contextlib.suppress(OSError, RuntimeError):  # torch hides a full disk in the latter
            self.file.parent.mkdir(parents=True, exist_ok=True)
            torch.save({"key": self.key, "seconds": seconds, "state": dict(state)}, half)
            half.replace(self.file)

    def remove(self) -> None:
        """Remove the file: the fit is whole, or begins anew."""
        with contextlib.suppress(OSError):
            for file in (self.file, self.file.with_suffix(".half")):
                file.unlink(missing_ok=True)
            self.file.parent.rmdir()  # other fits' bookmarks keep it
