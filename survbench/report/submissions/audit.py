"""Whether submitted predictions are about the patients, folds, outcomes and masks they claim.

All that is needed is in the submissions and in splits/: who is in which fold and how they fared
must agree over everything sent about the same patients, and who lacks what under a regime follows
from a hash of the case id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from survbench.cohort import Bags, Cohort, Folds, Regime, read_splits
from survbench.cohort.folds import list_splits
from survbench.report.submissions.submission import PREDICTIONS, TRAIN, Place, Submission, named
from survbench.score.predictions import PredictionTable

_NONE = "none"


@dataclass
class _Patient:
    """What submissions say of one patient, the first that does so."""

    outcome: tuple[float, bool]
    fold: int | None = None  # in which they are tested
    has: dict[str, bool] | None = None  # what they really have


@dataclass
class _Roster:
    """Patients of one cohort, split and population, as all its submissions know them."""

    split: Folds | None  # where the folds are committed ones
    paired: bool
    patients: dict[str, _Patient] = field(default_factory=dict)
    trained: dict[int, set[str]] = field(default_factory=dict)  # by fold

    def tested(self, fold: int) -> list[str]:
        """Whom a fold must test: everybody it was not trained on, sorted."""
        return sorted(set(self.patients) - self.trained[fold])


def audit(submissions: Sequence[Submission]) -> Iterator[str]:
    """Disagreements among submissions to one cohort and with the committed folds, a line each."""
    groups: dict[tuple[str, ...], list[Submission]] = defaultdict(list)
    for one in submissions:
        setting = _record(one)["setting"]
        names = ("cohort_hash", "split_hash", "population")
        groups[tuple(setting[name] for name in names)].append(one)
    for (_, split_hash, population), group in groups.items():
        roster = _Roster(_committed().get(split_hash), population == "paired")
        yield from _audit(group, roster)


def _audit(group: Sequence[Submission], roster: _Roster) -> Iterator[str]:
    """Disagreements among submissions about the same patients."""
    for one in group:
        yield from _enter_training(one, roster)
    for one in group:
        for place in sorted(one.blocks, key=lambda at: (at[0] != _NONE, at)):
            yield from _first(_enter(one, place, roster))
    for one in group:
        yield from _first(_check_split(one, roster))
        for place in one.blocks:
            yield from _first(_check_counts(one, place, roster))
            yield from _first(_check_mask(one, place, roster))


def _first(told: Iterator[str]) -> Iterator[str]:
    """The first disagreement: one patient too many may make hundreds."""
    yield from (line for line, _ in zip(told, range(1), strict=False))


@lru_cache(maxsize=1)
def _committed() -> dict[str, Folds]:
    """Folds that come with survbench, by hash."""
    return {folds.hash: folds for folds in map(read_splits, list_splits())}


def _record(one: Submission) -> Mapping[str, Any]:
    return one.fits[0].record


def _at(one: Submission, place: Place, row: int | None = None, case: str = "") -> str:
    """File, row and patient of a disagreement."""
    where = f"{one.folder / PREDICTIONS}"
    where += f", {named(place)}" if row is None else f", row {one.blocks[place].first + row}"
    return f"{where}, case {case!r}" if case else where


# -- entering what submissions say


def _enter_training(one: Submission, roster: _Roster) -> Iterator[str]:
    """Note who was trained on, and how submissions disagree on it."""
    file = one.folder / TRAIN
    for fold, (case_id, time, event) in one.trained.items():
        here = set(case_id.tolist())
        differ = sorted(roster.trained.setdefault(fold, here) ^ here)
        if differ:
            yield f"{file}: fold {fold} was trained on others than elsewhere, see {differ[0]!r}"
        for case, *outcome in zip(case_id.tolist(), time.tolist(), event.tolist(), strict=True):
            said = roster.patients.setdefault(case, _Patient((outcome[0], outcome[1]))).outcome
            if said != tuple(outcome):
                yield f"{file}, case {case!r}: {_fared(*outcome)}; elsewhere {_fared(*said)}"
                break


def _enter(one: Submission, place: Place, roster: _Roster) -> Iterator[str]:
    """Note who was tested where and what they have, and how submissions disagree on it."""
    regime, _, fold = place
    table = one.prediction(place)
    has = _by_case(_has(table, list(table.has))) if regime == _NONE else {}
    for row, case in enumerate(table.case_id.tolist()):
        outcome = (float(table.time[row]), bool(table.event[row]))
        for told in _entered(case, fold, outcome, has.get(case), roster):
            yield f"{_at(one, place, row, case)}: {told}"


def _entered(
    case: str,
    fold: int,
    outcome: tuple[float, bool],
    has: dict[str, bool] | None,
    roster: _Roster,
) -> Iterator[str]:
    """Note a patient who is tested in a fold, and what is said otherwise of them elsewhere."""
    patient = roster.patients.setdefault(case, _Patient(outcome))
    if patient.outcome != outcome:
        yield f"{_fared(*outcome)}; elsewhere {_fared(*patient.outcome)}"
    yield from _misplaced(case, fold, patient, roster)
    if patient.fold is None:
        patient.fold = fold
    if has is not None:
        if patient.has is None:
            patient.has = has
        if patient.has != has:
            yield f"has {_listed(has)}; elsewhere {_listed(patient.has)}"


def _misplaced(case: str, fold: int, patient: _Patient, roster: _Roster) -> Iterator[str]:
    """Why a patient should not be tested in a fold."""
    if roster.split is not None and roster.split.fold.get(case) != fold:
        right = roster.split.fold.get(case)
        says = "does not know this patient" if right is None else f"says fold {right}"
        yield f"tested in fold {fold}, but split {roster.split.name} {says}"
    elif case in roster.trained[fold]:
        yield f"tested in fold {fold}, which was trained on this patient"
    elif patient.fold not in (None, fold):
        yield f"tested in fold {fold}, elsewhere in fold {patient.fold}"


# -- checks once everything is known


def _check_split(one: Submission, roster: _Roster) -> Iterator[str]:
    """Whether all patients of the split are accounted for, and the split is the one named."""
    for fit in one.fits:
        record = fit.record
        left_out = sum(record["left_out"].values())
        if roster.split is not None:
            known = len(roster.trained[fit.fold]) + record["test"]["n"] + left_out
            if known != len(roster.split):
                yield (
                    f"{one.folder}: fold {fit.fold} accounts for {known} patients, split "
                    f"{roster.split.name} has {len(roster.split)}"
                )
        elif not left_out:
            folds = {case: patient.fold for case, patient in roster.patients.items()}
            placed = {case: fold for case, fold in folds.items() if fold is not None}
            wanted = record["setting"]["split_hash"]
            if len(placed) == len(folds) and Folds(record["splits"], placed).hash != wanted:
                yield f"{one.folder}: the patients' folds are not those of split {wanted[:12]}"


def _check_counts(one: Submission, place: Place, roster: _Roster) -> Iterator[str]:
    """Whether a fold tests as many patients and deaths as its record says."""
    regime, seed, fold = place
    if regime != _NONE:
        return
    table, said = one.prediction(place), one.told[seed, fold].record["test"]
    n, events = len(table.case_id), int(table.event.sum())
    if (n, events) != (said["n"], said["events"]) and (roster.paired or n >= said["n"]):
        yield (
            f"{_at(one, place)}: {n} patients, {events} deaths; the record says {said['n']}, "
            f"{said['events']}"
        )


def _check_mask(one: Submission, place: Place, roster: _Roster) -> Iterator[str]:
    """Whether those predicted, and what they lack, are what the regime's hash rule draws."""
    regime, seed, fold = place
    table = one.prediction(place)
    names = one.told[seed, fold].record["modalities"]
    if set(names) != set(table.has):
        yield f"{_at(one, place)}: columns has_* of {', '.join(table.has)}; need {', '.join(names)}"
        return
    has = _by_case(_has(table, names))
    drawn = _by_case(_masked(one, place, roster, table, names))
    for case in drawn:
        if case not in has:
            yield f"{_at(one, place)}: patient {case!r} of fold {fold} is missing"
    for row, case in enumerate(table.case_id.tolist()):
        if case not in drawn:
            told = f"nobody of fold {fold} who keeps a modality under {regime}"
            yield f"{_at(one, place, row, case)}: {told}"
        elif has[case] != drawn[case]:
            told = f"has {_listed(has[case])}; under {regime} it is {_listed(drawn[case])}"
            yield f"{_at(one, place, row, case)}: {told}"


