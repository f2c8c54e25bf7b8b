"""Whether the record of a fit is one that `survbench run` could have written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from survbench.cohort import Regime
from survbench.errors import InputError

Check = Callable[[Any], bool]


def wrong_record(record: Any) -> str:
    """What is wrong with a record: the first entry that is missing or of another kind, or ''.

    Scores, tables and the site take what they need from records without looking again.
    """
    if not isinstance(record, dict):
        return f"no {next(iter(_RECORD))!r} in its record"
    for key, sound in _RECORD.items():
        if key not in record:
            return f"no {key!r} in its record"
        if not sound(record[key]):
            return f"{key} is {str(record[key])[:80]!r}, which no run writes"
    return ""


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _text_or_none(value: Any) -> bool:
    return value is None or _text(value)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not _flag(value) and 0 <= value < 10**9


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not _flag(value) and math.isfinite(value)


def _months(value: Any) -> bool:
    return value is None or (_number(value) and value > 0)


def _edges(value: Any) -> bool:
    """Finite edges from 0, or None where a method has no curve."""
    if value is None:
        return True
    numbers = isinstance(value, list) and len(value) > 1 and all(map(_number, value))
    return numbers and value[0] == 0 and all(early < late for early, late in pairwise(value))


def _regime(value: Any) -> bool:
    try:
        return _text(value) and str(Regime.parse(value)) == value
    except InputError:
        return False


def _with(**parts: Check) -> Check:
    """Whether a value is an object with these parts."""

    def sound(value: Any) -> bool:
        return _object(value) and all(
            name in value and check(value[name]) for name, check in parts.items()
        )

    return sound


_RECORD: Mapping[str, Check] = {
    "changed": _object,
    "cohort": _text,
    "cohort_info": _with(
        horizon_months=_months,
        simulated=_flag,
        note=_text,
        cohort_level_preprocessing=_text,
        encoder_saw_tcga=_text,
    ),
    "contract": _with(uses=_texts, tolerates=_texts, trains_without=_texts, fill=_text_or_none),
    "edges": _edges,
    "fold": _count,
    "left_out": _with(test=_count, splits=_count),
    "modalities": _texts,
    "preset": _text,
    "presets": _texts,
    "seed": _count,
    "setting": _with(
        cohort_hash=_text,
        split_hash=_text,
        population=_text,
        train_regime=_regime,
        method=_text,
        version=_count,
        config=_object,
    ),
    "splits": _text,
    "test": _with(n=_count, events=_count),
}
