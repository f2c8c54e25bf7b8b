"""CSV tables as text, plain or in an archive, and what a case id may be.

Tables come from anywhere: an archive is never unpacked to disk, nor further than is allowed.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pandas as pd

from survbench.errors import CohortError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_UNPACKED = 4 * 2**30  # bytes of an archived table; 11,000 patients x 20,000 genes take half

# A case id names files, so nothing that could leave a folder is allowed.
_CASE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_UNREADABLE = (
    OSError,
    MemoryError,
    ValueError,
    EOFError,
    LookupError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
    csv.Error,
)


def check_case_id(case_id: str, place: str) -> None:
    """Refuse a case id that could not be a file name.

    Raises
    ------
    CohortError
        Naming the id and `place`.
    """
    if not _CASE_ID.fullmatch(case_id):
        msg = (
            f"{place}: case id {case_id!r} is not allowed; use letters, digits, '.', '_' and '-', "
            "100 at most"
        )
        raise CohortError(msg)


def read_text_table(path: Path, *, text: Iterable[str] | None = None) -> pd.DataFrame:
    """Read a CSV (.csv, .csv.gz, .csv.zip) in which 'NA' and '05' stay what they are.

    Parameters
    ----------
    path : Path
        File to read.
    text : iterable of str or None
        Columns that stay text; every column when None.

    Raises
    ------
    CohortError
        If the file is missing, damaged, ragged, or names a column twice.
    """
    if not path.is_file():
        msg = f"no table at {path}; give a .csv, .csv.gz or .csv.zip file"
        raise CohortError(msg)
    options = {
        "keep_default_na": False,
        "low_memory": False,
        "float_precision": "round_trip",  # pandas' own parser is off by one in the last bit
    }
    try:
        names = pd.Series(_header(path), dtype=object)
        kinds = str if text is None else dict.fromkeys(text, str)
        with _unpacked(path) as file:
            frame = pd.read_csv(file, dtype=kinds, **options)  # type: ignore[call-overload]
    except CohortError:
        raise
    except _UNREADABLE as error:
        msg = f"{path}: cannot be read as a CSV table ({_one_line(error)}); is it whole?"
        raise CohortError(msg) from error
    twice = names[names.duplicated() & (names != "")]
    if len(twice):
        msg = f"{path}: column {twice.iloc[0]!r} stands twice; keep one"
        raise CohortError(msg)
    if not isinstance(frame.index, pd.RangeIndex):
        msg = f"{path}: rows are longer than the header; every column needs a name"
        raise CohortError(msg)
    return pd.DataFrame(frame)


def _header(path: Path) -> list[str]:
    """First record of a CSV, its names as they stand there (pandas renames repeated ones)."""
    with _unpacked(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        return next(csv.reader(text), [])


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Bytes of a table; of an archive its one member, and no more than is allowed."""
    suffix = path.suffix.lower()
    if suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(_only_member(path, archive)) as member:
            yield io.BufferedReader(_Bounded(path, member))
    elif suffix == ".gz":
        with gzip.open(path) as file:
            yield io.BufferedReader(_Bounded(path, file))
    else:
        with path.open("rb") as file:
            yield file


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = archive.infolist()
    wanted = "a table's archive holds one plain .csv file"
    if len(members) != 1:
        msg = f"{path}: {len(members)} files; {wanted}"
        raise CohortError(msg)
    name = members[0].filename
    if name.startswith("/") or ".." in Path(name).parts:
        msg = f"{path}: {name!r} leads out of the archive; {wanted}"
        raise CohortError(msg)
    return members[0]


class _Bounded(io.RawIOBase):
    """What an archive unpacks to, up to a limit."""

    def __init__(self, path: Path, file: IO[bytes] | gzip.GzipFile) -> None:
        self._path, self._file, self._left = path, file, MAX_UNPACKED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        block = self._file.read(min(len(memoryview(buffer)), self._left + 1))
        self._left -= len(block)
        if self._left < 0:
            msg = f"{self._path} unpacks to more than {MAX_UNPACKED >> 20} MiB; unpack it yourself"
            raise CohortError(msg)
        memoryview(buffer)[: len(block)] = block
        return len(block)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
