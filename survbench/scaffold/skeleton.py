"""Templates to files: a method in this checkout, or a package of its own."""

from __future__ import annotations

import ast
import keyword
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

import survbench
from survbench.bench.truth import TRUTH
from survbench.errors import InputError
from survbench.registry import list_methods

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Skeleton:
    """Files of a new method, not yet written.

    Parameters
    ----------
    root : Path
        Folder they belong in.
    files : mapping of str to str
        Path below `root` to text.
    steps : tuple of str
        Commands that come next, in this order.
    """

    root: Path
    files: dict[str, str]
    steps: tuple[str, ...]

    def write(self) -> list[Path]:
        """Write every file, or none where one of them exists; returns where they are.

        Raises
        ------
        InputError
            A file exists already.
        """
        paths = {self.root / name: text for name, text in self.files.items()}
        for path in paths:
            if path.exists():
                msg = f"{path} exists and is not overwritten; move it away or choose another name"
                raise InputError(msg)
        for path, text in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        return list(paths)


def new_method(
    name: str, *, estimator: bool = False, package: bool = False, root: Path
) -> Skeleton:
    """Skeleton of a method called `name`.

    Parameters
    ----------
    name : str
        What people will type: lower-case letters, digits and `_`.
    estimator : bool
        An estimator without torch rather than a net.
    package : bool
        A package of its own in the folder `survbench-<name>` rather than a file in `methods/`.
    root : Path
        Folder of the checkout, or the one the package's folder shall be in.

    Raises
    ------
    InputError
        The name cannot be one, or belongs to another method.
    """
    _check_free(name)
    kind = "estimator" if estimator else "net"
    module = f"survbench_{name}" if package else f"survbench.methods.{name}"
    words = {
        "name": name,
        "dashed": name.replace("_", "-"),
        "Class": "".join(part[:1].upper() + part[1:] for part in name.split("_")),
        "module": module,
        "gap": "\n" if package else "",  # survbench is a third party there, and here it is not
    }
    method, test = _filled(f"{kind}.py", words), _filled(f"{kind}_test.py", words)
    _check_class(name, words["Class"], method + test)
    if not package:
        there = {f"methods/{name}.py": method, f"tests/methods/test_{name}.py": test}
        return Skeleton(root, there, (*_steps(name), f"pytest -n 0 tests/methods/test_{name}.py"))
    folder = f"survbench-{words['dashed']}"
    there = {
        f"{folder}/pyproject.toml": _filled("pyproject.toml", words),
        f"{folder}/README.md": _filled("README.md", words),
        f"{folder}/src/{module}.py": method,
        f"{folder}/tests/test_{name}.py": test,
        f"{folder}/tests/test_promises.py": _filled("promises_test.py", words),
    }
    install = f"pip install -e './{folder}[test]'"
    return Skeleton(root, there, (install, *_steps(name), f"pytest {folder}"))


def checkout() -> Path:
    """Folder of the checkout that the running survbench is in.

    Raises
    ------
    InputError
        It is installed elsewhere.
    """
    root = Path(survbench.__file__).resolve().parents[1]
    if not (root / "methods" / "__init__.py").is_file() or not (root / "tests/methods").is_dir():
        msg = (
            "this survbench does not run from a checkout, so there is no folder methods/ to write "
            "to; write a package of your own with --package, or install a checkout: pip install -e"
        )
        raise InputError(msg)
    return root


def _steps(name: str) -> tuple[str, ...]:
    run = f"survbench run --method {name},cox,switch --missing P,G"
    return f"survbench check {name}", run


def _filled(template: str, words: dict[str, str]) -> str:
    """Text of a template with its words in place."""
    text = files("survbench.scaffold").joinpath(f"{template}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(words)


def _check_free(name: str) -> None:
    """Refuse a name that is no name, or is taken."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name == "all":
        msg = (
            f"{name!r} cannot name a method: use lower-case letters, digits and '_', a letter "
            "first, no word of Python and not 'all'"
        )
        raise InputError(msg)
    taken = {entry.name: entry.source for entry in list_methods()}
    taken |= dict.fromkeys(TRUTH, "a row of simulated cohorts")
    if name in taken:
        msg = f"{name!r} is the name of another method ({taken[name]}); choose another"
        raise InputError(msg)


def _check_class(name: str, stem: str, text: str) -> None:
    """Refuse a name whose classes would hide what their file imports."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if not (node.module or "").endswith(name)
    }
    hidden = sorted(imported & {stem, f"{stem}Config", f"{stem}Net"})
    if hidden:
        msg = f"a method {name!r} would have a class {hidden[0]}, which it imports; choose another"
        raise InputError(msg)
