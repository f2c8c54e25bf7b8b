"""A leaderboard row: numbers of one setting under one regime, and what tables must say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property

from survbench.bench.truth import TRUTH
from survbench.score.bootstrap import Comparison
from survbench.score.predictions import Estimate

CONTROLS = ("clinical", "site")  # stand above every board, never ranked
UNRANKED = (*CONTROLS, *TRUTH)
_SHORT = 16  # characters of a changed config that stand beside the name of its method
UNDER_FITTED = 0.65  # C-index in training below which a fit is flagged
NAN = float("nan")
NO_ESTIMATE = Estimate.none("")


@dataclass(frozen=True)
class About:
    """What tables say of a row beside its fields; not part of csv and json.

    Parameters
    ----------
    source : str
        Where a number was published; empty where it was measured here.
    presets : tuple of str
        All presets that give the row's config.
    simulated : bool
        Whether the cohort is simulated.
    endpoint : str
        What the event is, such as overall survival.
    cohort_notes : tuple of str
        What must be said wherever the cohort is shown.
    horizon : float or None
        Months at which Uno's C and the AUC are taken.
    uncensored : (float, float) or None
        Smallest and largest G(horizon) of the folds.
    modalities : tuple of str
        Those of the cohort.
    uses : tuple of str
        Modalities and covariates the method reads.
    fill : str or None
        Rule by which something missing was filled in, where it was.
    folds, seeds : tuple of int
        Which were averaged.
    whole : bool
        Whether these are all folds of the split.
    absent_cases : int
        Cases of the split that the cohort lacks.
    seed_std : float
        Standard deviation of the C-index over seeds.
    draws : int
        Bootstrap resamples behind the interval.
    flags : tuple of str
        Remarks, such as 'under-fitted'.
    hazard_ratio : Estimate
        High over low risk, cut at the median of each test fold, stratified by fold.
    deployable_p : float
        Log-rank p stratified by fold, cut at the median risk of each training fold.
    deployable_hazard_ratio : Estimate
        The hazard ratio at that cut.
    d_calibration_p : float
        Small where the survival curves are wrong.
    calibration_horizon : float or None
        Months at which calibration is looked at; no later than survival curves end.
    calibration_slope : Estimate
        1 where predicted survival is neither too extreme nor too alike.
    calibration_error : float
        Mean distance of predicted and observed survival.
    reasons : mapping of field to str
        Why a number other than the C-index is NaN, of `Row` or of `About`.
    reference : str
        Method the row is compared with; empty where it is not.
    family : int
        Comparisons that Holm's correction counts.
    comparison : Comparison or None
        The row against the reference.
    """

    source: str = ""
    presets: tuple[str, ...] = ()
    simulated: bool = False
    endpoint: str = ""
    cohort_notes: tuple[str, ...] = ()
    horizon: float | None = None
    uncensored: tuple[float, float] | None = None
    modalities: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    fill: str | None = None
    folds: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    whole: bool = True
    absent_cases: int = 0
    seed_std: float = NAN
    draws: int = 0
    flags: tuple[str, ...] = ()
    hazard_ratio: Estimate = NO_ESTIMATE
    deployable_p: float = NAN
    deployable_hazard_ratio: Estimate = NO_ESTIMATE
    d_calibration_p: float = NAN
    calibration_horizon: float | None = None
    calibration_slope: Estimate = NO_ESTIMATE
    calibration_error: float = NAN
    reasons: Mapping[str, str] = field(default_factory=dict)
    reference: str = ""
    family: int = 0
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Row:
    """One setting under one regime; the fields but `about` are those of csv and json.

    Parameters
    ----------
    cohort, method, regime, train_regime, population, preset : str
        What was measured; regimes in canonical text.
    setting : str
        Id of the setting.
    split : str
        Name of the folds, @, and the first digits of their hash.
    cohort_hash : str
        Hash of the cohort's data.
    changed : str
        Config set beside the preset, as k=v separated by blanks.
    seeds, folds : int
        How many were averaged.
    n, events : int
        Test patients of these folds and their deaths.
    left_out : int
        Patients of the cohort in these folds who were not scored.
    c_index, c_index_std, c_index_low, c_index_high : float
        Mean and standard deviation over folds; bootstrap interval.
    uno_c, ibs, auc, logrank_p, logrank_p_stratified : float
        Other scores; NaN where there is none.
    mark : str
        "*" where something missing was filled in, else empty.
    reason : str
        Why there is no number, or what is missing of it.
    """

    cohort: str
    method: str
    regime: str
    train_regime: str = ""
    population: str = ""
    preset: str = ""
    setting: str = ""
    split: str = ""
    cohort_hash: str = ""
    changed: str = ""
    seeds: int = 0
    folds: int = 0
    n: int = 0
    events: int = 0
    left_out: int = 0
    c_index: float = NAN
    c_index_std: float = NAN
    c_index_low: float = NAN
    c_index_high: float = NAN
    uno_c: float = NAN
    ibs: float = NAN
    auc: float = NAN
    logrank_p: float = NAN
    logrank_p_stratified: float = NAN
    mark: str = ""
    reason: str = ""
    about: About = field(default_factory=About, repr=False)

    @property
    def scored(self) -> bool:
        """Whether there is a C-index."""
        return math.isfinite(self.c_index)

    @property
    def ranked(self) -> bool:
        """Whether the row takes part in the ranking of its board and regime.

        A config that was changed is a variant beside the ranking, as what it was changed for may
        be these very numbers.
        """
        whole = self.scored and self.about.whole
        return whole and not self.changed and self.method not in UNRANKED

    @property
    def full_name(self) -> str:
        """Method, with what was changed in its config."""
        return f"{self.method} {self.changed}".rstrip()

    @property
    def name(self) -> str:
        """The full name where it fits a column of a table, else the method."""
        return self.full_name if len(self.changed) <= _SHORT else self.method

    @cached_property
    def values(self) -> dict[str, str | int | float]:
        """Fields of csv and json in their order."""
        return {name: getattr(self, name) for name in FIELDS}


FIELDS = tuple(entry.name for entry in fields(Row) if entry.name != "about")


def rank_order(row: Row) -> tuple[object, ...]:
    """Sort key: nothing missing first, then by regime.

    Of a regime: controls, then best first, then dashes; then variants, method by method.
    """
    control = CONTROLS.index(row.method) if row.method in CONTROLS else len(CONTROLS)
    regime = (row.regime != "none", row.regime.count("@"), row.regime.count("+"), row.regime)
    best = (not row.scored, -row.c_index if row.scored else 0.0)
    place = (True, row.method, *best) if row.changed else (False, control, *best)
    return (*regime, *place, row.method)


def board_key(row: Row) -> tuple[str, ...]:
    """What rows of one board share."""
    return (
        row.about.source,
        row.cohort,
        row.cohort_hash,
        row.split,
        row.population,
        row.preset,
        row.train_regime,
    )
