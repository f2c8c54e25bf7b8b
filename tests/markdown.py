"""Fenced blocks and commands of the project's own pages."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "CONTRIBUTING.md"
README = ROOT / "README.md"
_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`(survbench [^`\n]+)`")


def blocks(text: str, language: str) -> list[str]:
    """Contents of every fenced block in a language, in order, not indented."""
    return [textwrap.dedent(body) for _, found, body in _FENCE.findall(text) if found == language]


def section(text: str, heading: str) -> str:
    """Text below the heading that begins so, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(heading)}.*?\n(.*?)(?=^#+ |\Z)", text, re.S | re.M)
    assert found is not None, f"no heading {heading!r}"
    return found[1]


def commands(text: str) -> list[str]:
    """Every command of the bash blocks, those joined by && one by one."""
    lines = [line for block in blocks(text, "bash") for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [part for part in parts if part and not part.startswith("#")]


def mentioned(text: str) -> list[str]:
    """Every `survbench ...` that stands in a sentence."""
    return _INLINE.findall(text)
