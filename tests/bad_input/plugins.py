"""Methods of third parties: their metadata, and modules that cannot be what they say."""

from __future__ import annotations

from pathlib import Path

from tests.bad_input.case import CANARY, PLUGINS, Case, Make, both

METHOD = '''
from survbench.method import Method, NoConfig, Prediction

class Own(Method):
    """Everybody alike."""

    saves = False

    def fit_cases(self, cohort):
        pass

    def predict_cases(self, cohort):
        return Prediction(cohort.case_id, cohort.time * 0)
'''
CONFIG = "from dataclasses import dataclass\n@dataclass\nclass OwnConfig:\n    epochs: int\n"
CURSE = f"open({CANARY!r}, 'w')\n"  # a module that must not be imported


def plugin(
    code: str,
    entry: str = "own = plugin_bad.model",
    *,
    metadata: str | bytes = "Metadata-Version: 2.1\nName: plugin-bad\nVersion: 1.5\n",
    package: str = "plugin_bad",
) -> Make:
    """An installed package with one module and its entry points."""

    def make(folder: Path) -> None:
        site = folder / PLUGINS
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").touch()
        (site / package / "model.py").write_text(code)
        info = site / f"{package}-1.5.dist-info"
        info.mkdir()
        data = metadata if isinstance(metadata, bytes) else metadata.encode()
        (info / "METADATA").write_bytes(data)
        (info / "entry_points.txt").write_text(f"[survbench.methods]\n{entry}\n")

    return make


def declaring(line: str) -> Make:
    """A method with one more line in its class."""
    return plugin(METHOD.replace("    saves = False\n", f"    saves = False\n    {line}\n"))


SHOW = "methods own"
WHO = "method 'own' (plugin_bad.model, plugin-bad 1.5)"
REMEDY = "repair or uninstall what brings it"

