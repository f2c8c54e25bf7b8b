"""A card per cohort: who is in it, who is not, and how those left out differ.

Counts, medians and quartiles only: nothing of a single patient, and a group of fewer than
`MIN_GROUP` patients is counted but not described.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.cohort import Cohort, Folds
from survbench.score.kaplan_meier import kaplan_meier
from survbench.score.logrank import pooled

MIN_GROUP = 5
UNKNOWN = "unknown"
DIGITS = 4  # significant ones kept, so that a card made anew elsewhere is the same file
_VALUE = re.compile(r"\bis -?[\d.]+(e[+-]?\d+)?, (?=must )")

Strings = NDArray[np.str_]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Middle:
    """A median with what lies around it: its 95 % interval, or the quartiles; None is unknown."""

    median: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Group:
    """Some patients of a cohort, as counts.

    Parameters
    ----------
    n, events : int
        Patients and deaths (or what else the endpoint is).
    follow_up : Middle or None
        Median follow-up in months by reverse Kaplan-Meier, 95 % interval; None for a small group.
    age : Middle or None
        Median and quartiles of those whose age is known; None where there are too few.
    sex, histology : mapping of text to int
        Patients by value, most frequent first, "unknown" among them; empty where not recorded.
    sites, largest_site : int
        Number of tissue source sites, and patients of the largest; 0 where not recorded.
    """

    n: int
    events: int
    follow_up: Middle | None
    age: Middle | None
    sex: Mapping[str, int]
    histology: Mapping[str, int]
    sites: int
    largest_site: int


@dataclass(frozen=True)
class Difference:
    """One way in which those left out differ from the paired patients.

    Parameters
    ----------
    what : str
        The variable.
    standardised : float or None
        Left out minus paired, in pooled standard deviations.
    p_value : float or None
        Of the test.
    test : str
        Its name.
    """

    what: str
    standardised: float | None
    p_value: float | None
    test: str


@dataclass(frozen=True)
class FoldCount:
    """Patients and events of one fold: everybody, and those with every modality."""

    fold: int
    n: int
    events: int
    paired: int
    paired_events: int


@dataclass(frozen=True)
class CohortCard:
    """What a reader must know of a cohort.

    Parameters
    ----------
    name, endpoint, units, note, provenance, cohort_level_preprocessing, encoder_saw_tcga : str
        As the cohort states them.
    horizon_months : float or None
        Where Uno's C and the AUC are taken.
    simulated : bool
        Whether no patient is real.
    data_hash : str
        Hash of the data.
    splits, split_hash : str
        Name and hash of the folds.
    split_only : int
        Cases of the splits that the cohort lacks.
    dropped : mapping of reason to int
        Patients of the table who are not in the cohort.
    present : mapping of modality to int
        Patients who have it.
    everyone, paired : Group
        All patients, and those with every modality.
    left_out : Group or None
        Those who naturally lack a modality; None where nobody does.
    differences : tuple of Difference
        Left out against paired.
    folds : tuple of FoldCount
        Fold by fold.
    """

    name: str
    endpoint: str
    units: str
    horizon_months: float | None
    simulated: bool
    note: str
    provenance: str
    cohort_level_preprocessing: str
    encoder_saw_tcga: str
    data_hash: str
    splits: str
    split_hash: str
    split_only: int
    dropped: Mapping[str, int]
    present: Mapping[str, int]
    everyone: Group
    paired: Group
    left_out: Group | None
    differences: tuple[Difference, ...] = ()
    folds: tuple[FoldCount, ...] = ()

    @property
    def table(self) -> int:
        """Patients of the table the cohort was built from."""
        return self.everyone.n + sum(self.dropped.values())


def cohort_card(cohort: Cohort, splits: Folds) -> CohortCard:
    """Card of a cohort under these folds.

    Raises
    ------
    SplitError
        A patient of the cohort has no fold.
    """
    aligned, paired, info = splits.align(cohort), cohort.paired, cohort.info
    return CohortCard(
        name=cohort.name,
        endpoint=info.endpoint,
        units=info.units,
        horizon_months=info.horizon_months,
        simulated=info.simulated,
        note=info.note,
        provenance=info.provenance,
        cohort_level_preprocessing=info.cohort_level_preprocessing,
        encoder_saw_tcga=info.encoder_saw_tcga,
        data_hash=info.data_hash,
        splits=splits.name,
        split_hash=splits.hash,
        split_only=aligned.left_out,
        # a reason names the value that was wrong, which is one patient's
        dropped=_counted([_VALUE.sub("", reason) for reason in info.dropped.values()]),
        present={str(name): int(has.sum()) for name, has in cohort.present.items()},
        everyone=_group(cohort, np.ones(len(cohort), bool)),
        paired=_group(cohort, paired),
        left_out=None if paired.all() else _group(cohort, ~paired),
        differences=_differences(cohort, ~paired),
        folds=tuple(
            FoldCount(int(fold), *_sizes(cohort, here), *_sizes(cohort, here & paired))
            for fold, here in ((fold, aligned.fold == fold) for fold in np.unique(aligned.fold))
        ),
    )


def _group(cohort: Cohort, rows: Flags) -> Group:
    cases = cohort.cases[rows]
    time, event = cohort.time[rows], cohort.event[rows]
    age = _ages(cohort)[rows]
    age = age[np.isfinite(age)]
    site = Counter(_texts(cases, "site")) if "site" in cases else Counter()
    return Group(
        n=len(cases),
        events=int(event.sum()),
        follow_up=_follow_up(time, event) if len(cases) >= MIN_GROUP else None,
        age=_middle(*np.quantile(age, [0.5, 0.25, 0.75])) if len(age) >= MIN_GROUP else None,
        sex=_counted(_texts(cases, "sex")),
        histology=_counted(_texts(cases, "histology")),
        sites=len(site),
        largest_site=max(site.values(), default=0),
    )


def _follow_up(time: NDArray[np.float64], event: Flags) -> Middle:
    """Reverse Kaplan-Meier: time until the end of observation, a death censoring it.

    Source: Schemper & Smith, Controlled Clinical Trials 1996. The interval is where the pointwise
    band crosses one half (Brookmeyer & Crowley, Biometrics 1982).
    """
    curve = kaplan_meier(time, ~event)

    def falls(values: NDArray[np.float64]) -> float:
        # no band where everybody or nobody is left: there the curve itself is meant
        below = np.flatnonzero(np.where(np.isnan(values), curve.survival, values) <= 1 / 2)
        return float(curve.time[below[0]]) if len(below) else float("nan")

    return _middle(falls(curve.survival), falls(curve.low), falls(curve.high))


def _differences(cohort: Cohort, left_out: Flags) -> tuple[Difference, ...]:
    """Left out against paired; none where either group is too small to describe."""
    if min(left_out.sum(), (~left_out).sum()) < MIN_GROUP:
        return ()
    time, event = cohort.time, cohort.event
    return (
        *_age_difference(_ages(cohort), left_out),
        *_sex_difference(cohort.cases, left_out),
        Difference(
            "events",
            _standardised(*(event[rows].astype(np.float64) for rows in (left_out, ~left_out))),
            _rounded(pooled(time, event, left_out).value),
            "log-rank",
        ),
        Difference(
            "follow-up",
            None,
            _rounded(pooled(time, ~event, left_out).value),
            "log-rank with censoring as the event",
        ),
    )


def _age_difference(age: NDArray[np.float64], left_out: Flags) -> tuple[Difference, ...]:
    from scipy.stats import mannwhitneyu  # noqa: PLC0415  (slow to import)

    known = np.isfinite(age)
    here, there = age[known & left_out], age[known & ~left_out]
    if min(len(here), len(there)) < MIN_GROUP:
        return ()
    p_value = float(mannwhitneyu(here, there).pvalue)
    return (Difference("age", _standardised(here, there), _rounded(p_value), "Mann-Whitney"),)


def _sex_difference(cases: pd.DataFrame, left_out: Flags) -> tuple[Difference, ...]:
    """Share of women; nothing where only one sex is known."""
    from scipy.stats import fisher_exact  # noqa: PLC0415  (slow to import)

    sex = np.array(_texts(cases, "sex"))
    known = sex != UNKNOWN
    if len(sex) == 0 or len(np.unique(sex[known])) != 2:
        return ()
    level = "female" if "female" in sex else str(np.unique(sex[known])[0])
    here, there = (sex[known & rows] == level for rows in (left_out, ~left_out))
    if not len(here) or not len(there):
        return ()
    table = [[int(part.sum()), int((~part).sum())] for part in (here, there)]
    p_value = float(fisher_exact(table)[1])
    size = _standardised(*(part.astype(np.float64) for part in (here, there)))
    return (Difference(f"sex: {level}", size, _rounded(p_value), "Fisher"),)


def _standardised(here: NDArray[np.float64], there: NDArray[np.float64]) -> float | None:
    """Difference of means over the root of the mean variance; None where nothing varies."""
    scale = np.sqrt((here.var() + there.var()) / 2)
    return _rounded(float((here.mean() - there.mean()) / scale)) if scale > 0 else None


def _ages(cohort: Cohort) -> NDArray[np.float64]:
    column = cohort.cases.get("age")
    return np.full(len(cohort), np.nan) if column is None else column.to_numpy(np.float64)


def _texts(cases: pd.DataFrame, column: str) -> list[str]:
    """Values of a text column, blanks as "unknown"; empty where there is no such column."""
    if column not in cases:
        return []
    return [str(value) if value else UNKNOWN for value in cases[column].fillna("")]


def _counted(texts: list[str]) -> dict[str, int]:
    return dict(sorted(Counter(texts).items(), key=lambda item: (-item[1], item[0])))


def _sizes(cohort: Cohort, rows: Flags) -> tuple[int, int]:
    return int(rows.sum()), int(cohort.event[rows].sum())


def _middle(median: float, low: float, high: float) -> Middle:
    return Middle(_rounded(median), _rounded(low), _rounded(high))


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