def _masked(
    one: Submission, place: Place, roster: _Roster, table: PredictionTable, names: Sequence[str]
) -> pd.DataFrame:
    """Who should be predicted under a regime, and what they have then, bool (N, M)."""
    regime, _, fold = place
    seen = _has(table, names)
    drawing = Regime.parse(regime)
    drawn = drawing.missing(_cohort(one.cohort, seen | True))
    for name, mask in drawn.items():
        seen[name] |= mask
    predicted = _by_case(seen)
    natural = {}
    for case in roster.tested(fold):
        has = roster.patients[case].has
        if roster.paired:
            natural[case] = dict.fromkeys(names, True)
        elif has is not None:
            natural[case] = has
        elif case in predicted:  # under no regime `none`: the draw alone can be checked
            natural[case] = predicted[case]
    present = pd.DataFrame.from_dict(natural, orient="index", columns=list(names), dtype=bool)
    return drawing.apply(_cohort(one.cohort, present)).cohort.present


def _has(table: PredictionTable, names: Sequence[str]) -> pd.DataFrame:
    """What those predicted have, bool (N, M), by patient."""
    return pd.DataFrame(dict(table.has), index=table.case_id)[list(names)]


def _by_case(has: pd.DataFrame) -> dict[str, dict[str, bool]]:
    """The same by patient and modality, quick to look up."""
    rows = (dict(zip(has, row, strict=True)) for row in has.to_numpy().tolist())
    return dict(zip(has.index, rows, strict=True))


def _cohort(name: str, present: pd.DataFrame) -> Cohort:
    """Patients who have what they have and nothing else is known of, for the rule of regimes."""
    patch = np.zeros((1, 1), np.float32)
    start = np.zeros(len(present), np.int64)
    bags = {m: Bags(patch, start, present[m].to_numpy(np.int64)) for m in present.columns}
    return Cohort(name, pd.DataFrame(index=present.index), bags)


def _fared(time: float, event: bool) -> str:
    return f"{'died' if event else 'last seen'} at {time!r} months"


def _listed(has: Mapping[str, bool]) -> str:
    return "+".join(name for name, there in has.items() if there) or "nothing"
