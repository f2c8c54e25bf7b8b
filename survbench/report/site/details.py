"""What a reader may want to know of one row beyond its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from survbench.report.leaderboard import Scored
from survbench.report.tables.caption import NONE, listed
from survbench.report.tables.cells import p_value
from survbench.score import FoldPredictions
from survbench.score.concordance import comparable_pairs

Pairs = tuple[tuple[str, str], ...]
FIT_COLUMNS = ("seed", "fold", "patients", "events", "C-index", "in training", "updates", "seconds")


@dataclass(frozen=True)
class Details:
    """The details of a row.

    Parameters
    ----------
    groups : tuple of (title, pairs of name and text)
        What was run, on what, and what came of it.
    config : pairs of name and text
        The resolved config.
    changed : set of str
        Config keys set beside the preset.
    fits : tuple of tuple of str
        One line per seed and fold, under `FIT_COLUMNS`.
    """

    groups: tuple[tuple[str, Pairs], ...]
    config: Pairs
    changed: frozenset[str]
    fits: tuple[tuple[str, ...], ...]


def details_of(entry: Scored, recovered: Mapping[str, float]) -> Details:
    """Details of a row; `recovered` holds the mean of each diagnostic."""
    groups = {
        "Result": _result(entry),
        "Setting": _setting(entry),
        "Training": _training(entry.records),
        "Machine": _machine(entry.records),
        "Recovery of what is missing, mean over patients": [
            (name, _number(value)) for name, value in recovered.items()
        ],
    }
    told = {title: tuple(pair for pair in pairs if pair[1]) for title, pairs in groups.items()}
    config = _first(entry.records, "setting", "config") or {}
    return Details(
        groups=tuple((title, pairs) for title, pairs in told.items() if pairs),
        config=tuple((str(key), _text(value)) for key, value in config.items()),
        changed=frozenset(_first(entry.records, "changed") or ()),
        fits=_fits(entry),
    )


def _result(entry: Scored) -> list[tuple[str, str]]:
    row, about = entry.row, entry.row.about
    told = [
        ("note", row.reason),
        ("remarks", "; ".join(about.flags)),
        ("std over seeds", _number(about.seed_std) if row.seeds > 1 else ""),
        ("left out", f"{row.left_out} patients" if row.left_out else ""),
    ]
    made = about.comparison
    if made is not None:
        interval = f"[{made.low:+.3f}, {made.high:+.3f}]"
        told += [
            (f"minus {about.reference}", f"{made.difference:+.3f} {interval}"),
            ("p, Holm-adjusted p", f"{p_value(made.p_value)}, {p_value(made.p_holm)}"),
            ("comparisons in the family", str(about.family)),
        ]
    return told


def _setting(entry: Scored) -> list[tuple[str, str]]:
    row, records = entry.row, entry.records
    contract = _first(records, "contract") or {}
    return [
        ("setting", row.setting),
        ("version of the method", _distinct(records, "setting", "version")),
        ("preset", ", ".join(row.about.presets) or row.preset),
        ("population", row.population),
        ("missing in training", row.train_regime),
        ("missing at test", row.regime),
        ("seeds", listed(row.about.seeds)),
        ("folds", f"{listed(row.about.folds)} of {row.split}" if row.about.folds else row.split),
        ("data", row.cohort_hash),
        ("reads", ", ".join(contract.get("uses") or ())),
        ("predicts without", ", ".join(contract.get("tolerates") or ()) if contract else ""),
        ("trains without", ", ".join(contract.get("trains_without") or ()) if contract else ""),
        ("fills the rest by", contract.get("fill") or ""),
    ]


def _training(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [
        ("C-index in training", _spread(_numbers(records, "train_c_index"), "{:.3f}")),
        ("training patients of a fit", _spread(_numbers(records, "train", "n"), "{:.0f}")),
        ("parameters", _spread(_numbers(records, "fit", "parameters"), "{:,.0f}")),
        ("optimiser updates of a fit", _spread(_numbers(records, "fit", "updates"), "{:,.0f}")),
        ("seconds of a fit", _spread(_numbers(records, "seconds"), "{:,.1f}")),
        ("peak memory, MiB", _spread(_numbers(records, "peak_memory_mib"), "{:,.0f}")),
        ("peak GPU memory, MiB", _spread(_numbers(records, "peak_gpu_memory_mib"), "{:,.0f}")),
    ]


def _machine(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    named = {"processor": "cpu", "GPU": "gpu", "system": "system"}
    packages = sorted({name for record in records for name in record.get("versions") or ()})
    return [
        *((title, _distinct(records, "hardware", key)) for title, key in named.items()),
        ("device", _distinct(records, "device")),
        ("threads", _distinct(records, "threads")),
        *((name, _distinct(records, "versions", name)) for name in packages),
    ]


def _fits(entry: Scored) -> tuple[tuple[str, ...], ...]:
    predicted = {(fold.seed, fold.fold): fold for fold in entry.folds}
    lines = []
    for record in sorted(entry.records, key=lambda record: (record["seed"], record["fold"])):
        fold = predicted.get((record["seed"], record["fold"]))
        score = math.nan if fold is None else _c_index(fold)
        size = (str(len(fold)), str(int(fold.event.sum()))) if fold else (NONE, NONE)
        known = (("{:.3f}", "train_c_index"), ("{:,.0f}", "fit", "updates"), ("{:,.1f}", "seconds"))
        rest = (_spread(_numbers([record], *path), shown) or NONE for shown, *path in known)
        place = (str(record["seed"]), str(record["fold"]))
        lines.append((*place, *size, _number(score), *rest))
    return tuple(lines)


def _c_index(fold: FoldPredictions) -> float:
    """Harrell's C of one fit, from its pairs: many times faster here than the library's."""
    pairs = comparable_pairs(fold.time, fold.event)
    return float(pairs.credit(fold.risk).mean()) if len(pairs) else math.nan


def _at(record: Mapping[str, Any], path: Iterable[str]) -> Any:
    """Entry of a nested record, None where there is none."""
    found: Any = record
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _first(records: Sequence[Mapping[str, Any]], *path: str) -> Any:
    return _at(records[0], path) if records else None


def _distinct(records: Sequence[Mapping[str, Any]], *path: str) -> str:
    """What the records say, each text once."""
    texts = {_text(value) for record in records if (value := _at(record, path)) is not None}
    return "; ".join(sorted(texts))


def _numbers(records: Sequence[Mapping[str, Any]], *path: str) -> list[float]:
    values = (_at(record, path) for record in records)
    return [float(value) for value in values if isinstance(value, (int, float))]


def _spread(values: Sequence[float], shown: str) -> str:
    """Mean, with the range where it is seen; empty without values."""
    if not values:
        return ""
    mean, low, high = (shown.format(each) for each in (np.mean(values), min(values), max(values)))
    return mean if low == high else f"{mean} ({low} to {high})"


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else NONE


def _text(value: object) -> str:
    """Value of a config or record on one line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_text(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value)) or "none"
    return "none" if value is None else str(value)
