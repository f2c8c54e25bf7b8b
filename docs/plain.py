"""Text of docstrings as Markdown that shows it as it stands: our docstrings are not Markdown.

Only `code` stays code; stars, brackets and angle brackets of formulas are text. Also an extension
of griffe, by which the reference shows docstrings so, and the comment beside a field as its text.
"""

from __future__ import annotations

import ast
import html
import io
import re
import tokenize
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import griffe

_CODE = re.compile(r"(`[^`]+`)")
_MARKS = re.compile(r"([\\`*_{}\[\]#+\-!>|])")
_UNDERLINE = re.compile(r"-{3,}")
Comments = Mapping[int, str]


def plain(text: str) -> str:
    """Text on one line, in which only `code` is marked up."""
    pieces = _CODE.split(" ".join(text.split()))
    return "".join(piece if _CODE.fullmatch(piece) else _escaped(piece) for piece in pieces)


def plain_docstring(text: str) -> str:
    """Docstring whose prose is plain and whose numpy sections and indented blocks still parse."""
    lines = text.splitlines()
    underlined = [bool(_UNDERLINE.fullmatch(line)) for line in [*lines[1:], ""]]
    shown, block, section = [], list[str](), ""
    for line, head in zip(lines, underlined, strict=True):
        prose = line.strip() and not head and not _UNDERLINE.fullmatch(line)
        if prose and line.startswith("    ") == bool(section not in ("", "Notes")):
            block.append(line)
            continue
        shown += [*_prose(block), line]
        block, section = [], line if head else section
    return "\n".join([*shown, *_prose(block)])


def _prose(lines: list[str]) -> list[str]:
    """Lines with their marks escaped; code may go from one line to the next."""
    pieces = _CODE.split("\n".join(lines))
    text = "".join(
        " ".join(piece.split()) if _CODE.fullmatch(piece) else _escaped(piece) for piece in pieces
    )
    return text.splitlines()


def _escaped(text: str) -> str:
    return _MARKS.sub(r"\\\1", html.escape(text, quote=False))


def comments(source: str) -> tuple[Comments, Comments]:
    """Comments by line: those beside code, and those on a line of their own."""
    beside: dict[int, str] = {}
    above: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith("# noqa"):
            alone = token.line.lstrip().startswith("#")
            text = re.sub(r"\s*#? ?(noqa|type: ignore).*", "", token.string.lstrip("# "))
            (above if alone else beside)[token.start[0]] = text
    return beside, above


def joined(found: Comments, node: ast.expr | ast.stmt) -> str:
    """Comments beside the lines of a node."""
    lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
    return "; ".join(found[line] for line in lines if found.get(line))


class Docstrings(griffe.Extension):
    """Docstrings of the reference; a name without one has the comment beside it."""

    def on_object(self, *, obj: griffe.Object, loader: griffe.GriffeLoader, **_: Any) -> None:
        """Make the text of an object plain."""
        if obj.docstring is not None:
            obj.docstring.value = plain_docstring(obj.docstring.value)
        elif isinstance(obj, griffe.Attribute) and isinstance(obj.filepath, Path):
            beside, _above = _comments_of(obj.filepath)
            text = beside.get(obj.endlineno or 0)
            if text is None and obj.parent is obj.module and not obj.name.startswith("_"):
                text = "What is written above."  # a type, mostly, which tells itself
            if text:
                obj.docstring = griffe.Docstring(
                    plain(text),
                    parent=obj,
                    parser=loader.docstring_parser,
                    parser_options=loader.docstring_options,
                )


@cache
def _comments_of(file: Path) -> tuple[Comments, Comments]:
    return comments(file.read_text(encoding="utf-8"))
