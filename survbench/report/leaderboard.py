"""Kept fits to leaderboard rows: one per setting and regime, scored from predictions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from survbench.bench.cell import find_cells, find_failures
from survbench.bench.kept import KeptFit
from survbench.cohort import Regime
from survbench.report.control import is_control
from survbench.report.row import UNDER_FITTED, UNRANKED, About, Row, board_key, rank_order
from survbench.score import FoldPredictions, Summary, bootstrap, interval, summarise
from survbench.score.bootstrap import DRAWS, compare
from survbench.score.ipcw import beyond_support, censoring_of

MIN_SEEDS = 3  # fewer seeds are never compared
_HASH_DIGITS = 12
_LACKING = re.compile(r"(\d+) of (\d+)( test patients lack .*)")
Failure: TypeAlias = tuple[KeptFit, str, str]  # where, "fit" or the regime, the error


@dataclass(frozen=True)
class _Setting:
    """Cells of one setting: those with a fit, and what failed, by (seed, fold)."""

    name: tuple[str, str, str]  # cohort, method, id
    cells: list[KeptFit] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def places(self) -> list[tuple[int, int]]:
        """Every seed with every fold that any cell names: what a complete row averages."""
        known = [*self.cells, *(cell for cell, _, _ in self.failures)]
        folds, seeds = {cell.fold for cell in known}, {cell.seed for cell in known}
        return [(seed, fold) for fold in sorted(folds) for seed in sorted(seeds)]

    @property
    def regimes(self) -> list[str]:
        """Regimes predicted, refused or failed."""
        known = {stage for _, stage, _ in self.failures if stage != "fit"}
        return sorted(known.union(*({*cell.regimes, *cell.refusals} for cell in self.cells)))


@dataclass(frozen=True)
class Scored:
    """A row with what it was made of.

    Parameters
    ----------
    row : Row
        The numbers.
    folds : tuple of FoldPredictions
        Predictions of every fold and seed; none where the row has no number.
    records : tuple of dict
        What the record of each finished cell says, in the order of the cells.
    """

    row: Row
    folds: tuple[FoldPredictions, ...] = ()
    records: tuple[dict[str, Any], ...] = ()


def leaderboard(
    results_dir: str | Path, *, cohort: str | None = None, settings: Collection[str] | None = None
) -> list[Row]:
    """Rows of a results folder, board by board, best first within a regime; see `scored_rows`."""
    return [entry.row for entry in scored_rows(results_dir, cohort=cohort, settings=settings)]


def scored_rows(
    results_dir: str | Path, *, cohort: str | None = None, settings: Collection[str] | None = None
) -> list[Scored]:
    """Rows of a results folder with their predictions, in the order of the leaderboard.

    Parameters
    ----------
    results_dir : path
        Folder that `survbench run` wrote.
    cohort : str or None
        Only this cohort.
    settings : collection of str or None
        Only these setting ids.

    Raises
    ------
    ResultError
        There is no such folder, or a file in it is damaged.
    """
    cells, failures = find_cells(results_dir, cohort), find_failures(results_dir, cohort)
    return score_fits(cells, failures, settings=settings)


def score_fits(
    fits: Iterable[KeptFit],
    failures: Iterable[Failure] = (),
    *,
    settings: Collection[str] | None = None,
) -> list[Scored]:
    """Rows of fits wherever they are kept, in the order of the leaderboard.

    Parameters
    ----------
    fits : iterable of KeptFit
        Of a results folder or of submissions.
    failures : iterable of (fit, "fit" or the regime, error)
        What failed: a row that lacks it has no number.
    settings : collection of str or None
        Only these setting ids.

    Raises
    ------
    ResultError
        A file is damaged, or two rows disagree on the outcome of a patient.
    """
    found = _settings(fits, failures)
    wanted = [one for one in found if settings is None or one.name[2] in settings]
    scored = [entry for one in wanted for entry in _rows(one, _folds_of_splits(found))]
    ready = [entry for group in _same_patients(scored) for entry in _with_intervals(group)]
    return sorted(ready, key=_place_on_board)


def _place_on_board(entry: Scored) -> tuple[Any, ...]:
    return board_key(entry.row), rank_order(entry.row), entry.row.setting


def _settings(fits: Iterable[KeptFit], failures: Iterable[Failure]) -> list[_Setting]:
    found: dict[tuple[str, str, str], _Setting] = {}

    def of(cell: KeptFit) -> _Setting:
        name = (cell.cohort, cell.method, cell.setting)
        return found.setdefault(name, _Setting(name))

    for cell in fits:
        if not is_control(cell):
            of(cell).cells.append(cell)
    for cell, stage, error in failures:
        of(cell).failures.append((cell, stage, error))
    return [found[name] for name in sorted(found)]


def _folds_of_splits(settings: Iterable[_Setting]) -> dict[str, set[int]]:
    """Folds of each split hash: as cells record them, and those that any cell was run on."""
    folds: dict[str, set[int]] = defaultdict(set)
    for one in settings:
        for cell in one.cells:
            record = cell.record
            folds[record["setting"]["split_hash"]] |= {cell.fold, *record.get("folds", ())}
    return folds


def _rows(one: _Setting, folds_of_splits: dict[str, set[int]]) -> list[Scored]:
    """Rows of a setting, one per regime."""
    if not one.cells:
        cell, _, error = one.failures[0]
        reason = f"every fit failed; {_place(cell)}: {error}"
        return [Scored(Row(*one.name[:2], regime="none", setting=one.name[2], reason=reason))]
    every_fold = folds_of_splits[one.cells[0].record["setting"]["split_hash"]]
    return [_row(one, regime, every_fold) for regime in one.regimes]


def _row(one: _Setting, regime: str, every_fold: set[int]) -> Scored:
    base = _described(one, regime, every_fold)
    records = tuple(cell.record for cell in one.cells)
    reason = _refusal(one, regime) or _incomplete(one, regime)
    if reason:
        return Scored(replace(base, reason=reason), records=records)
    folds = tuple(cell.scorable(regime) for cell in one.cells)
    summary = summarise(folds, base.about.horizon)
    filled = any(cell.filled(regime) for cell in one.cells)
    row = _numbered(base, summary, filled=filled)
    about = replace(row.about, uncensored=_uncensored(folds, base.about.horizon))
    return Scored(replace(row, about=about), folds if row.scored else (), records)


def _described(one: _Setting, regime: str, every_fold: set[int]) -> Row:
    """Row without numbers: what the cells' records say."""
    record = one.cells[0].record
    setting = record["setting"]
    by_fold = {cell.fold: cell.record for cell in one.cells}
    folds, seeds = sorted(by_fold), sorted({cell.seed for cell in one.cells})
    whole = set(folds) == every_fold
    partial = f"folds {_listed(folds)} of {len(every_fold)} only"
    changed = " ".join(f"{key}={value}" for key, value in sorted(record["changed"].items()))
    info = record["cohort_info"]
    return Row(
        *one.name[:2],
        regime=regime,
        train_regime=setting["train_regime"],
        population=setting["population"],
        preset=record["preset"],
        setting=one.name[2],
        split=f"{record['splits']}@{setting['split_hash'][:_HASH_DIGITS]}",
        cohort_hash=setting["cohort_hash"],
        changed=changed,
        seeds=len(seeds),
        folds=len(folds),
        n=sum(each["test"]["n"] for each in by_fold.values()),
        events=sum(each["test"]["events"] for each in by_fold.values()),
        left_out=sum(each["left_out"]["test"] for each in by_fold.values()),
        reason="" if whole else partial,
        about=About(
            presets=tuple(record["presets"]),
            simulated=info["simulated"],
            endpoint=info.get("endpoint", ""),
            cohort_notes=_cohort_notes(info),
            horizon=info["horizon_months"],
            modalities=tuple(record["modalities"]),
            uses=tuple(record["contract"]["uses"]),
            fill=record["contract"]["fill"],
            folds=tuple(folds),
            seeds=tuple(seeds),
            whole=whole,
            absent_cases=record["left_out"]["splits"],
            flags=_flags(one),
        ),
    )


