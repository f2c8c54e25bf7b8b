"""Names to methods: built in (one file each in `methods/`) or announced by installed packages.

A package announces a method by an entry point in the group `survbench.methods` that names a module
with one `Method` subclass in it, or the class itself. Listing imports no method; loading does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, distributions, entry_points
from importlib.resources import files
from importlib.util import find_spec
from inspect import getmembers, isabstract, isclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from survbench.errors import PluginError, UnknownNameError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from types import ModuleType

    from survbench.method import Method

GROUP = "survbench.methods"
BUILT_IN = "built in"
UNKNOWN = "third party"
_NAME = re.compile(r"(?!all$)[a-z0-9][a-z0-9_-]*")
_TARGET = re.compile(r"\w+(\.\w+)*(:\w+(\.\w+)*)?")
_SOURCE = re.compile(r"^Source:\s*(.*?(?:\b(?:19|20)\d\d\b|(?=\.\s|\n\S|\Z)))", re.M | re.S)


@dataclass(frozen=True)
class Entry:
    """One method of the registry, not imported.

    Parameters
    ----------
    name : str
        What the user calls it.
    source : str
        "built in", or the package and version that brings it.
    target : str
        Where it is: "module" or "module:Class".
    file : file or None
        Source of that module where it can be found without importing.
    """

    name: str
    source: str
    target: str
    file: Traversable | None

    @property
    def summary(self) -> str:
        """First line of the module's docstring, read without importing it."""
        return self._docstring.splitlines()[0] if self._docstring else f"({self.source})"

    @property
    def paper(self) -> str:
        """What the docstring's `Source:` says up to the first year; empty where there is none."""
        found = _SOURCE.search(self._docstring)
        text = " ".join(found[1].split()) if found else ""
        return text + ")" * (text.count("(") - text.count(")"))

    @cached_property
    def _docstring(self) -> str:
        """The module's docstring; of a file that cannot be read, that and why."""
        try:
            tree = ast.parse(self.file.read_bytes()) if self.file else ast.Module([], [])
        except (OSError, SyntaxError, ValueError) as error:
            return f"(cannot be read: {type(error).__name__})"
        return ast.get_docstring(tree) or ""


def list_methods() -> list[Entry]:
    """Every method there is, by name; imports neither a method nor torch.

    Raises
    ------
    PluginError
        Two methods share a name.
    """
    entries: dict[str, Entry] = {}
    for entry in [*_built_in(), *_announced()]:
        if entry.name in entries:
            first = entries[entry.name]
            msg = (
                f"two methods are called {entry.name!r}: {first.target} ({first.source}) and "
                f"{entry.target} ({entry.source}); a name belongs to one method: rename the entry "
                "point of one, or uninstall its package"
            )
            raise PluginError(msg)
        entries[entry.name] = entry
    return sorted(entries.values(), key=attrgetter("name"))


def get_method(name: str) -> type[Method]:
    """Class of the method with this name.

    Raises
    ------
    UnknownNameError
        There is no such method.
    PluginError
        It cannot be imported, is no method, or was written for another contract.
    """
    entries = {entry.name: entry for entry in list_methods()}
    if name not in entries:
        see = "'survbench methods'"
        raise UnknownNameError(kind="method", name=name, known=entries, see=see)
    return _load(entries[name])


def package_of(name: str) -> tuple[str, str] | None:
    """Package and version that bring a method; None where it is built in, or nobody tells."""
    source = next((entry.source for entry in list_methods() if entry.name == name), BUILT_IN)
    package, _, version = source.rpartition(" ")
    return None if source in {BUILT_IN, UNKNOWN} else (package, version)


def load_all() -> tuple[dict[str, type[Method]], dict[str, PluginError]]:
    """Every method that loads, and for each of the others the reason why it does not."""
    methods: dict[str, type[Method]] = {}
    failures: dict[str, PluginError] = {}
    for entry in list_methods():
        try:
            methods[entry.name] = _load(entry)
        except PluginError as error:
            failures[entry.name] = error
    return methods, failures


def _built_in() -> list[Entry]:
    return [
        Entry(stem, BUILT_IN, f"survbench.methods.{stem}", file)
        for file in files("survbench.methods").iterdir()
        for stem, suffix in [(Path(file.name).stem, Path(file.name).suffix)]
        if suffix == ".py" and not stem.startswith("_")
    ]


def _announced() -> list[Entry]:
    return [
        Entry(
            point.name,
            _package(point),
            point.value,
            _source_file(point.module) if _TARGET.fullmatch(point.value) else None,
        )
        for point in _entry_points()
    ]


def _entry_points() -> Iterator[EntryPoint]:
    """Entry points of the group; a package whose own cannot be read is named."""
    try:
        yield from entry_points(group=GROUP)
    except Exception as error:  # whatever a damaged entry_points.txt leads to
        for package in distributions():
            try:
                _ = package.entry_points
            except Exception:
                name = getattr(package, "_path", package.locate_file(""))
                msg = f"{name}: its entry points cannot be read; repair or uninstall that package"
                raise PluginError(msg) from error
        raise


