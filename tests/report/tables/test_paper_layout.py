import csv
import io
import math
from dataclasses import replace

import pytest

from survbench.errors import UnknownNameError
from survbench.report import Row, render
from survbench.report.tables.paper_layout import LACKING, UNUSED, USED, PaperLine, paper_tables
from tests.report.tables.test_formats import ROW

BOTH = replace(ROW, about=replace(ROW.about, modalities=("P", "G"), uses=("P", "G")))


def row(cohort: str, method: str, c_index: float, **changes: object) -> Row:
    uses = {"abmil": ("P",), "snn": ("G",), "clinical": ("age", "sex")}.get(method, ("P", "G"))
    about = replace(BOTH.about, uses=uses)
    given = {"cohort": cohort, "split": cohort, "method": method, "c_index": c_index}
    return replace(BOTH, **{"about": about, **given, **changes})  # type: ignore[arg-type]


def line(rows: list[Row], method: str, regime: str = "none") -> PaperLine:
    (table,) = paper_tables(rows)
    (found,) = (x for x in table.lines if (x.row.method, x.row.regime) == (method, regime))
    return found


TWO = [
    row("blca", "cox", 0.60),
    row("luad", "cox", 0.70),
    row("blca", "must", 0.62),
    row("blca", "clinical", 0.90),
    row("luad", "clinical", 0.80),
    row("blca", "snn", 0.55),
    row("luad", "snn", 0.58),
]


def test_overall_is_the_unweighted_mean_where_all_cohorts_are_there() -> None:
    unequal = [replace(each, n=1000 if each.cohort == "blca" else 10) for each in TWO]
    assert line(unequal, "cox").overall == pytest.approx(0.65)
    assert math.isnan(line(unequal, "must").overall)


def test_a_row_without_a_number_or_without_all_folds_has_no_overall() -> None:
    blca = row("blca", "cox", 0.6)
    dash = row("luad", "cox", math.nan, reason="failed")
    partial = row("luad", "cox", 0.7)
    partial = replace(partial, about=replace(partial.about, whole=False))
    assert math.isnan(line([blca, dash], "cox").overall)
    assert math.isnan(line([blca, partial], "cox").overall)


def test_marks_tell_what_a_method_reads_and_has_at_test() -> None:
    methods = ("cox", "abmil", "snn", "clinical")
    rows = [row("blca", m, 0.6, regime=r) for m in methods for r in ("none", "P")]
    assert line(rows, "cox").marks == (USED, USED)
    assert line(rows, "cox", "P").marks == (LACKING, USED)
    assert line(rows, "abmil", "P").marks == (LACKING, UNUSED)
    assert line(rows, "snn", "P").marks == (UNUSED, USED)
    assert line(rows, "clinical", "P").marks == (UNUSED, UNUSED)


def test_emphasis_is_by_column_and_never_on_a_control() -> None:
    assert line(TWO, "cox").overall_emphasis == "best"
    assert line(TWO, "snn").overall_emphasis == "second"
    assert line(TWO, "clinical").overall_emphasis == ""
    text = render(TWO, "latex", "paper")
    (must,) = (each for each in text.splitlines() if each.startswith("{must}"))
    assert must.count(r"\textbf{0.620}") == 1  # best on blca, though without an Overall
    (cox,) = (each for each in text.splitlines() if each.startswith("{cox}"))
    assert r"\underline{0.600}" in cox
    assert r"\textbf{0.700}" in cox
    assert r"\textbf{0.650}" in cox
    assert r"$\bullet$" in cox


def test_boards_that_must_not_be_compared_stand_in_tables_of_their_own() -> None:
    others = [
        row("blca", "cox", 0.6, population="all"),
        row(
            "blca", "cox", 0.6, preset="standard", about=replace(BOTH.about, presets=("standard",))
        ),
        row("blca", "cox", 0.6, train_regime="P@0.4"),
        row("blca", "cox", 0.6, regime="P@0.4"),
    ]
    assert len(paper_tables([*TWO, *others])) == 5


def test_two_folds_of_one_cohort_are_two_columns() -> None:
    rows = [row("luad", "cox", 0.6), row("luad", "cox", 0.5, split="luad.site")]
    (table,) = paper_tables(rows)
    assert table.cohorts == ("luad luad", "luad luad.site")


def test_two_settings_of_one_method_are_two_lines() -> None:
    first = row("blca", "cox", 0.6, setting="aaaaaaaaaaaa")
    (table,) = paper_tables([first, replace(first, setting="bbbbbbbbbbbb", c_index=0.5)])
    assert [each.rows[0].c_index for each in table.lines] == [0.6, 0.5]


def test_csv_has_a_column_for_each_cohort_and_empty_cells() -> None:
    first, *_ = lines = list(csv.DictReader(io.StringIO(render(TWO, "csv", "paper"))))
    assert list(first)[7:] == ["P", "G", "blca", "luad", "overall", "mark"]
    by_method = {each["method"]: each for each in lines}
    assert float(by_method["cox"]["overall"]) == pytest.approx(0.65)
    assert (by_method["must"]["luad"], by_method["must"]["overall"]) == ("", "")
    assert (by_method["snn"]["P"], by_method["snn"]["G"]) == ("", "has")


def test_text_fits_a_hundred_columns_however_many_cohorts() -> None:
    names = [f"a_cohort_with_a_long_name_{i}" for i in range(12)]
    rows = [row(name, "deepattnmisl", 0.6, mark="*", regime="P") for name in names]
    text = render(rows, "text", "paper")
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("deepattnmisl") > 1
    assert text.count("0.600*") == 13  # each cohort once, and Overall


def test_a_star_anywhere_stays_on_overall() -> None:
    rows = [row("blca", "cox", 0.6, regime="P", mark="*"), row("luad", "cox", 0.7, regime="P")]
    assert "0.650*" in render(rows, "text", "paper")


def test_every_cohort_says_its_patients_and_what_is_shared_is_said_once() -> None:
    text = " ".join(render(TWO, "github", "paper").split())
    assert "blca: Measured here: 200 test patients, 90 deaths" in text
    assert "luad: Measured here: 200 test patients, 90 deaths" in text
    assert text.count("pairs within a fold only") == 1
    assert r"\| |" not in text


def test_notes_name_their_cohort_unless_all_share_them() -> None:
    rows = [
        row("blca", "cox", 0.6, changed="use=P"),
        row("luad", "cox", math.nan, changed="use=P", reason="out | of memory"),
    ]
    text = render(rows, "github", "paper")
    assert "- a: changed: use=P" in text
    assert r"luad: out \| of memory" in text


def test_json_has_no_paper_layout_and_layouts_are_known_by_name() -> None:
    with pytest.raises(UnknownNameError, match="unknown format of layout 'paper' 'json'"):
        render([], "json", "paper")
    with pytest.raises(UnknownNameError, match="Did you mean 'paper'"):
        render([], "text", "papre")
