"""`survbench methods`: what there is to run."""

from __future__ import annotations

import click


@click.command()
@click.argument("name", required=False)
def methods(name: str | None) -> None:
    """List the methods with their papers, or show one: what it is, needs, and its config."""
    from survbench.registry import list_methods

    if name is not None:
        print(_described(name))
        return
    entries = list_methods()
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        print(f"{entry.name:{width}}  {entry.summary}")
        if entry.paper:
            print(f"{'':{width}}    {entry.paper}")


def _described(name: str) -> str:
    """Docstring, contract, config and presets of a method."""
    from dataclasses import fields
    from inspect import getdoc, getmodule

    from survbench.registry import get_method

    method = get_method(name)
    lines = [getdoc(getmodule(method)) or getdoc(method) or "", ""]
    declared = {
        "version": method.version,
        "uses": _names(method().uses),
        "tolerates": _names(method.tolerates),
        "trains without": _names(method.trains_without),
        "fill": method.fill or "nothing",
    }
    lines += [f"{key}: {value}" for key, value in declared.items()]
    config, known = method.preset("standard"), fields(method.Config)
    lines += ["", "config (preset standard):" if known else "config: nothing to set"]
    lines += [
        f"  {each.name}={getattr(config, each.name)}  ({_type_name(each.type)})" for each in known
    ]
    for preset, values in method.presets.items():
        lines.append(f"preset {preset}: {' '.join(f'{k}={v}' for k, v in values.items())}")
    return "\n".join(lines)


def _type_name(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _names(declared: frozenset[str]) -> str:
    return "every modality" if "*" in declared else ", ".join(sorted(declared)) or "nothing"
