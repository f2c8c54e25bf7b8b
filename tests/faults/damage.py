"""A file of finished results is damaged: it is refused, and the remedy that is told works."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from survbench.errors import ResultError
from tests.faults.study import Study, board

FILES = (
    "plain/*/*/cell.json",
    "plain/*/*/train.csv",
    "plain/*/*/fit.json",
    "plain/*/*/weights.safetensors",
    "plain/*/*/SHA256SUMS",
    "plain/*/*/predictions/none.csv",
    "plain/*/*/predictions/none.sha256",
    "needs_p/*/*/predictions/G.refused.json",
)
Way = Callable[[bytes], bytes | None]


def _flipped(where: float) -> Way:
    """One bit turned at a share of the file."""

    def flip(text: bytes) -> bytes:
        at = min(int(where * len(text)), len(text) - 1)
        return text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]

    return flip


def _first_line(text: bytes) -> bytes:
    return text[: text.find(b"\n") + 1]


WAYS: Mapping[str, Way] = {
    "gone": lambda text: None,
    "empty": lambda text: b"",
    "garbage": lambda text: b"\xff\x00\xfe",
    "half": lambda text: text[: len(text) // 2],
    "first line": _first_line,
    "a byte short": lambda text: text[:-2],  # the last one is a line's end
    "a byte long": lambda text: text + b"x",
    "flipped first": _flipped(0),
    "flipped": _flipped(0.4),
    "flipped last": _flipped(0.97),
}
REMADE = ("predictions/none.csv", "G.refused.json")  # gone, they are as if never made
CASES = [
    (file, way)
    for file in FILES
    for way in WAYS
    # one line is all of a hash file; a note holds words, no number, and has no hash
    if not (file.endswith(".sha256") and way == "first line")
    if not (file.endswith(".refused.json") and way.startswith("flipped"))
]


def damages(study: Study, folder: Path, tries: int) -> list[str]:
    """What damage to one file cost, for files and ways in turn."""
    stride = max(1, len(CASES) // tries)
    return [
        f"{Path(file).name} {way}: {wrong}" if wrong else ""
        for file, way in CASES[::stride][:tries]
        for wrong in [_damage(study, folder / f"{CASES.index((file, way))}", file, way)]
    ]


def _damage(study: Study, results: Path, file: str, way: str) -> str:
    shutil.copytree(study.undisturbed, results)
    path = next(results.glob(f"small/{file}"))
    text = WAYS[way](path.read_bytes())
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text)
    if not (way == "gone" and file.endswith(REMADE)):
        wrong = _shown(study, results) or _taken_away(study, results, path)
        if wrong:
            return wrong
    return study.finish(results) or study.lost_on_board(results)


def _shown(study: Study, results: Path) -> str:
    """Whether the leaderboard shows other numbers, rather than none or the same."""
    shown = board(results)
    good = shown == study.board or shown.startswith("error: ")
    return "" if good else "the leaderboard shows something else"


def _taken_away(study: Study, results: Path, path: Path) -> str:
    """Delete what the refusal says is to be deleted."""
    try:
        study.plan(results)
    except ResultError as error:
        told = str(error)
    else:
        return "it is taken for good"
    whole = re.search(r"delete the folder (\S+)", told)
    named = Path(whole[1] if whole else told.split(" is ", maxsplit=1)[0])
    if "\n" in told or not path.is_relative_to(named if whole else path.parent):
        return f"says {told!r}"
    if whole:
        shutil.rmtree(named)
    else:
        named.unlink()
    return ""
