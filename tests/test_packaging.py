"""The package as users get it: wheel, sdist, editable install and plugins, symlinks or none."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOME = {
    "methods": ROOT / "methods",
    "splits": ROOT / "splits",
    "leaderboards": ROOT / "leaderboards",
}
NOT_SOURCE = shutil.ignore_patterns(
    ".*cache",
    ".git",
    ".venv",
    ".benchmarks",
    "__pycache__",
    "*.egg-info",
    "build",
    "dist",
    "results",
)


def sources() -> dict[str, Path]:
    """Every file of the package: its path in a wheel and where it lies in the checkout."""
    folders = {"survbench": ROOT / "survbench"} | {f"survbench/{key}": HOME[key] for key in HOME}
    return {
        f"{place}/{file.relative_to(folder).as_posix()}": file
        for place, folder in folders.items()
        for path, _, names in os.walk(folder)  # os.walk follows no link
        for file in (Path(path, name) for name in names)
        if "__pycache__" not in Path(path).parts
        if not file.is_symlink()
        if not is_submitted(file)
    }


def is_submitted(file: Path) -> bool:
    """Whether a file is part of leaderboards/<cohort>/<method>/<setting>, which is not shipped."""
    return HOME["leaderboards"] in file.parents and len(file.relative_to(ROOT).parts) == 5


def checked(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """Output of a command that must succeed, run far from the checkout."""
    words = [str(word) for word in command]
    dropped = {"PYTHONPATH"}
    if {"pip", "build"} & set(words):  # their own warnings are not ours to mend
        dropped.add("PYTHONWARNINGS")
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    environment |= {"PYTHONPATH": str(path)} if path else {}
    done = subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip_install(*options: str | Path, cwd: Path, python: str | Path = sys.executable) -> None:
    """Install with what this environment has; nothing is downloaded."""
    quick = ["--quiet", "--no-deps", "--no-build-isolation", "--no-compile"]
    checked(sys.executable, "-m", "pip", "--python", python, "install", *quick, *options, cwd=cwd)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy of the tree without symlinks, as on a system that has none."""
    copy = tmp_path_factory.mktemp("checkout") / "survbench"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=NOT_SOURCE)
    planted = copy / "leaderboards" / "planted" / "abmil" / "0123456789ab"
    planted.mkdir(parents=True)
    for name in ("cells.json", "predictions.csv.gz", "train.csv", "SHA256SUMS"):
        (planted / name).write_text("no wheel carries this\n")
    for name in HOME:
        (copy / "survbench" / name).unlink(missing_ok=True)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel built from the sdist, which is built from a checkout without symlinks."""
    out = tmp_path_factory.mktemp("dist")
    checked(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", out, checkout, cwd=out.parent
    )
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for PYTHONPATH in which the wheel is installed."""
    target = tmp_path_factory.mktemp("site")
    pip_install("--target", target, wheel, cwd=target)
    return target


def test_every_package_folder_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "packages"
    ]
    found = {
        place.rpartition("/")[0].replace("/", ".") for place in sources() if place.endswith(".py")
    }
    assert set(declared) == found


@pytest.mark.parametrize("name", HOME)
def test_the_link_leads_to_the_folder(name: str) -> None:
    link = ROOT / "survbench" / name
    if not link.is_symlink():
        pytest.skip("this checkout has no symlinks")
    assert link.readlink() == Path("..", name)


def test_methods_have_one_name() -> None:
    spec = spec_from_file_location("methods", HOME["methods"] / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ImportError, match=r"imported as 'methods'; .* 'survbench\.methods'"):
        spec.loader.exec_module(module_from_spec(spec))


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    import survbench

    with pytest.raises(AttributeError, match="has no attribute 'get_metod'"):
        survbench.get_metod  # noqa: B018


def test_every_public_name_loads() -> None:
    import survbench

    assert all(getattr(survbench, name) is not None for name in survbench.__all__)
    assert set(survbench.__all__) <= set(dir(survbench))


@pytest.mark.slow
def test_the_wheel_holds_every_file_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        entry_points = next(name for name in archive.namelist() if "entry_points" in name)
        assert b"survbench = survbench.cli:main" in archive.read(entry_points)
    assert packed == set(sources())


@pytest.mark.slow
def test_a_checkout_with_symlinks_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    copy = tmp_path / "survbench"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=NOT_SOURCE)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    checked(*build, "--outdir", tmp_path, copy, cwd=tmp_path)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(tmp_path / wheel.name) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())


@pytest.mark.slow
def test_the_sdist_carries_the_tests(wheel: Path) -> None:
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"methods/__init__.py", "LICENSE", "tests/test_packaging.py"} <= names
    assert not any(name.startswith("survbench/methods") for name in names)


@pytest.mark.slow
def test_an_installed_wheel_lists_every_method_elsewhere(installed: Path, tmp_path: Path) -> None:
    listing = checked(installed / "bin" / "survbench", "methods", cwd=tmp_path, path=installed)
    for file in HOME["methods"].glob("[!_]*.py"):
        assert file.stem in listing
    code = "import survbench, survbench.splits as s; print(survbench.__file__, *s.__path__)"
    where = checked(sys.executable, "-c", code, cwd=tmp_path, path=installed)
    assert all(place.startswith(str(installed)) for place in where.split())


@pytest.mark.slow
def test_an_editable_install_needs_no_symlinks(checkout: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    scripts = tmp_path / "venv" / "bin"
    base = {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}
    site = Path(sysconfig.get_path("purelib", "venv", vars=base))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip_install("--editable", checkout, cwd=tmp_path, python=scripts / "python")
    listing = checked(scripts / "survbench", "methods", cwd=tmp_path)
    assert "abmil" in listing
    code = "from survbench.methods import abmil; print(abmil.__file__)"
    where = checked(scripts / "python", "-c", code, cwd=tmp_path)
    assert where.strip() == str(checkout / "methods" / "abmil.py")


@pytest.mark.slow
def test_a_third_party_package_brings_a_method(tmp_path: Path) -> None:
    source, target, results = (tmp_path / name for name in ("source", "target", "results"))
    shutil.copytree(Path(__file__).parent / "toy_plugin", source)
    pip_install("--target", target, source, cwd=tmp_path)
    survbench = Path(sysconfig.get_path("scripts"), "survbench")
    listing = checked(survbench, "methods", cwd=tmp_path, path=target)
    assert "toy_forest" in listing
    assert "Toy forest: scikit-survival's random survival forest" in " ".join(listing.split())
    run = [str(survbench), "run", "--method", "toy_forest", "--missing", "P", "--folds", "0"]
    table = checked(*run, "--results", results, cwd=tmp_path, path=target)
    assert "toy_forest" in table
    assert {file.stem for file in results.rglob("predictions/*.csv")} == {"none", "P"}


@pytest.mark.slow
def test_the_layers_are_linted(tmp_path: Path) -> None:
    pytest.importorskip("importlinter", reason="needs the dev extra")
    copy = tmp_path / "survbench"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=NOT_SOURCE)
    (copy / "methods" / "leaning.py").write_text("from survbench.methods import abmil\n")
    command = [str(Path(sys.executable).with_name("lint-imports"))]
    done = subprocess.run(
        command,
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert (
        "survbench.methods.leaning is not allowed to import survbench.methods.abmil" in done.stdout
    )
