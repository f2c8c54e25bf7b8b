"""The papers' numbers beside ours: how far apart, and what may be concluded from it."""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from tabulate import tabulate

from survbench.errors import UnknownNameError
from survbench.report.published import Paper, paper_of, papers, published
from survbench.report.row import Row
from survbench.report.tables.text import WIDTH

MARGIN = 0.03  # a number whose whole interval is this close is reproduced
REPRODUCED, COMPATIBLE, DIFFERS = "reproduced", "compatible", "differs"
NOT_COMPARABLE = "not comparable"
IMAGE_FEATURES = "hif"  # human-interpretable image features in place of patch embeddings
_PREFIX = "tcga"
_NONE = "-"


@dataclass(frozen=True)
class LedgerRow:
    """A published number beside the measured one.

    Parameters
    ----------
    cohort, method, regime : str
        What was measured here.
    preset, setting : str
        With which config.
    paper, table : str
        Where the number was published.
    published, measured : float
        C-index.
    difference, low, high : float
        Measured minus published and its 95 % interval: the published number is taken as fixed, the
        measured one varies by the bootstrap.
    status : str
        reproduced, compatible, differs or not comparable.
    note : str
        Why it is not comparable, or what else is not the same.
    """

    cohort: str
    method: str
    regime: str
    preset: str
    setting: str
    paper: str
    table: str
    published: float
    measured: float
    difference: float
    low: float
    high: float
    status: str
    note: str


def ledger(measured: Sequence[Row], printed: Sequence[Row] | None = None) -> list[LedgerRow]:
    """Every measured row beside every published number for its cohort, method and regime.

    Parameters
    ----------
    measured : sequence of Row
        Rows of a leaderboard.
    printed : sequence of Row or None
        Published rows; None for those that come with survbench.
    """
    known = papers()
    rows = [
        _beside(ours, theirs, known.get(paper_of(theirs)))
        for theirs in (published() if printed is None else printed)
        for ours in measured
        if _subject(ours) == (theirs.cohort, theirs.method, theirs.regime)
    ]
    return sorted(rows, key=lambda row: (row.cohort, row.regime != "none", row.regime, row.method))


def _subject(row: Row) -> tuple[str, str, str]:
    """Cohort as the papers call it, method and regime of a measured row."""
    prefix, _, name = row.cohort.partition("_")
    cohort = name.partition("_")[0] if prefix == _PREFIX else row.cohort
    return cohort, row.method, row.regime


def _beside(ours: Row, theirs: Row, paper: Paper | None) -> LedgerRow:
    shift = theirs.c_index
    low, high = ours.c_index_low - shift, ours.c_index_high - shift
    reason = _why_not(ours, theirs, paper)
    same = "" if reason or paper is None else _other_patients(ours, theirs, paper)
    source, _, table = theirs.about.source.partition(", table ")
    return LedgerRow(
        cohort=ours.cohort,
        method=ours.method,
        regime=ours.regime,
        preset=ours.preset,
        setting=ours.setting,
        paper=source,
        table=table,
        published=shift,
        measured=ours.c_index,
        difference=ours.c_index - shift,
        low=low,
        high=high,
        status=NOT_COMPARABLE if reason else _status(low, high, same_patients=not same),
        note=reason or same,
    )


def _status(low: float, high: float, *, same_patients: bool) -> str:
    """What the interval of the difference says."""
    if same_patients and low >= -MARGIN and high <= MARGIN:
        return REPRODUCED
    return COMPATIBLE if low <= 0 <= high else DIFFERS


