"""Pages that are made from the code when the site is built, so that no fact is told twice.

A hook of mkdocs (`hooks` in mkdocs.yml). It adds the project's own files (README.md and others)
under their own paths, a page per method, the reference and the command line, writes the value of a
constant where a page names it, and lets no page hold raw HTML.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import jinja2
from markdown import Markdown
from markdown.extensions import Extension
from method_page import described
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from plain import plain

import survbench
from survbench.check import PROMISES, in_words
from survbench.cli.app import cli
from survbench.registry import Entry, list_methods

ROOT = Path(__file__).parents[1]
OWN = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "splits/README.md", "leaderboards/README.md")
STABLE = ("survbench.method", "survbench.cohort", "survbench.learn")
INNER = (
    "survbench.registry",
    "survbench.score",
    "survbench.report",
    "survbench.check",
    "survbench.errors",
)
UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n"  # else layers drown what most people look for
_VALUE = re.compile(r"\{\{ ([\w.]+)\.(\w+) \}\}")
_STEP = re.compile(r"^\d+\. .*\n(?:(?: {3}.*)?\n)*", re.M)
_WIDTH = 88  # characters of a line of help


class NoHTML(Extension):  # type: ignore[misc]  # Markdown has no types
    """Raw HTML in a page or docstring is text."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802  (Markdown's name)
        """Take away what would let it through."""
        md.preprocessors.deregister("html_block")
        md.inlinePatterns.deregister("html")


def on_config(config: MkDocsConfig) -> None:
    """Refuse raw HTML everywhere, and list the made pages in the navigation."""
    config.markdown_extensions.append(NoHTML())
    made: dict[str, list[Any]] = {
        "Methods": [{entry.name: f"methods/{entry.name}.md"} for entry in list_methods()],
        "Reference": [
            *({module: place(module)} for module in (*STABLE, *INNER)),
            {"Layers": [{name.split(".")[-1]: place(name)} for name in layers()]},
        ],
    }
    for entry in config.nav or ():
        for title in made.keys() & (entry if isinstance(entry, dict) else {}):
            entry[title] += made[title]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are not in docs/."""
    for name in OWN:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for path, text in made_pages():
        files.append(File.generated(config, path, content=text))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Write the value of a constant where a page names it, `{{ module.NAME }}`.

    In the project's own files, links into docs/ lead to its pages, and what belongs to a numbered
    step is indented by four, which this Markdown asks for.
    """
    text = _VALUE.sub(lambda found: value(found[1], found[2]), markdown)
    text = _STEP.sub(lambda step: re.sub(r"^(?= {3})", " ", step[0], flags=re.M), text)
    return text.replace("](docs/", "](")


def value(module: str, name: str) -> str:
    """A constant of the code, in words."""
    if (module, name) == ("survbench.check", "PROMISES"):
        return "\n".join(f"- {plain(in_words(each))}" for each in PROMISES)
    found = getattr(import_module(module), name)
    return ", ".join(map(str, found)) if isinstance(found, tuple) else str(found)


def made_pages() -> Iterator[tuple[str, str]]:
    """Path and Markdown of every page that is made from code."""
    methods = [described(entry) for entry in list_methods()]
    yield "methods/index.md", _render("methods.md.jinja", methods=methods)
    for entry in list_methods():
        yield f"methods/{entry.name}.md", method_page(entry)
    yield "command-line.md", _render("command_line.md.jinja", commands=list(commands()))
    yield (
        "reference/index.md",
        _render("reference.md.jinja", names=public_names(), stable=STABLE, inner=INNER),
    )
    for module in (*STABLE, *INNER):
        yield place(module), reference_page(module)
    for module in layers():
        yield place(module), UNSEARCHED + reference_page(module)


def method_page(entry: Entry) -> str:
    """Page of a method: docstring, declarations, every config field, presets."""
    return _render("method.md.jinja", **described(entry))


def reference_page(module: str) -> str:
    """Page of a module: its public names, each once."""
    found = import_module(module)
    inner = {each.name for each in pkgutil.iter_modules(getattr(found, "__path__", ()))}
    hidden = [name for name in getattr(found, "__all__", ()) if name in inner]
    options = "    options:\n      show_root_heading: true\n      show_root_toc_entry: true\n"
    # griffe takes a name for the module that is called the same
    more = "".join(f"\n::: {module}.{name}.{name}\n{options}" for name in hidden)
    return f"# {module}\n\n::: {module}\n{more}"


def layers() -> list[str]:
    """Modules of survbench.learn that say what is public in them."""
    package = import_module("survbench.learn")
    names = [f"{package.__name__}.{each.name}" for each in pkgutil.iter_modules(package.__path__)]
    return [name for name in names if hasattr(import_module(name), "__all__")]


def public_names() -> list[tuple[str, str, str]]:
    """Each public name of survbench, where it is documented, and its first line."""
    modules = [import_module(name) for name in (*STABLE, *INNER)]
    found = []
    for name in survbench.__all__:
        thing = getattr(survbench, name)
        homes = [module.__name__ for module in modules if getattr(module, name, None) is thing]
        if homes:  # not __version__
            found.append((name, f"{homes[0]}.{name}", (inspect.getdoc(thing) or "").split("\n")[0]))
    return found


def commands(
    command: click.Command = cli, path: tuple[str, ...] = ("survbench",)
) -> Iterator[tuple[str, str]]:
    """Every command of the command line with its help."""
    context = click.Context(command, info_name=" ".join(path), terminal_width=_WIDTH)
    yield " ".join(path), command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if (found := command.get_command(context, name)) is not None:
                yield from commands(found, (*path, name))


def place(module: str) -> str:
    """Path of a module's page."""
    return f"reference/{module.removeprefix('survbench.').replace('.', '/')}.md"


def named(declared: frozenset[str]) -> str:
    """What a method declares, in words."""
    return "every modality" if "*" in declared else ", ".join(sorted(declared)) or "nothing"


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(values)


@cache
def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    found = jinja2.Environment(  # of Markdown, in which HTML is text
        loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    found.filters.update(plain=plain, named=named)
    return found
