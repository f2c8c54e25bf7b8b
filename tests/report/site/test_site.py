"""The pages as files: what stands where, what is escaped, and that bytes do not change."""

import platform
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from survbench.bench.cell import Cell, find_cells
from survbench.bench.disk import sums_line
from survbench.errors import InputError
from survbench.report.leaderboard import scored_rows
from survbench.report.site import Figure, recovery, write_site
from survbench.report.site.figure import figure_file
from tests.report.results import write_method
from tests.report.site.site_material import HOSTILE, QUOTED, SVG, make_site

PAGES = ("index.html", "cohorts.html", "ledger.html", "about.html")
VOID = {"meta", "link", "input", "img", "br", "path", "circle"}


class Page(HTMLParser):
    """Tags with their attributes, and the text between them; unbalanced tags are kept apart."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.wrong: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        self.wrong += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self._open or self._open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def ids(self) -> list[str]:
        return [a["id"] or "" for _, a in self.tags if "id" in a]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_site(tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {name: Page(site / name) for name in PAGES}


def test_every_tag_is_closed_and_every_id_is_one(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        assert page.wrong == [], name
        assert [each for each, n in Counter(page.ids).items() if n > 1] == [], name


def test_a_method_called_script_is_text(pages: dict[str, Page]) -> None:
    for name in ("index.html", "ledger.html"):
        page = pages[name]
        assert HOSTILE in page.text
        assert [a.get("src") for a in page.all("script")] == ["site.js"]
    handlers = {
        key for page in pages.values() for _, a in page.tags for key in a if key[:2] == "on"
    }
    assert handlers == set()
    assert any(QUOTED in (a.get("alt") or "") for a in pages["index.html"].all("img"))


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[str, Page]) -> None:
    for page in pages.values():
        asked = [a.get(key) for _, a in page.tags for key in ("src", "href") if a.get(key)]
        assert not [each for each in asked if "//" in str(each)]
    assert "//" not in (site / "site.css").read_text().replace("/*", "").replace("*/", "")
    assert "default-src 'none'" in str(pages["index.html"].all("meta"))


def test_addresses_within_a_page_lead_somewhere(pages: dict[str, Page]) -> None:
    for page in pages.values():
        for attributes in page.all("a"):
            address = attributes["href"] or ""
            if address.startswith("#"):
                assert address[1:] in page.ids
            else:
                assert address in {*PAGES, "leaderboard.csv", "leaderboard.json"}


def test_every_figure_is_a_file_inside_the_site(site: Path, pages: dict[str, Page]) -> None:
    from urllib.parse import unquote

    sources = {unquote(a["src"] or "") for a in pages["index.html"].all("img")}
    files = {p.relative_to(site).as_posix() for p in site.rglob("*.svg")}
    assert sources == files
    # abmil on two cohorts and must: none and P; snn: the same; clinical: none
    assert len(files) == 2 * (2 * 2 + 2 + 2 + 1) + 1
    assert all((site / name).read_text() == SVG for name in files)


def test_two_keys_never_share_a_file() -> None:
    keys = ["a/b/P@0.3+G@0.3/km", "a%/b/c/d", "a%25/b/c/d", "./b/c/d", "../b/c/d", "A?/b/c/d", "/b"]
    files = [figure_file(key) for key in keys]
    assert len(set(files)) == len(keys)
    assert not [name for name in files if "/." in name or "//" in name]


def test_tables_work_without_a_script(pages: dict[str, Page]) -> None:
    page = pages["index.html"]
    scopes = {a.get("scope") for a in page.all("th")}
    assert scopes == {"col", "row", "rowgroup"}
    tables = len(page.all("table"))
    assert len(page.all("caption")) == tables
    opened = [a["href"] for a in page.all("a") if a.get("class") == "open"]
    assert len(opened) == len(page.all("article")) == 2 * (2 + 1 + 1 + 1) + 1
    hidden = [(tag, a.get("id")) for tag, a in page.tags if "hidden" in a]
    assert hidden == [("button", "theme"), ("div", "filters")]


def test_published_numbers_stand_apart_from_measured_ones(pages: dict[str, Page]) -> None:
    assert "0.911" not in pages["index.html"].text
    assert "published in MUST, table 1, not measured here" in pages["ledger.html"].text
    assert "0.911" in pages["ledger.html"].text


def test_the_three_kinds_are_told_in_words(pages: dict[str, Page]) -> None:
    kinds = [(a.get("class") or "").split() for a in pages["index.html"].all("section")]
    assert {kind[1] for kind in kinds if kind[:1] == ["board"]} == {"measured", "simulated"}
    for told in ("measured here, real patients", "measured here, simulated patients"):
        assert told in pages["index.html"].text
    assert "published elsewhere, not measured here" in pages["ledger.html"].text


def test_details_tell_how_a_row_was_made(pages: dict[str, Page]) -> None:
    text = pages["index.html"].text
    for told in (
        "Model 9000",
        "1,234,567",
        "890",
        "12.5",
        "2.6.0",
        "0123456789ab",
        "C-index in training",
        "under-fitted: C-index in training 0.600",
        "r2_recovered_P",
        "0.250",
        "changed config",
        "Config (2 values, 1 changed)",
        "Every fit (6)",
    ):
        assert told in text, told


def test_the_ledger_shows_every_column_and_a_dash_for_no_number(pages: dict[str, Page]) -> None:
    text = " ".join(pages["ledger.html"].text.split())
    assert "cohort method published measured status note" in text
    assert "toy abmil 0.500 - not comparable" in text


def test_the_cohort_card_is_a_section(pages: dict[str, Page]) -> None:
    text = pages["cohorts.html"].text
    for told in ("demo", "simulated patients", "reverse Kaplan-Meier", "Flow", "Folds"):
        assert told in text


def test_methods_are_cited_with_their_papers(pages: dict[str, Page]) -> None:
    text = pages["about.html"].text
    assert "Ilse, Tomczak & Welling" in text
    assert "@software{survbench" in text


def test_the_same_input_gives_the_same_bytes(site: Path, tmp_path: Path) -> None:
    again = make_site(tmp_path / "work", tmp_path / "again")
    assert list(_contents(again)) == list(_contents(site))


def test_no_page_names_the_machine(site: Path) -> None:
    everything = "".join(text for _, text in _contents(site))
    assert platform.node() not in everything
    assert str(site.parent) not in everything


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="no survbench site"):
        write_site([], tmp_path)
    with pytest.raises(InputError, match="is a file"):
        write_site([], tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_site_is_written_over_an_earlier_one_and_old_figures_go(tmp_path: Path) -> None:
    write_site([], tmp_path / "new", figures={"a/b/none/km": Figure("old", "old", SVG)})
    write_site([], tmp_path / "new", figures={"a/b/none/roc": Figure("new", "new", SVG)})
    assert [p.name for p in (tmp_path / "new").rglob("*.svg")] == ["roc.svg"]


def test_no_results_make_a_site_that_says_so(tmp_path: Path) -> None:
    write_site([], tmp_path)
    assert "No results yet" in (tmp_path / "index.html").read_text()
    assert all(Page(tmp_path / name).wrong == [] for name in PAGES)


def test_recovery_is_the_mean_over_patients_who_have_it(tmp_path: Path) -> None:
    cells = write_method(tmp_path, "must", folds=(0, 1), regimes=("P",))
    for cell, value in zip(cells, (0.5, 0.75), strict=True):
        _add_column(cell, value)
    assert recovery(find_cells(tmp_path)) == {"toy/0123456789ab/P": {"r2_recovered_P": 0.625}}
    (entry,) = scored_rows(tmp_path)
    assert entry.row.scored


def _add_column(cell: Cell, value: float) -> None:
    """Let every second patient have a diagnostic."""
    path = cell.folder / "predictions" / "P.csv"
    head, *lines = path.read_text().splitlines()
    values = np.where(np.arange(len(lines)) % 2 == 0, value, np.nan)
    with_column = [f"{line},{v},nan" for line, v in zip(lines, values, strict=True)]
    path.write_text("\n".join([f"{head},r2_recovered_P,of_nobody", *with_column, ""]))
    path.with_suffix(".sha256").write_text(sums_line(path))


def _contents(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")