def _package(point: EntryPoint) -> str:
    """Name and version of what brings an entry point, where its metadata tell them."""
    try:
        told = [point.dist.name, point.dist.version] if point.dist else []
    except Exception:  # damaged metadata
        told = []
    return " ".join(told) if told and all(told) else UNKNOWN


def _source_file(module: str) -> Path | None:
    """File of a module, looked for below its top package so that nothing is imported."""
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.has_location and spec.origin else None
    for place in spec.submodule_search_locations or ():
        stem = Path(place, *rest)
        for file in (stem.with_suffix(".py"), stem / "__init__.py"):
            if file.is_file():
                return file
    return None


def _load(entry: Entry) -> type[Method]:
    """Import a method; whatever its module raises becomes a `PluginError` with the reason."""
    if not _NAME.fullmatch(entry.name):
        msg = (
            f"{entry.name!r} ({entry.source}) cannot name a method: use lower-case letters, "
            "digits, '_' and '-', and not 'all'; rename its entry point"
        )
        raise PluginError(msg)
    if not _TARGET.fullmatch(entry.target):
        msg = (
            f"entry point {entry.name!r} of {entry.source}: {entry.target!r} is no place; write "
            "module or module:Class"
        )
        raise PluginError(msg)
    module_name, _, attribute = entry.target.partition(":")
    try:
        module = import_module(module_name)
        found = attrgetter(attribute)(module) if attribute else _only_method(module)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        msg = (
            f"method {entry.name!r} ({entry.target}, {entry.source}) cannot be imported: {reason}; "
            "repair or uninstall what brings it"
        )
        raise PluginError(msg) from error
    method = _checked(found, entry)
    method.name = entry.name
    return method


def _methods_in(module: ModuleType) -> list[type[Method]]:
    """Concrete `Method` subclasses that the module itself defines."""
    from survbench.method import Method

    return [
        value
        for _, value in getmembers(module, isclass)
        if issubclass(value, Method) and value.__module__ == module.__name__
        if not isabstract(value)
    ]


def _only_method(module: ModuleType) -> type[Method]:
    found = _methods_in(module)
    if len(found) != 1:
        names = ", ".join(method.__name__ for method in found) or "none"
        msg = (
            f"{module.__name__} must define exactly one concrete subclass of survbench.Method, but "
            f"defines {names}; split the file, or let an entry point name the class: 'module:Class'"
        )
        raise PluginError(msg)
    return found[0]


def _checked(found: object, entry: Entry) -> type[Method]:
    """Give the class back if it is a method of this contract."""
    from survbench.method import CONTRACT, Method

    if not (isinstance(found, type) and issubclass(found, Method)):
        msg = (
            f"{entry.target} ({entry.source}) is no subclass of survbench.Method; let the "
            f"entry point {entry.name!r} name one"
        )
        raise PluginError(msg)
    wrong = _wrongly_declared(found) or _wrong_config(found)
    if wrong:
        msg = f"method {entry.name!r} ({entry.target}, {entry.source}): {wrong}"
        raise PluginError(msg)
    if found.contract != CONTRACT:
        remedy = (
            "upgrade survbench"
            if found.contract > CONTRACT
            else f"port it as CHANGELOG.md says and set contract = {CONTRACT}"
        )
        msg = (
            f"method {entry.name!r} ({entry.target}, {entry.source}) was written for contract "
            f"{found.contract}, but this survbench keeps contract {CONTRACT}; {remedy}"
        )
        raise PluginError(msg)
    return found


def _wrongly_declared(found: type[Method]) -> str:
    """What a class declares wrongly and what is allowed; empty where nothing is."""
    whole, names = (int, "a whole number"), ((Set, property), "a frozenset of names")
    allowed: dict[str, tuple[type | tuple[type, ...], str]] = {
        "contract": whole,
        "version": whole,
        "uses": names,
        "tolerates": names,
        "trains_without": names,
        "presets": (Mapping, "a dict of preset to values"),
    }
    for name, (kind, words) in allowed.items():
        if not isinstance(getattr(found, name), kind):
            return f"{name} is {getattr(found, name)!r}; {words} is needed"
    if isabstract(found):
        lacking = ", ".join(sorted(found.__abstractmethods__))
        return f"does not define {lacking}, as every method does"
    return ""


def _wrong_config(found: type[Method]) -> str:
    """The same of its Config and presets."""
    if not is_dataclass(found.Config):
        return f"Config is {found.Config!r}; a frozen dataclass is needed"
    known = {entry.name: entry for entry in fields(found.Config)}
    for name, entry in known.items():
        if entry.default is MISSING and entry.default_factory is MISSING:
            return f"Config.{name} has no default; give it one"
    for preset, values in found.presets.items():
        for key in values:
            if key not in known:
                return f"preset {preset!r} sets {key!r}, which Config lacks; see its fields"
    return ""
