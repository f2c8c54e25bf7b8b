"""JSON files of a cell: its record, and why something failed or was refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from survbench.errors import ResultError


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object with sorted keys; what is not finite is refused."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Object of a JSON file.

    Raises
    ------
    ResultError
        It cannot be read, or holds something else.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from error


def read_note(path: Path, key: str) -> str | None:
    """What a note says under a key; None where there is none, or it was just taken away.

    Raises
    ------
    ResultError
        It cannot be read, or lacks the key.
    """
    if not path.is_file():
        return None
    try:
        note = read_json(path)
    except ResultError:
        if path.exists():
            raise
        return None
    if key not in note:
        raise _damaged(path, f"it lacks {key!r}")
    return str(note[key])


def _damaged(path: Path, why: object) -> ResultError:
    return ResultError(f"{path} is damaged ({why}); delete it and run the same command again")