def _why_not(ours: Row, theirs: Row, paper: Paper | None) -> str:
    """Why two numbers are not about the same thing; empty where they are."""
    tag = ours.cohort.removeprefix(f"{_PREFIX}_{theirs.cohort}").strip("_")
    about = ours.about
    reasons = (
        (about.simulated, "simulated patients"),
        (tag == IMAGE_FEATURES, "image features, not the papers' patches"),
        (paper is None, "nothing is known of what the paper measured on"),
        (not theirs.scored, "the source gives no number"),
        (not ours.scored, f"no number here: {ours.reason}"),
        (not math.isfinite(ours.c_index_low), "no interval here"),
        (not about.whole, ours.reason),
        (ours.preset == "quick" and "standard" not in about.presets, "preset quick"),
        (ours.changed != "", f"config changed: {ours.changed}"),
        (ours.train_regime != "none", f"{ours.train_regime} missing in training"),
    )
    told = next((reason for wrong, reason in reasons if wrong), "")
    return told or _other_data(ours, tag, paper)


def _other_data(ours: Row, tag: str, paper: Paper | None) -> str:
    """How endpoint or patch features differ from the paper's."""
    if paper is None or ours.about.endpoint != paper.endpoint:
        return f"endpoint {ours.about.endpoint or 'unknown'}"
    if "P" in ours.about.uses and tag != paper.features:
        return f"patch features {tag or 'of no stated kind'}, not the paper's ({paper.features})"
    return ""


def _other_patients(ours: Row, theirs: Row, paper: Paper) -> str:
    """How the patients differ; a number can then be compatible, never reproduced."""
    wanted = paper.patients.get(theirs.cohort)
    if wanted is None:
        return f"{ours.n} patients here, the paper gives no number"
    return "" if wanted == ours.n else f"{ours.n} patients here, {wanted} in the paper"


# -- what people read

FIELDS = tuple(entry.name for entry in fields(LedgerRow))
CAPTION = (
    "Published beside measured C-index. Difference: measured minus published, with the 95 % "
    "bootstrap interval of the measured number; the published one is taken as fixed, its own "
    "uncertainty is not counted.",
    f"reproduced: same cohort, features and endpoint, and the interval within ±{MARGIN}; "
    "compatible: it covers 0 but is wider, or the patients are not the same; differs: it does not "
    "cover 0; not comparable: the note says why.",
    "Means over cohorts are left out. Where a paper's tables disagree, each is a row.",
)


def render_ledger(rows: Sequence[LedgerRow], format: str = "text") -> str:
    """Ledger as text or csv; ends with a newline.

    Raises
    ------
    UnknownNameError
        There is no such format.
    """
    if format not in ("text", "csv"):
        kind, see = "format of the ledger", "'survbench leaderboard --help'"
        raise UnknownNameError(kind, format, ("text", "csv"), see)
    return _csv(rows) if format == "csv" else _text(rows)


def _csv(rows: Sequence[LedgerRow]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    for row in rows:
        values = [getattr(row, name) for name in FIELDS]
        writer.writerow(["" if _is_nan(value) else value for value in values])
    return text.getvalue()


def _text(rows: Sequence[LedgerRow]) -> str:
    if not rows:
        return "no measured row has a published number beside it\n"
    notes: dict[str, str] = {}
    for row in rows:
        if row.note:
            notes.setdefault(row.note, str(len(notes) + 1))
    parts = [
        f"{cohort}\n\n{_table([row for row in rows if row.cohort == cohort], notes)}\n"
        for cohort in dict.fromkeys(row.cohort for row in rows)
    ]
    told = [*(f"{number}: {note}" for note, number in notes.items()), *CAPTION]
    filled = [textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in told]
    return "\n".join([*parts, *filled]) + "\n"


def _table(rows: Sequence[LedgerRow], notes: Mapping[str, str]) -> str:
    header = ("method", "missing", "paper", "printed", "here", "difference", "status", "note")
    body = [
        [
            row.method,
            row.regime,
            f"{row.paper} {row.table}",
            _shown(row.published),
            _shown(row.measured),
            _difference(row),
            row.status,
            notes.get(row.note, ""),
        ]
        for row in rows
    ]
    align = ["left"] * 3 + ["right"] * 3 + ["left"] * 2
    return tabulate(body, header, "simple", colalign=align, disable_numparse=True)


def _difference(row: LedgerRow) -> str:
    if _is_nan(row.difference):
        return _NONE
    return f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"


def _shown(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else _NONE


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