def _numbered(base: Row, summary: Summary, *, filled: bool) -> Row:
    """Row with its scores; a C-index that is NaN says why."""
    scores = {
        name: getattr(summary, name)
        for name in ("uno_c", "ibs", "auc", "logrank_p", "logrank_p_stratified")
    }
    aside = {
        name: getattr(summary, name)
        for name in ("deployable_p", "d_calibration_p", "calibration_error")
    }
    estimates = {
        name: getattr(summary, name)
        for name in ("hazard_ratio", "deployable_hazard_ratio", "calibration_slope")
    }
    every = {**scores, **aside, **estimates}
    return replace(
        base,
        seeds=len(summary.seeds),
        folds=len(summary.folds),
        n=summary.n,
        events=summary.events,
        left_out=base.left_out + base.n - summary.n,
        c_index=summary.c_index.value,
        c_index_std=summary.c_index_std,
        **{name: score.value for name, score in scores.items()},
        mark="*" if filled else "",
        reason=summary.c_index.reason or base.reason,
        about=replace(
            base.about,
            fill=base.about.fill if filled else None,
            seed_std=summary.c_index_seed_std,
            **{name: score.value for name, score in aside.items()},
            **estimates,
            calibration_horizon=summary.calibration_horizon,
            reasons={name: number.reason for name, number in every.items() if number.reason},
        ),
    )


def _refusal(one: _Setting, regime: str) -> str:
    """Why the method cannot predict a regime: patients counted over folds, or one fold's reason."""
    told = {cell.fold: cell.refusals[regime] for cell in one.cells if regime in cell.refusals}
    if not told:
        return ""
    counts = [_LACKING.fullmatch(reason) for reason in told.values()]
    lacks = {count[3] for count in counts if count}
    if all(counts) and len(lacks) == 1:
        some, of = (sum(int(count[part]) for count in counts if count) for part in (1, 2))
        return f"{some} of {of}{lacks.pop()}"
    fold, reason = min(told.items())
    everywhere = set(told) == {cell.fold for cell in one.cells} and len(set(told.values())) == 1
    return reason if everywhere else f"fold {fold}: {reason}"


