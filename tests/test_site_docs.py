"""The site of docs/: built strictly without a network, complete, and safe from what methods say."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from inspect import getdoc, getmodule
from pathlib import Path
from typing import Any

import pytest

import survbench
from survbench.registry import get_method, list_methods
from tests.markdown import ROOT
from tests.report.site import test_site_in_browser

pytest.importorskip("mkdocs", reason="needs the docs extra")
pytestmark = pytest.mark.slow
browser = test_site_in_browser.browser

NAMES = sorted(set(survbench.__all__) - {"__version__"})
DOCUMENTED = ("method", "cohort", "learn", "score", "report", "check")
OFFLINE = """
import socket
def refuse(*_): raise OSError("the network was asked for")
socket.socket.connect = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli()
"""
HOSTILE = '''"""Hostile: <script>alert(1)</script> and *stars* | [a link](javascript:alert(2)).

Source: <img src=x onerror=alert(3)>, B&B 2020.
Missing modality: `<b>none</b>`.
Departs: in nothing.
    Not a label. <i>Neither</i> this.
    Label: <u>a paragraph of its own</u>.
"""

from dataclasses import dataclass

from torch import nn

from survbench.learn import NeuralMethod, Recipe


@dataclass(frozen=True)
class HostileConfig(Recipe):
    """Config of <b>nothing</b>."""

    lr: float = 0.5  # <script>alert(4)</script> | of us
    name: str = "<i>|</i>"


class Hostile(NeuralMethod):
    """See the module."""

    contract = 1
    Config = HostileConfig
    presets = {
        "quick": {
            "lr": 0.25,  # <s>steps</s>
            "epochs": 2,
        },  # in a hurry
        # tuned on these patients
        "paper": {"epochs": 3},
    }

    def build(self, widths):
        """Nothing."""
        return nn.Identity()
'''


class Reader(HTMLParser):
    """Text, rows of tables, ids, and tags with their attributes of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.in_cell = False
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data

    @property
    def ids(self) -> set[str]:
        return {str(attributes["id"]) for _, attributes in self.tags if "id" in attributes}

    def cells(self, first: str) -> list[str]:
        """Cells of the last row whose first one is this, or goes on with a colon."""
        found = [row for row in self.rows if row and row[0].partition(":")[0] == first]
        assert found, first
        return found[-1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plugin, out = tmp_path_factory.mktemp("plugin"), tmp_path_factory.mktemp("site")
    (plugin / "hostile.py").write_text(HOSTILE)
    about = plugin / "hostile-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[survbench.methods]\nhostile = hostile\n")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}
    path = [str(plugin), *filter(None, [environment.get("PYTHONPATH")])]
    environment |= {"PYTHONPATH": os.pathsep.join(path), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, "build", "--strict", "--site-dir", str(out)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def squeezed(text: str) -> str:
    return re.sub(r"[\s`:¶]+", "", text)


def test_the_page_of_a_method_says_all_its_docstring_says(site: Path) -> None:
    for entry in list_methods():
        page = squeezed(Reader(site / f"methods/{entry.name}.html").text)
        said = getdoc(getmodule(get_method(entry.name))) or ""
        for line in said.splitlines():
            assert squeezed(line) in page, f"{entry.name}: {line}"


def test_the_page_of_a_method_shows_every_field_with_its_default(site: Path) -> None:
    for entry in list_methods():
        page, method = Reader(site / f"methods/{entry.name}.html"), get_method(entry.name)
        for name, default in vars(method.preset("standard")).items():
            assert page.cells(name)[1] == repr(default), f"{entry.name}.{name}"
        for preset, changed in method.presets.items():
            shown = page.cells(preset)[1].replace(" ", "")
            assert shown == "".join(f"{k}={v}" for k, v in changed.items()).replace(" ", "")


def test_comments_beside_fields_and_presets_are_told(site: Path) -> None:
    page = Reader(site / "methods/hostile.html")
    lr = "<script>alert(4)</script> | of us. Recipe has 0.0002: MCAT code"
    assert page.cells("lr") == ["lr: float", "0.5", lr]
    assert page.cells("sampler")[2].startswith("plain | balanced over")
    assert page.cells("quick")[2] == "in a hurry; lr: <s>steps</s>"
    assert page.cells("paper")[2] == "tuned on these patients"


def test_what_a_method_says_is_text_and_nothing_else(site: Path) -> None:
    page, plain = Reader(site / "methods/hostile.html"), Reader(site / "methods/abmil.html")
    for text in (
        "<script>alert(1)</script> and *stars* | [a link](javascript:alert(2)).",
        "<img src=x onerror=alert(3)>, B&B 2020.",
        "Not a label. <i>Neither</i> this.",
        "<u>a paragraph of its own</u>",
        "Config of <b>nothing</b>.",
    ):
        assert text in page.text
    assert page.cells("name")[1] == "'<i>|</i>'"
    for tag in ("script", "img", "s", "u", "i", "b"):
        assert [t for t, _ in page.tags].count(tag) == [t for t, _ in plain.tags].count(tag)
    attributes = [each for _, attributes in page.tags for each in attributes.items()]
    assert not any(name.startswith("on") for name, _ in attributes)
    assert not any((value or "").startswith("javascript") for _, value in attributes)


def test_the_reference_has_every_public_name(site: Path) -> None:
    learn = Path(survbench.__file__).parent / "learn"
    layers = [
        f"learn.{each.stem}" for each in learn.glob("[!_]*.py") if "__all__" in each.read_text()
    ]
    assert len(layers) > 30
    for module in (*DOCUMENTED, *layers):
        ids = Reader(site / f"reference/{module.replace('.', '/')}.html").ids
        for name in import_module(f"survbench.{module}").__all__:
            whole = f"survbench.{module}.{name}"
            assert {whole, f"{whole}.{name}"} & ids, whole  # a function, or one in such a module


def test_the_reference_leads_to_every_name_of_survbench(site: Path) -> None:
    index = site / "reference/index.html"
    first_lines = {name: (getdoc(getattr(survbench, name)) or "").split("\n")[0] for name in NAMES}
    links = [attributes["href"] or "" for tag, attributes in Reader(index).tags if tag == "a"]
    for name in NAMES:
        assert squeezed(Reader(index).cells(name)[1]) == squeezed(first_lines[name])
        (page, anchor), *_ = [
            link.split("#") for link in links if link.endswith(f".{name}") and "#survbench" in link
        ]
        assert anchor in Reader(index.parent / page).ids


def test_formulas_in_docstrings_are_not_taken_for_markup(site: Path) -> None:
    from survbench.learn.low_rank import LowRankFusion

    (first, *_) = (LowRankFusion.__doc__ or "").splitlines()
    assert first in Reader(site / "reference/learn/low_rank.html").text


def test_the_steps_of_the_guide_are_one_list(site: Path) -> None:
    page = Reader(site / "CONTRIBUTING.html")
    steps = re.findall(r"^\d+\. ", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert len(steps) > 5
    assert page.tags.count(("ol", {})) == 1
    assert "```" not in page.text


def test_pages_name_the_values_of_the_code(site: Path) -> None:
    from survbench.score.bootstrap import DRAWS

    text = Reader(site / "protocol.html").text
    assert f"{DRAWS} resamples of patients" in " ".join(text.split())
    assert "{{" not in text


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    loading = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}
    for file in site.rglob("*.html"):
        for tag, attributes in Reader(file).tags:
            address = attributes.get(loading.get(tag, "")) or ""
            assert not re.match(r"(\w+:)?//", address), f"{file.name}: {address}"
    for file in site.rglob("*.css"):
        found = re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", file.read_text())
        assert found == [], file.name


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
def test_in_a_browser_pages_fit_and_ask_nothing_of_the_network(
    site: Path, browser: Any, size: tuple[int, int]
) -> None:
    width, height = size
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < height}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get_log("performance")  # drop what came before
    for page in ("index", "protocol", "methods/index", "methods/must", "reference/learn"):
        browser.get((site / f"{page}.html").as_uri())
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width, page
    asked = test_site_in_browser.schemes_asked(browser)
    assert "file" in asked
    assert asked <= {"file", "data", "blob"}
    assert browser.get_log("browser") == []
