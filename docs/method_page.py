"""What the page of a method says: its docstring, what it declares, its config and presets."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from plain import Comments, comments, joined

from survbench.method import Method
from survbench.registry import Entry, get_method

_SECTION = re.compile(r"^([A-Z][\w ]*):(?: |$)")
_ITEM = re.compile(r"^([A-Z][\w ,/-]*): ")
Paragraphs = Sequence[tuple[str, str]]  # (label or "", text)


@dataclass(frozen=True)
class Field:
    """A field of a Config: its type, its value in the preset `standard`, what is said of it."""

    name: str
    kind: str
    default: str
    says: str


@cache
def described(entry: Entry) -> Mapping[str, Any]:
    """Everything that the template method.md.jinja shows of a method."""
    method = get_method(entry.name)
    summary, sections = parts(inspect.getdoc(inspect.getmodule(method)) or _doc(method))
    return {
        "entry": entry,
        "summary": summary,
        "sections": sections,
        "method": method,
        "declared": method(),  # what the default config makes of it
        "about_config": _doc(method.Config),
        "fields": config_fields(method),
        "presets": list(presets(method)),
    }


def parts(docstring: str) -> tuple[str, dict[str, Paragraphs]]:
    """First line of a docstring, and its sections (`Source:` ...) as labelled paragraphs.

    A line of a section that follows a full stop and begins with a label (`Losses: ...`) begins a
    paragraph of its own.
    """
    summary, _, rest = docstring.partition("\n")
    sections: dict[str, list[tuple[str, str]]] = {}
    title, ended = "", True
    for line in rest.splitlines():
        found = _SECTION.match(line)
        text = line[found.end() :].strip() if found else line.strip()
        title = found[1] if found else title
        paragraphs = sections.setdefault(title, [])
        label = _ITEM.match(text) if ended and paragraphs else None
        if text and (label or not paragraphs):
            paragraphs.append((label[1], text[label.end() :]) if label else ("", text))
        elif text:
            paragraphs[-1] = (paragraphs[-1][0], f"{paragraphs[-1][1]} {text}")
        ended = not text or text.endswith(".")
    return summary, {title: found for title, found in sections.items() if found}


def config_fields(method: type[Method]) -> list[Field]:
    """Fields of a method's Config, in its order."""
    standard, kinds = method.preset("standard"), get_type_hints(method.Config)
    return [
        Field(
            each.name,
            _kind(kinds[each.name]),
            repr(getattr(standard, each.name)),
            _says(method.Config, each.name),
        )
        for each in fields(method.Config)
    ]


def _kind(kind: Any) -> str:
    """Type as users read it; choices are listed."""
    if get_origin(kind) is Literal:
        return " | ".join(map(repr, get_args(kind)))
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _says(config: type, name: str) -> str:
    """Comment beside a field, then that of the base class whose default it changes."""
    owners = [each for each in config.__mro__ if name in vars(each).get("__annotations__", {})]
    own, *bases = [(owner, _comments_of_fields(owner).get(name, "")) for owner in owners]
    changed = [
        f"`{owner.__name__}` has `{vars(owner)[name]!r}`: {text}" for owner, text in bases if text
    ]
    return ". ".join(filter(None, [own[1], *changed]))


@cache
def _comments_of_fields(config: type) -> Mapping[str, str]:
    tree, beside, _ = _source(config)
    return {
        node.target.id: joined(beside, node)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def presets(method: type[Method]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Name, changed fields and comment of each preset."""
    tree, beside, above = _source(method)
    told: dict[Any, str] = {}
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        if re.match(r"presets\b", ast.unparse(node)) and isinstance(table := node.value, ast.Dict):
            told = _comments_of_presets(table, beside, above)
    for name, changed in method.presets.items():
        yield name, changed, told.get(name, "")


def _comments_of_presets(table: ast.Dict, beside: Comments, above: Comments) -> dict[Any, str]:
    """Comments of each preset; one on a line of its own speaks of all presets below it."""
    told, general = {}, ""
    for key, values in zip(table.keys, table.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(values, ast.Dict):
            general = above.get(key.lineno - 1, general)
            inside = zip(values.keys, values.values, strict=True)
            of_fields = [
                f"`{ast.literal_eval(field)}`: {joined(beside, value)}"
                for field, value in inside
                if field and value.lineno < (values.end_lineno or 0) and joined(beside, value)
            ]
            own = beside.get(values.end_lineno or 0, "")
            told[key.value] = "; ".join(filter(None, (general, own, *of_fields)))
    return told


@cache
def _source(owner: type) -> tuple[ast.ClassDef, Comments, Comments]:
    """Body of a class with its comments; an empty one where there is no file."""
    try:
        text = textwrap.dedent(inspect.getsource(owner))
    except (OSError, TypeError):
        text = "class Unknown: pass\n"
    (tree,) = ast.parse(text).body
    return (cast("ast.ClassDef", tree), *comments(text))


def _doc(thing: object) -> str:
    return inspect.getdoc(thing) or ""