def _incomplete(one: _Setting, regime: str) -> str:
    """What is missing of a row: a failed fit or prediction, or a cell that was not run."""
    for cell, stage, error in one.failures:
        if stage in ("fit", regime):
            what = "fit" if stage == "fit" else f"prediction of {stage}"
            return f"incomplete: {what} of {_place(cell)} failed: {error}"
    there = {(cell.seed, cell.fold) for cell in one.cells if regime in cell.regimes}
    lacking = [place for place in one.places if place not in there]
    if not lacking:
        return ""
    seed, fold = lacking[0]
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return f"incomplete: fold {fold}, seed {seed}{more} not predicted; run the same command again"


def _flags(one: _Setting) -> tuple[str, ...]:
    """Remarks on how a row was trained."""
    record = one.cells[0].record
    contract, setting = record["contract"], record["setting"]
    flags = _under_fitted(one)
    if setting["config"].get("sampler") == "balanced":
        flags.append("balanced sampler: survival (IBS) not calibrated")
    masked = {name for name, _ in Regime.parse(setting["train_regime"]).rates}
    needed = set(contract["uses"]) - set(contract["trains_without"])
    if contract["fill"] and masked & needed:
        flags.append("what was missing in training was filled in")
    return tuple(flags)


def _under_fitted(one: _Setting) -> list[str]:
    """Remark on fits that have not learnt their training patients, whom a mean could hide."""
    known = [cell.record.get("train_c_index") for cell in one.cells]
    reached = [value for value in known if value is not None]
    low = [value for value in reached if value < UNDER_FITTED]
    if not low or one.name[1] in UNRANKED:
        return []
    which = "" if len(low) == len(reached) else f" in {len(low)} of {len(reached)} fits"
    return [f"under-fitted{which}: C-index in training {np.mean(low):.3f}"]


def _cohort_notes(info: dict[str, Any]) -> tuple[str, ...]:
    saw_everybody = info["cohort_level_preprocessing"]
    notes = [info["note"]]
    if saw_everybody:
        notes.append(f"label-free steps that saw all patients: {saw_everybody}")
    if info["encoder_saw_tcga"] == "yes":
        notes.append("the patch encoder saw TCGA")
    return tuple(note for note in notes if note)


def _uncensored(
    folds: Sequence[FoldPredictions], horizon: float | None
) -> tuple[float, float] | None:
    """Smallest and largest G(horizon) of the folds, None beyond support."""
    if horizon is None:
        return None
    values = []
    for fold in folds:
        censoring = censoring_of(fold)
        if censoring is None or beyond_support(fold.time, censoring, horizon):
            return None
        values.append(float(censoring.survival(np.array([horizon]))[0]))
    return min(values), max(values)


def _same_patients(scored: Iterable[Scored]) -> list[list[Scored]]:
    """Rows by the patients they share: cohort, folds and population."""
    groups: dict[tuple[str, ...], list[Scored]] = defaultdict(list)
    for entry in scored:
        row = entry.row
        groups[row.cohort, row.cohort_hash, row.split, row.population].append(entry)
    return list(groups.values())


def _with_intervals(group: Sequence[Scored]) -> list[Scored]:
    """Rows with their bootstrap intervals and comparisons; one draw of patients for all."""
    numbered = [entry for entry in group if entry.folds]
    if not numbered:
        return list(group)
    draws = bootstrap([entry.folds for entry in numbered], draws=DRAWS)
    with_interval = []
    for entry, statistic in zip(numbered, draws.T, strict=True):
        low, high = interval(statistic)
        about = replace(entry.row.about, draws=len(statistic))
        row = replace(entry.row, c_index_low=low, c_index_high=high, about=about)
        with_interval.append(row)
    compared = zip(numbered, _compared(with_interval, draws), strict=True)
    without = [entry for entry in group if not entry.folds]
    return without + [replace(entry, row=row) for entry, row in compared]


def _compared(rows: list[Row], draws: np.ndarray[Any, np.dtype[np.float64]]) -> list[Row]:
    """Rows with their comparison against the board's reference under the same regime."""
    families: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        if row.ranked:
            families[(*board_key(row), row.regime)].append(position)
    for (*_, regime), family in families.items():
        reference = "cox" if regime == "none" else "switch"
        at = [p for p in family if rows[p].method == reference and not rows[p].changed]
        if len(at) != 1:
            continue
        base = rows[at[0]]
        others = [p for p in family if p != at[0] and _comparable(rows[p], base)]
        if not others:
            continue
        observed = np.array([rows[p].c_index - base.c_index for p in others])
        for p, made in zip(
            others, compare(draws[:, others], draws[:, at[0]], observed), strict=True
        ):
            about = replace(rows[p].about, comparison=made, reference=reference, family=len(others))
            rows[p] = replace(rows[p], about=about)
    return rows


def _comparable(row: Row, base: Row) -> bool:
    same = row.about.folds == base.about.folds and row.n == base.n
    return same and min(row.seeds, base.seeds) >= MIN_SEEDS


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _place(cell: KeptFit) -> str:
    return f"fold {cell.fold}, seed {cell.seed}"