CASES = [
    # their metadata, for which nothing is imported
    Case(
        "a plugin that takes a built-in name",
        plugin(CURSE, "cox = plugin_bad.model"),
        "methods",
        "two methods are called 'cox': survbench.methods.cox (built in) and plugin_bad.model",
        "rename the entry point of one, or uninstall its package",
    ),
    Case(
        "a taken name met by the command people type",
        plugin(CURSE, "cox = plugin_bad.model"),
        "run --method cox",
        "two methods are called 'cox'",
        "rename the entry point of one, or uninstall its package",
        process=True,
    ),
    Case(
        "two plugins of one name",
        both(plugin(CURSE), plugin(CURSE, "own = plugin_two.model", package="plugin_two")),
        SHOW,
        "two methods are called 'own'",
        "a name belongs to one method",
    ),
    *(
        Case(
            f"a plugin whose name {what}",
            plugin(CURSE, f"{name} = plugin_bad.model"),
            f"methods '{name}'",
            f"'{name}' (plugin-bad 1.5) cannot name a method",
            "rename its entry point",
        )
        for what, name in (
            ("is a path", "../../own"),
            ("is HTML", "<script>alert(1)</script>"),
            ("stands for all", "all"),
        )
    ),
    Case(
        "an entry point that is no place",
        plugin(CURSE, "own = plugin_bad.model; import os"),
        SHOW,
        "entry point 'own' of plugin-bad 1.5: 'plugin_bad.model; import os'",
        "write module or module:Class",
    ),
    Case(
        "an entry point without a place",
        plugin(CURSE, "own"),
        "methods",
        "plugin_bad-1.5.dist-info",
        "uninstall",
    ),
    Case(
        "a plugin without a name",
        plugin(CURSE, "cox = plugin_bad.model", metadata="nothing to see\n"),
        "methods",
        "two methods are called 'cox'",
        "uninstall its package",
    ),
    Case(
        "metadata that is no text",
        plugin(CURSE, "cox = plugin_bad.model", metadata=b"Name: \xff\xfe\x00"),
        "methods",
        "two methods are called 'cox'",
        "uninstall its package",
    ),
    # modules
    Case(
        "a plugin that raises when it is imported",
        plugin("raise RuntimeError('boom\\nand more')"),
        SHOW,
        f"{WHO} cannot be imported: RuntimeError: boom and more",
        REMEDY,
    ),
    Case(
        "a plugin that ends Python when it is imported",
        plugin("raise SystemExit(0)"),
        SHOW,
        f"{WHO} cannot be imported: SystemExit: 0",
        REMEDY,
    ),
    Case(
        "a plugin that lacks its library",
        plugin("import no_such_library"),
        "run --method own",
        f"{WHO} cannot be imported: ModuleNotFoundError: No module named 'no_such_library'",
        REMEDY,
    ),
    Case(
        "a plugin that is no Python",
        plugin("def broken(:"),
        "check own",
        f"{WHO} cannot be imported: SyntaxError",
        REMEDY,
    ),
    Case(
        "a plugin that is not there",
        plugin(METHOD, "own = plugin_gone.model"),
        SHOW,
        "No module named 'plugin_gone'",
        REMEDY,
    ),
    Case(
        "a plugin of no method",
        plugin("VALUE = 1"),
        SHOW,
        "plugin_bad.model must define exactly one concrete subclass of survbench.Method",
        "let an entry point name the class: 'module:Class'",
    ),
    Case(
        "a plugin of two methods",
        plugin(f"{METHOD}\n\nclass Other(Own):\n    pass\n"),
        SHOW,
        "but defines Other, Own",
        "let an entry point name the class: 'module:Class'",
    ),
    Case(
        "a plugin that names something else",
        plugin(METHOD, "own = plugin_bad.model:NoConfig"),
        SHOW,
        "plugin_bad.model:NoConfig (plugin-bad 1.5) is no subclass of survbench.Method",
        "let the entry point 'own' name one",
    ),
    Case(
        "a plugin that names a class it lacks",
        plugin(METHOD, "own = plugin_bad.model:Gone"),
        SHOW,
        "cannot be imported: AttributeError: module 'plugin_bad.model' has no attribute 'Gone'",
        REMEDY,
    ),
    Case(
        "a method of an abstract kind",
        plugin(METHOD.replace("predict_cases", "foresee"), "own = plugin_bad.model:Own"),
        SHOW,
        "method 'own' (plugin_bad.model:Own, plugin-bad 1.5): does not define predict_cases",
        "as every method does",
    ),
    # what a method declares
    Case(
        "a method of a later contract",
        declaring("contract = 2"),
        SHOW,
        f"{WHO} was written for contract 2",
        "upgrade survbench",
    ),
    Case(
        "a method of an earlier contract",
        declaring("contract = 0"),
        SHOW,
        f"{WHO} was written for contract 0",
        "port it as CHANGELOG.md says and set contract = 1",
    ),
    Case(
        "a contract that is a word",
        declaring("contract = 'latest'"),
        SHOW,
        f"{WHO}: contract is 'latest'",
        "a whole number",
    ),
    Case(
        "a config that is no dataclass",
        declaring("Config = dict"),
        SHOW,
        f"{WHO}: Config is",
        "a frozen dataclass",
    ),
    Case(
        "modalities in a text",
        declaring("uses = 'PG'"),
        SHOW,
        f"{WHO}: uses is 'PG'",
        "a frozenset of names",
    ),
    Case(
        "a version that is a fraction",
        declaring("version = 1.5"),
        SHOW,
        f"{WHO}: version is 1.5",
        "a whole number",
    ),
    Case(
        "presets that are a list",
        declaring("presets = ['quick']"),
        SHOW,
        f"{WHO}: presets is ['quick']",
        "a dict of preset to values",
    ),
    Case(
        "a preset of unknown keys",
        declaring("presets = {'standard': {'epochs': 3}}"),
        "run --method own",
        f"{WHO}: preset 'standard' sets 'epochs'",
        "which Config lacks",
    ),
    Case(
        "a config without a default",
        plugin(f"{CONFIG}{METHOD}".replace("    saves", "    Config = OwnConfig\n    saves")),
        "run --method own",
        f"{WHO}: Config.epochs has no default",
        "give it one",
    ),
]
