"""The skeletons of `survbench new-method` run, keep the promises, and overwrite nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest

from survbench.check import examine
from survbench.cli import main
from survbench.errors import InputError
from survbench.method import Method
from survbench.scaffold import checkout, new_method

EXAMPLE = Path(__file__).parents[1] / "example_package"


@pytest.fixture
def _forgotten() -> Iterator[None]:
    """Take what a test imports out of the loaded modules again."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if "oak_tree" in name:
            del sys.modules[name]


def loaded(path: Path, name: str) -> ModuleType:
    """Module of a file under a name."""
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("estimator", [False, True], ids=["net", "estimator"])
@pytest.mark.usefixtures("_forgotten")
def test_a_new_method_keeps_every_promise_and_passes_its_own_test(
    estimator: bool, tmp_path: Path
) -> None:
    new_method("oak_tree", estimator=estimator, root=tmp_path).write()
    made = loaded(tmp_path / "methods/oak_tree.py", "survbench.methods.oak_tree")
    found: type[Method] = made.OakTree
    broken = [outcome for outcome in examine(found) if outcome.kept is False]
    assert broken == []
    test = loaded(tmp_path / "tests/methods/test_oak_tree.py", "test_oak_tree")
    test.test_a_bag_whose_patches_stand_twice_is_the_same_patient()


@pytest.mark.parametrize("estimator", [False, True], ids=["net", "estimator"])
@pytest.mark.usefixtures("_forgotten")
def test_the_test_of_a_skeleton_can_fail(
    estimator: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_method("oak_tree", estimator=estimator, root=tmp_path).write()
    file = tmp_path / "methods/oak_tree.py"
    text = file.read_text()
    summed = text.replace("bags.mean(", "bags.sum(").replace(".mean(axis=0)", ".sum(axis=0)")
    assert summed != text
    file.write_text(summed)
    loaded(file, "survbench.methods.oak_tree")
    test = loaded(tmp_path / "tests/methods/test_oak_tree.py", "test_oak_tree")
    with pytest.raises(AssertionError):
        test.test_a_bag_whose_patches_stand_twice_is_the_same_patient()


def test_the_example_package_is_what_is_written_for_meanpair(tmp_path: Path) -> None:
    written = new_method("meanpair", package=True, root=tmp_path).files
    kept = {
        path.relative_to(EXAMPLE).as_posix(): path.read_text()
        for path in EXAMPLE.rglob("*")
        if path.suffix in (".py", ".toml", ".md") and "__pycache__" not in path.parts
    }
    assert {name.partition("/")[2]: text for name, text in written.items()} == kept


@pytest.mark.parametrize(("package", "estimator"), list(product([False, True], repeat=2)))
def test_every_skeleton_is_clean(package: bool, estimator: bool, tmp_path: Path) -> None:
    ruff = pytest.importorskip("ruff", reason="needs the dev extra")
    import subprocess

    new_method("oak_tree", package=package, estimator=estimator, root=tmp_path).write()
    rules = Path(__file__).parents[2] / "pyproject.toml"
    for command in (["check"], ["format", "--check"]):
        place = ["--config", str(rules), "--no-cache"]
        ignored = ["--ignore", "D,INP,I001"] if command == ["check"] else []  # as in the example
        done = subprocess.run(
            [ruff.find_ruff_bin(), *command, *place, *ignored, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Oak", "use lower-case letters"),
        ("oak-tree", "use lower-case letters"),
        ("2oaks", "a letter first"),
        ("_oak", "a letter first"),
        ("../oak", "use lower-case letters"),
        ("", "use lower-case letters"),
        ("lambda", "no word of Python"),
        ("all", "not 'all'"),
        ("cox", "is the name of another method"),
        ("oracle", "a row of simulated cohorts"),
        ("tensor", "would have a class Tensor, which it imports"),
        ("bags", "would have a class Bags, which it imports"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=why):
        new_method(name, root=tmp_path)


def test_nothing_is_written_where_one_file_exists(tmp_path: Path) -> None:
    skeleton = new_method("oak_tree", root=tmp_path)
    there = tmp_path / "tests/methods/test_oak_tree.py"
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    with pytest.raises(InputError, match=r"test_oak_tree\.py exists and is not overwritten"):
        skeleton.write()
    assert there.read_text() == "mine"
    assert not (tmp_path / "methods").exists()


def test_the_command_says_what_it_wrote_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new-method", "oak_tree", "--package"]) == 0
    lines = capsys.readouterr().out.splitlines()
    wrote = [Path(line.removeprefix("wrote ")) for line in lines if line.startswith("wrote ")]
    assert wrote == [Path(name) for name in new_method("oak_tree", package=True, root=Path()).files]
    assert all(path.is_file() for path in wrote)
    assert "  survbench check oak_tree" in lines


def test_outside_a_checkout_a_package_is_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import survbench

    assert (checkout() / "survbench/scaffold").is_dir()
    monkeypatch.setattr(survbench, "__file__", str(tmp_path / "survbench/__init__.py"))
    with pytest.raises(InputError, match="--package"):
        checkout()
