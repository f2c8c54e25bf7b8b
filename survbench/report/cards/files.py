"""Cohort cards as JSON beside the leaderboards, so that tables and the site need no features."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from survbench.errors import ResultError
from survbench.report.cards.card import CohortCard, Difference, FoldCount, Group, Middle

SCHEMA = 1


def write_card(card: CohortCard, path: str | Path) -> None:
    """Write a card as JSON; the same card gives the same bytes."""
    text = json.dumps({"schema": SCHEMA, **asdict(card)}, indent=1, allow_nan=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def read_card(path: str | Path) -> CohortCard:
    """Card of a JSON file.

    Raises
    ------
    ResultError
        The file is no card, or one of a newer survbench.
    """
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
        schema = told.pop("schema")
        if schema > SCHEMA:
            msg = f"{path} has schema {schema}, this survbench reads up to {SCHEMA}; upgrade it"
            raise ResultError(msg)
        return _card_of(told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ResultError):
            raise
        msg = (
            f"{path} is no cohort card ({type(error).__name__}: {error}); "
            "make it anew from its cohort"
        )
        raise ResultError(msg) from error


def _card_of(told: dict[str, Any]) -> CohortCard:
    groups = {
        key: None if told[key] is None else _group_of(told[key])
        for key in ("everyone", "paired", "left_out")
    }
    lists = {
        "differences": tuple(Difference(**each) for each in told["differences"]),
        "folds": tuple(FoldCount(**each) for each in told["folds"]),
    }
    return CohortCard(**{**told, **groups, **lists})


def _group_of(told: dict[str, Any]) -> Group:
    middles = {
        key: None if told[key] is None else Middle(**told[key]) for key in ("follow_up", "age")
    }
    return Group(**{**told, **middles})
