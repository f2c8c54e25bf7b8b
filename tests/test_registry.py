"""The registry: what it lists without importing, what it loads, what it refuses and how."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from survbench.errors import PluginError, UnknownNameError
from survbench.registry import BUILT_IN, Entry, get_method, list_methods, load_all

METHOD = '''"""A constant risk.

More text.
"""

from survbench.method import Method, NoConfig, Prediction


class Constant(Method):
    """Everybody alike."""

    saves = False

    def fit_cases(self, cohort):
        pass

    def predict_cases(self, cohort):
        return Prediction(cohort.case_id, cohort.time * 0)
'''

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package with one module and one entry point where importlib.metadata finds it."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(package: str, code: str, entry: str) -> Path:
        module = tmp_path / package / "model.py"
        module.parent.mkdir()
        (module.parent / "__init__.py").touch()
        module.write_text(code)
        info = tmp_path / f"{package}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[survbench.methods]\n{entry}\n")
        return module

    yield put
    for name in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[name]


def entry_of(name: str) -> Entry:
    return next(entry for entry in list_methods() if entry.name == name)


def test_every_method_file_is_listed_with_its_first_docstring_line() -> None:
    folder = Path(__file__).parents[1] / "methods"
    stems = {file.stem for file in folder.glob("[!_]*.py")}
    listed = [entry for entry in list_methods() if entry.source == BUILT_IN]
    assert {entry.name for entry in listed} == stems
    for entry in listed:
        first = (folder / f"{entry.name}.py").read_text().splitlines()[0]
        assert first.removeprefix('"""').removesuffix('"""') == entry.summary


def test_a_built_in_method_loads_under_its_file_stem() -> None:
    method = get_method("abmil")
    assert method.name == "abmil"
    assert method.__module__ == "survbench.methods.abmil"


def test_every_built_in_method_tells_its_paper_with_the_year() -> None:
    papers = {entry.name: entry.paper for entry in list_methods() if entry.source == BUILT_IN}
    assert papers["abmil"] == ("Ilse, Tomczak & Welling, Attention-based Deep MIL, ICML 2018")
    assert all(re.search(r"\b(19|20)\d\d\)?$", paper) for paper in papers.values()), papers


@pytest.mark.parametrize(
    ("docstring", "paper"),
    [
        ("It.\n\nSource: A & B (C,\n    ICML 2018, eq. 3).\n", "A & B (C, ICML 2018)"),
        ("It.\n\nSource: made up. In no year.\nDeparts: 2001.\n", "made up"),
        ("It.\n\nSource: made up\nDeparts: 2001.\n", "made up"),
        ("It has no source, 2001.\n", ""),
    ],
)
def test_a_paper_is_what_the_source_says_up_to_its_year(
    tmp_path: Path, docstring: str, paper: str
) -> None:
    file = tmp_path / "method.py"
    file.write_text(f'"""{docstring}"""\n')
    assert Entry("method", "toy 1", "method", file).paper == paper
    file.write_text("def broken(:\n")
    assert Entry("method", "toy 1", "method", file).paper == ""


def test_every_built_in_method_loads() -> None:
    _, failures = load_all()
    assert not {entry.name for entry in list_methods() if entry.source == BUILT_IN} & set(failures)


def test_names_come_sorted() -> None:
    names = [entry.name for entry in list_methods()]
    assert names == sorted(names)


def test_a_wrong_name_gets_the_close_one() -> None:
    expected = r"^unknown method 'abmli'\. Did you mean 'abmil'\? See 'survbench methods'\.$"
    with pytest.raises(UnknownNameError, match=expected):
        get_method("abmli")


def test_listing_imports_neither_torch_nor_a_method(install: Install, tmp_path: Path) -> None:
    install("plugin_a", "raise SystemExit('imported')", "lazy = plugin_a.model")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import survbench\n"
        "from survbench.registry import list_methods\n"
        "print(*[entry.name for entry in list_methods() if entry.summary])\n"
        "heavy = {'torch', 'pandas', 'sksurv', 'plugin_a', 'survbench.methods.abmil'}\n"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "lazy" in done.stdout.split()


@pytest.mark.parametrize("target", ["plugin_b.model", "plugin_b.model:Constant"])
def test_a_package_announces_a_method_by_module_or_class(install: Install, target: str) -> None:
    module = install("plugin_b", METHOD, f"constant = {target}")
    entry = entry_of("constant")
    assert entry == Entry("constant", "plugin_b 1.5", target, module)
    assert entry.summary == "A constant risk."
    method = get_method("constant")
    assert (method.__name__, method.name) == ("Constant", "constant")


def test_a_module_that_cannot_be_found_is_still_listed(install: Install) -> None:
    install("plugin_c", METHOD, "gone = plugin_nowhere.model")
    assert entry_of("gone").summary == "(plugin_c 1.5)"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("VALUE = 1", "must define exactly one concrete subclass of survbench.Method, but"),
        (METHOD + "\n\nclass Other(Constant):\n    pass\n", "defines Constant, Other"),
    ],
)
def test_a_plugin_that_fails_is_reported_and_stops_nobody(
    install: Install, code: str, reason: str
) -> None:
    install("plugin_d", code, "failing = plugin_d.model")
    methods, failures = load_all()
    assert "abmil" in methods
    assert "failing" not in methods
    assert reason in str(failures["failing"])
    with pytest.raises(PluginError):
        get_method("failing")


def test_an_imported_method_is_not_the_modules_own(install: Install) -> None:
    install("plugin_e", "from survbench.methods.abmil import ABMIL", "borrowed = plugin_e.model")
    with pytest.raises(PluginError, match=r"plugin_e\.model must define exactly one"):
        get_method("borrowed")


def test_an_entry_point_to_something_else_is_refused(install: Install) -> None:
    install("plugin_f", METHOD, "wrong = plugin_f.model:NoConfig")
    with pytest.raises(PluginError, match=r"plugin_f\.model:NoConfig .*is no subclass"):
        get_method("wrong")


@pytest.mark.parametrize(("contract", "remedy"), [(0, "port it"), (2, "upgrade survbench")])
def test_another_contract_is_refused_with_the_remedy(
    install: Install, contract: int, remedy: str
) -> None:
    code = METHOD.replace("saves = False", f"contract = {contract}")
    install("plugin_g", code, "foreign = plugin_g.model")
    with pytest.raises(PluginError, match=rf"contract {contract}, but .* contract 1; {remedy}"):
        get_method("foreign")


def test_a_name_clash_names_both_sources(install: Install) -> None:
    install("plugin_h", METHOD, "abmil = plugin_h.model")
    expected = (
        r"two methods are called 'abmil': survbench\.methods\.abmil \(built in\) and "
        r"plugin_h\.model \(plugin_h 1\.5\)"
    )
    with pytest.raises(PluginError, match=expected):
        list_methods()


@pytest.mark.parametrize("name", ["all", "Two", "a.b", "a/b"])
def test_a_name_that_cannot_be_a_folder_or_an_option_is_refused(
    install: Install, name: str
) -> None:
    install("plugin_i", METHOD, f"{name} = plugin_i.model")
    with pytest.raises(PluginError, match="cannot name a method"):
        get_method(name)
