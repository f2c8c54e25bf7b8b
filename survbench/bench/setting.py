"""What a number is about: the setting, its canonical text and id, and the resolved config."""

from __future__ import annotations

import hashlib
import json
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from survbench.config import typed
from survbench.errors import InputError, UnknownNameError
from survbench.method import Method

PRESETS = ("quick", "standard", "paper")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class Setting:
    """Everything that decides a number, apart from seed, fold and test regime.

    Parameters
    ----------
    cohort_hash, split_hash : str
        Contents of the cohort and of its folds.
    population : str
        paired or all.
    train_regime : str
        What is missing in training, canonical text.
    method : str
        Name of the method.
    version : int
        Raised by hand when the method's outputs change.
    config : mapping
        Every field of the resolved config, as JSON values.
    control : str
        Negative control; `none` stays out of the canonical text.
    fill : str
        Rule in place of the method's own; empty, and out of the canonical text, where it is that.
    """

    cohort_hash: str
    split_hash: str
    population: str
    train_regime: str
    method: str
    version: int
    config: Mapping[str, Any]
    control: str = "none"
    fill: str = ""

    def canonical(self) -> str:
        """JSON with sorted keys, no blanks, ASCII: the same text for the same setting anywhere."""
        usual = (("control", "none"), ("fill", ""))
        parts = dict(entry for entry in asdict(self).items() if entry not in usual)
        return json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def id(self) -> str:
        """First 12 hex digits of the sha256 of the canonical text."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Resolved:
    """A config and how it came about.

    Parameters
    ----------
    config : dataclass
        Instance of the method's Config.
    values : mapping
        Its fields as JSON values.
    changed : mapping
        Those that were set beside the preset.
    presets : tuple of str
        Presets that give this same config once `changed` is applied.
    """

    config: Any
    values: Mapping[str, Any]
    changed: Mapping[str, Any]
    presets: tuple[str, ...]


def resolve(method: type[Method], preset: str, changes: Mapping[str, str]) -> Resolved:
    """Config of a preset with fields set from text.

    Raises
    ------
    UnknownNameError
        A preset or a field that does not exist.
    InputError
        A value that cannot be read as its field's type, or that the Config refuses.
    """
    if preset not in PRESETS:
        msg = "preset"
        raise UnknownNameError(msg, preset, PRESETS, "'survbench run --help'")
    hints = get_type_hints(method.Config)
    known = [entry.name for entry in fields(method.Config)]
    read = {}
    for key, text in changes.items():
        if key not in known:
            see = f"'survbench methods {method.name}'"
            msg = f"config key of {method.name}"
            raise UnknownNameError(msg, key, known, see)
        read[key] = parse_value(text, hints[key], f"{method.name}.{key}")
    base, config = typed(method.preset(preset)), _changed(method, preset, read)
    values = _json_values(method.name, config)
    return Resolved(
        config=config,
        values=values,
        changed={key: values[key] for key in read if values[key] != _plain(getattr(base, key))},
        presets=tuple(name for name in PRESETS if _changed(method, name, read) == config),
    )


def read_changes(texts: Sequence[str], methods: Sequence[str]) -> dict[str, dict[str, str]]:
    """Texts such as `lr=0.1` or `abmil.lr=0.1` as {method: {key: value}}, each method present.

    Raises
    ------
    InputError
        No `=`, a missing prefix where several methods run, or one field set twice.
    UnknownNameError
        A prefix that is none of the methods of this run.
    """
    changes: dict[str, dict[str, str]] = {name: {} for name in methods}
    for text in texts:
        target, equals, value = text.partition("=")
        prefix, dot, key = target.strip().rpartition(".")
        if not equals or not key:
            msg = f"--set {text!r} is not key=value; write --set [METHOD.]key=value"
            raise InputError(msg)
        if not dot:
            if len(methods) != 1:
                msg = (
                    f"--set {text!r} does not say whose key it is; with several methods write "
                    f"--set METHOD.{key}={value}"
                )
                raise InputError(msg)
            prefix = methods[0]
        if prefix not in changes:
            msg = "method in --set"
            raise UnknownNameError(msg, prefix, methods, "--method of this run")
        if key in changes[prefix]:
            msg = f"--set gives {prefix}.{key} twice; keep one"
            raise InputError(msg)
        changes[prefix][key] = value.strip()
    return changes


def parse_value(text: str, hint: Any, place: str) -> Any:
    """Value of a config field of type `hint` written as `text`.

    Raises
    ------
    InputError
        The text is no such value; `place` says of which field.
    """
    try:
        return _parse(text, hint)
    except ValueError as error:
        msg = f"{place}={text!r} is not {_spelt(hint)}"
        raise InputError(msg) from error


def _parse(text: str, hint: Any) -> Any:
    """Value of type `hint`, or ValueError."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _parse_first(text, inner)
    if origin is Literal:
        return next(value for value in _or_fail(inner, text) if str(value) == text)
    if origin is tuple:
        return _parse_tuple(text, inner)
    if hint is bool:
        return _parse_bool(text)
    if hint is float:
        return _finite(float(text))
    if hint in (int, str):
        return hint(text)
    raise ValueError(text)


def _parse_bool(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError(text)
    return text.lower() in _TRUE


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(number)
    return number


def _parse_first(text: str, hints: Sequence[Any]) -> Any:
    """Value of the first member of a union that can read the text; text itself comes last."""
    if types.NoneType in hints and text.lower() == "none":
        return None
    for hint in sorted((h for h in hints if h is not types.NoneType), key=lambda h: h is str):
        try:
            return _parse(text, hint)
        except ValueError:
            continue
    raise ValueError(text)


def _or_fail(allowed: Sequence[Any], text: str) -> Sequence[Any]:
    if text not in [str(value) for value in allowed]:
        raise ValueError(text)
    return allowed


def _parse_tuple(text: str, inner: Sequence[Any]) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.strip("()").split(",") if part.strip()]
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(_parse(part, inner[0]) for part in parts)
    if len(parts) != len(inner):
        raise ValueError(text)
    return tuple(_parse(part, hint) for part, hint in zip(parts, inner, strict=True))


def _spelt(hint: Any) -> str:
    """What a value of this type looks like, for an error message."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_spelt(member) for member in inner)
    if origin is Literal:
        return "one of " + ", ".join(str(value) for value in inner)
    if origin is tuple:
        return "a list such as 1,2 of " + ", ".join(_spelt(h) for h in inner if h is not Ellipsis)
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a finite number",
        str: "text",
        types.NoneType: "none",
    }
    return names.get(hint, f"settable on the command line (its type is {hint})")


def _changed(method: type[Method], preset: str, read: Mapping[str, Any]) -> Any:
    """Config of a preset with fields replaced; what the Config refuses is an InputError."""
    try:
        return replace(typed(method.preset(preset)), **read)
    except (TypeError, ValueError) as error:
        msg = f"config of {method.name}: {error}"
        raise InputError(msg) from error


def _json_values(name: str, config: Any) -> dict[str, Any]:
    values = {entry.name: _plain(getattr(config, entry.name)) for entry in fields(config)}
    try:
        json.dumps(values, allow_nan=False)
    except (TypeError, ValueError) as error:
        msg = f"config of {name} is not plain JSON: {error}"
        raise InputError(msg) from error
    return values


def _plain(value: Any) -> Any:
    """Tuples as lists."""
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value
