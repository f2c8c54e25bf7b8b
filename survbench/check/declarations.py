"""Promises about what a method declares."""

from __future__ import annotations

import dataclasses
import sys

from survbench.check.compare import check
from survbench.check.trial import Trial, owner
from survbench.method import ALL, CONTRACT, Method

FINAL = tuple(name for name, value in vars(Method).items() if getattr(value, "__final__", False))
HEADINGS = ("Source:", "Missing modality:", "Departs:")


def states_its_contract(trial: Trial) -> None:
    """It states the contract it was written for and leaves the suite's own methods alone."""
    check(trial.method.contract == CONTRACT, f"contract {trial.method.contract}, not {CONTRACT}")
    replaced = [name for name in FINAL if owner(trial.method, name) is not Method]
    check(not replaced, f"overrides {', '.join(replaced)}; write fit_cases and predict_cases")


def documents_itself(trial: Trial) -> None:
    """Its module says where it comes from, what it does without a modality, and how it departs."""
    text = sys.modules[trial.method.__module__].__doc__ or ""
    place = [text.find(f"\n{heading}") for heading in HEADINGS]
    lacking = [heading for heading, at in zip(HEADINGS, place, strict=True) if at < 0]
    check(not lacking, f"module docstring lacks {', '.join(lacking)}")
    check(place == sorted(place), f"module docstring must have {', '.join(HEADINGS)} in order")


def configures_by_frozen_dataclass(trial: Trial) -> None:
    """Its Config is a frozen dataclass of plain values, and its presets name fields of it."""
    config = trial.method.Config
    frozen = dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen  # type: ignore[attr-defined]
    check(frozen, f"Config {config.__name__} is not a frozen dataclass")
    for name in ("quick", "standard", "paper"):
        trial.method.preset(name)
    for entry in dataclasses.fields(config):
        value = getattr(config(), entry.name)
        plain = isinstance(value, bool | int | float | str | tuple | None)
        check(plain, f"Config.{entry.name} is a {type(value).__name__}, which JSON cannot keep")


def tolerates_only_what_it_uses(trial: Trial) -> None:
    """What it says may be absent is among what it uses."""
    method = trial.new()
    for word in ("tolerates", "trains_without"):
        extra = getattr(method, word) - method.uses
        free = method.uses == ALL or getattr(method, word) == ALL
        check(free or not extra, f"{word} names {sorted(extra)}, which uses does not")
