"""Configs of methods from JSON values: whole numbers and lists take the types of their fields."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Union, get_args, get_origin, get_type_hints


def config_of(kind: type, values: Mapping[str, Any]) -> Any:
    """Config of a kind from JSON values; fields that it no longer has are passed over."""
    hints = get_type_hints(kind)
    known = [entry.name for entry in fields(kind) if entry.name in values]
    return kind(**{name: _typed(values[name], hints[name]) for name in known})


def typed(config: Any) -> Any:
    """Config whose numbers and lists have the types of their fields, so that 1 and 1.0 are one."""
    values = {entry.name: getattr(config, entry.name) for entry in fields(config)}
    return config_of(type(config), values)


def _typed(value: Any, hint: Any) -> Any:
    """Value with whole numbers made floats and lists made tuples where the field's type says so."""
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and float in members and int not in members:
        return float(value)
    if isinstance(value, list):
        inner = next((get_args(member) for member in members if get_args(member)), (Any,))
        each = [one for one in inner if one is not Ellipsis]
        each = each if len(each) == len(value) else each[:1] * len(value)
        return tuple(_typed(part, kind) for part, kind in zip(value, each, strict=True))
    return value
