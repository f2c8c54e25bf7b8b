"""What a table must say of its rows: patients, how numbers are made, gaps, and its signs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from survbench.report.row import UNRANKED, Row

NONE = "-"
DAGGER = "†"
SIGNIFICANT = 0.05

Sentence = tuple[str | None, str]


def caption(rows: Sequence[Row], seeds: Sequence[int]) -> Iterable[Sentence]:
    """Sentences about a board as (column or None, text); those of a column are for who shows it."""
    if rows[0].about.source:
        yield None, "Published numbers, mean ± std as the source prints them; not measured here."
        yield None, f"{NONE}: the source gives no number."
        return
    yield from ((None, text) for text in _about_patients(rows, seeds))
    yield from _about_numbers(rows)
    yield from _about_gaps(rows)
    yield from ((None, text) for text in _about_signs(rows))


def _about_patients(rows: Sequence[Row], seeds: Sequence[int]) -> Iterable[str]:
    whole = max(rows, key=lambda row: row.n)
    kind = "Simulated cohort, measured here" if whole.about.simulated else "Measured here"
    yield (
        f"{kind}: {whole.n} test patients, {whole.events} deaths, {whole.folds} folds "
        f"({whole.split}), seeds {listed(seeds) or 'unknown'}, data {whole.cohort_hash[:12]}."
    )
    yield from dict.fromkeys(_sentence(note) for row in rows for note in row.about.cohort_notes)
    left_out: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        left_out[row.regime].add(row.left_out)
    told = [
        f"{' or '.join(map(str, sorted(counts)))} with {regime} missing"
        for regime, counts in left_out.items()
        if any(counts)
    ]
    absent = max(row.about.absent_cases for row in rows)
    missing = f"; cases of the split that the cohort lacks: {absent}" if absent else ""
    yield f"Patients left out: {', '.join(told) or 'none'}{missing}."


def _about_numbers(rows: Sequence[Row]) -> Iterable[Sentence]:
    yield (
        None,
        "C-index: mean ± std (ddof 0) over folds of the mean over seeds, pairs within a fold only.",
    )
    draws = max(row.about.draws for row in rows)
    if draws:
        yield (
            "[low, high]",
            f"[low, high]: 95 % interval, {draws} bootstrap draws of patients within folds; "
            "conditional on the fitted models.",
        )
    spread = [row.about.seed_std for row in rows if row.seeds > 1 and row.scored]
    if spread:
        yield None, f"Std of the C-index over seeds: up to {max(spread):.3f}."
    horizon = next((row.about.horizon for row in rows if row.about.horizon is not None), None)
    ranges = [row.about.uncensored for row in rows if row.about.uncensored]
    if horizon is not None:
        low, high = min((r[0] for r in ranges), default=0), max((r[1] for r in ranges), default=0)
        weight = f": G(horizon) {low:.2f} to {high:.2f} over folds" if ranges else ""
        what = "Uno's C (and AUC) at"
        yield "Uno C", f"{what} {horizon:g} months, censoring from the training fold{weight}."
    yield (
        "IBS",
        "IBS: integrated Brier score from 0 to the last finite edge of the training fold (0.75 "
        "quantile of its deaths).",
    )
    yield (
        "log-rank",
        "Log-rank p: groups cut at the median risk of each test fold, folds pooled (stratified: "
        "compared within folds), median over seeds; nominal: folds share training patients.",
    )
    yield (
        "hazard ratio",
        "Hazard ratio: high over low group at the same cut, 95 % interval, Cox model stratified by "
        "fold, median over seeds; nominal as well.",
    )


def _about_gaps(rows: Sequence[Row]) -> Iterable[Sentence]:
    """Why numbers other than the C-index are missing, methods and regimes together."""
    for name, column in _COLUMN.items():
        methods: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            if name in row.about.reasons:
                methods[row.about.reasons[name]].append(row.method)
        for reason, affected in methods.items():
            whose = ", ".join(dict.fromkeys(affected))
            yield column, f"No {column} for {whose}: {plain(reason)}."


def _about_signs(rows: Sequence[Row]) -> Iterable[str]:
    fills = sorted({row.about.fill for row in rows if row.mark and row.about.fill})
    yield (
        f"*: what is missing was filled in (fill: {', '.join(fills) or 'none here'}); "
        f"{NONE}: no number, a note says why."
    )
    changed = any(row.changed for row in rows)
    variants = ", nor is a config that was changed" if changed else ""
    yield f"Ranked within one missing regime; {', '.join(UNRANKED)} are never ranked{variants}."
    references: dict[tuple[str, int], list[str]] = defaultdict(list)
    for row in rows:
        if row.about.comparison:
            regimes = references[row.about.reference, row.about.family]
            regimes.extend([row.regime] * (row.regime not in regimes))
    if references:
        families = "; ".join(
            f"{method} for missing {', '.join(regimes)}, family of {family}"
            for (method, family), regimes in references.items()
        )
        yield (
            f"{DAGGER}: differs from the reference ({families}) by paired bootstrap, "
            f"Holm-adjusted p < {SIGNIFICANT}."
        )


_COLUMN = {
    "uno_c": "Uno C",
    "ibs": "IBS",
    "auc": "AUC",
    "logrank_p": "log-rank",
    "logrank_p_stratified": "stratified",
    "hazard_ratio": "hazard ratio",
}


def listed(numbers: Iterable[int]) -> str:
    """1, 2, 3."""
    return ", ".join(map(str, numbers))


def _sentence(text: str) -> str:
    return plain(text).rstrip(".") + "."


def plain(text: str) -> str:
    """One line without control characters, whatever an error message held."""
    return re.sub(r"[\x00-\x20\x7f-\x9f]+", " ", text).strip()
