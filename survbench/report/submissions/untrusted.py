"""Reading what strangers sent: plain names, plain files, bounded sizes; nothing is run."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from pathlib import Path
from typing import Any

from survbench.cohort.folder import NAME
from survbench.errors import ResultError

MAX_FILE = 32 * 2**20  # bytes of any file of a submission
MAX_TEXT = 256 * 2**20  # bytes of a table once unpacked
FRESH = "take a fresh copy of the submission"
_SETTING = re.compile(r"[0-9a-f]{12}")


def check_names(cohort: str, method: str, setting: str) -> None:
    """Refuse names that are no plain part of a path.

    Raises
    ------
    ResultError
        A name could lead elsewhere, or the setting is no id.
    """
    for kind, name, form in (
        ("cohort", cohort, NAME),
        ("method", method, NAME),
        ("setting", setting, _SETTING),
    ):
        if form.fullmatch(name) is None:
            msg = (
                f"{kind} {name!r} cannot name a submission; letters, digits, '_', '-' and '.' can, "
                "and 12 hex digits a setting"
            )
            raise ResultError(msg)


def read_bytes(path: Path) -> bytes:
    """A plain file of bounded size, never through a link.

    Raises
    ------
    ResultError
        There is none, or it is a link or too large.
    """
    if path.is_symlink() or not path.is_file():
        msg = f"{path} is no plain file; {FRESH}"
        raise ResultError(msg)
    if path.stat().st_size > MAX_FILE:
        msg = f"{path} is larger than {MAX_FILE >> 20} MiB, more than a submission can need"
        raise ResultError(msg)
    return path.read_bytes()


def read_object(path: Path, data: bytes) -> dict[str, Any]:
    """JSON object of a file's bytes.

    Raises
    ------
    ResultError
        It is none; the path is for the message.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        msg = f"{path} cannot be read: {error}; {FRESH}"
        raise ResultError(msg) from error
    if not isinstance(value, dict):
        msg = f"{path} holds no object with 'schema' and 'cells'; {FRESH}"
        raise ResultError(msg)
    return value


def read_zipped_rows(path: Path, data: bytes) -> list[list[str]]:
    """Rows of a gzipped CSV's bytes; no more is unpacked than is allowed.

    Raises
    ------
    ResultError
        It is damaged, empty or too large; the path is for the message.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            text = file.read(MAX_TEXT + 1)
        lines = [] if len(text) > MAX_TEXT else text.decode("utf-8").splitlines()
        rows = list(csv.reader(lines, strict=True))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        msg = f"{path} cannot be read: {error}; {FRESH}"
        raise ResultError(msg) from error
    if not rows:
        large = len(text) > MAX_TEXT
        what = f"unpacks to more than {MAX_TEXT >> 20} MiB" if large else "is empty"
        msg = f"{path} {what}; {FRESH}"
        raise ResultError(msg)
    return rows
