import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from survbench.errors import UnknownNameError
from survbench.report import Row, boards, leaderboard, render
from survbench.report.row import About
from survbench.score.predictions import Estimate
from tests.report.results import write_method

# The stable interface of csv and json, as the design states it.
FIELDS = [
    "cohort",
    "method",
    "regime",
    "train_regime",
    "population",
    "preset",
    "setting",
    "split",
    "cohort_hash",
    "changed",
    "seeds",
    "folds",
    "n",
    "events",
    "left_out",
    "c_index",
    "c_index_std",
    "c_index_low",
    "c_index_high",
    "uno_c",
    "ibs",
    "auc",
    "logrank_p",
    "logrank_p_stratified",
    "mark",
    "reason",
]

ROW = Row(
    cohort="toy",
    method="abmil",
    regime="none",
    train_regime="none",
    population="paired",
    preset="quick",
    setting="0123456789ab",
    split="toy@ffff",
    cohort_hash="d" * 64,
    seeds=1,
    folds=5,
    n=200,
    events=90,
    c_index=0.61234,
    c_index_std=0.03456,
    c_index_low=0.55,
    c_index_high=0.6789,
    uno_c=0.6,
    ibs=0.2,
    auc=0.65,
    logrank_p=0.0004,
    logrank_p_stratified=0.01,
    about=About(presets=("quick",), folds=(0, 1, 2, 3, 4), seeds=(0,), draws=1000, horizon=60.0),
)
DASH = Row(
    cohort="toy",
    method="snn_100%",
    regime="G",
    train_regime="none",
    population="paired",
    preset="quick",
    split="toy@ffff",
    cohort_hash="d" * 64,
    n=200,
    reason="it | lacks\nG & more_of_it",
    about=About(presets=("quick",), seeds=(0,)),
)


def test_csv_has_the_stable_fields_and_reads_back() -> None:
    first, second = csv.DictReader(io.StringIO(render([ROW, DASH], "csv")))
    assert list(first) == FIELDS
    assert float(first["c_index"]) == ROW.c_index
    assert second["c_index"] == ""
    assert second["reason"] == DASH.reason


def test_json_has_a_schema_and_null_for_no_number() -> None:
    read = json.loads(render([ROW, DASH], "json"))
    assert read["schema"] == 1
    assert list(read["rows"][0]) == FIELDS
    assert read["rows"][0]["logrank_p"] == 0.0004
    assert read["rows"][1]["c_index"] is None


def test_text_fits_a_hundred_columns(tmp_path: Path) -> None:
    refused = {"G@0.3+P@0.3": "180 of 180 test patients lack something that this method needs"}
    write_method(tmp_path, "deepattnmisl", seeds=(0, 1, 2), refused=refused, changed={"lr": 0.1})
    write_method(tmp_path, "cox", regimes=("none", "G@0.3+P@0.3"), seeds=(0, 1, 2), stream=1)
    text = render(leaderboard(tmp_path))
    assert max(map(len, text.splitlines())) <= 100
    assert "deepattnmisl" in text


def test_text_tells_all_that_a_table_must_tell(tmp_path: Path) -> None:
    contract = {"uses": ["P", "G"], "tolerates": ["P"], "trains_without": [], "fill": "zero"}
    write_method(tmp_path, "mcat", regimes=("none", "G"), contract=contract)
    write_method(tmp_path, "snn", refused={"G": "60 of 60 test patients lack G"})
    text = " ".join(render(leaderboard(tmp_path)).split())
    for told in (
        "toy (simulated): paired patients, preset quick, nothing missing in training",
        "Simulated cohort, measured here: 180 test patients",
        "deaths, 3 folds (toy@ffffffffffff), seeds 0,",
        "Patients left out: 6 with none missing",
        "cases of the split that the cohort lacks: 1",
        "(fill: zero)",
        "conditional on the fitted models",
        "nominal: folds share training patients",
        "180 of 180 test patients lack G",
        "clinical, site, oracle, attainable are never ranked",
    ):
        assert told in text


def test_presets_populations_and_training_regimes_never_share_a_board() -> None:
    others = [
        replace(ROW, preset="standard", about=replace(ROW.about, presets=("standard",))),
        replace(ROW, population="all"),
        replace(ROW, train_regime="P@0.4"),
        replace(ROW, cohort="other"),
        replace(ROW, split="toy@eeee"),
    ]
    made = boards([ROW, *others])
    assert len(made) == 6
    assert all(len(board.lines) == 1 for board in made)


def test_a_config_common_to_presets_stands_on_each_board_that_exists() -> None:
    floor = replace(ROW, method="cox", about=replace(ROW.about, presets=("quick", "standard")))
    alone = boards([floor])
    assert len(alone) == 1
    assert "preset quick (the same as standard)" in alone[0].title
    standard = replace(ROW, preset="standard", about=replace(ROW.about, presets=("standard",)))
    quick, full = boards([floor, ROW, standard])
    assert [line.row.method for line in quick.lines] == ["abmil", "cox"]
    assert [line.row.method for line in full.lines] == ["abmil", "cox"]
    assert len(list(csv.DictReader(io.StringIO(render([floor, ROW, standard], "csv"))))) == 3


def test_ranks_count_ranked_rows_of_a_regime_only() -> None:
    names = ("clinical", "oracle", "abmil", "must")
    rows = [replace(ROW, method=name, c_index=0.7 - 0.01 * i) for i, name in enumerate(names)]
    rows.append(replace(ROW, method="cox", regime="G"))
    (board,) = boards(rows)
    assert [line.rank for line in board.lines] == ["", "", "1", "2", "1"]


def test_github_table_survives_pipes_and_newlines() -> None:
    text = render([ROW, DASH], "github")
    assert r"it \| lacks G \& more\_of\_it" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({line.replace(r"\|", "").count("|") for line in table}) == 1


def test_wide_tables_show_the_hazard_ratio_with_its_interval() -> None:
    about = replace(ROW.about, hazard_ratio=Estimate(1.834, 1.3, 2.559))
    rows = [replace(ROW, about=about), DASH]
    for format in ("github", "latex"):
        text = render(rows, format).replace("\\", "")
        assert "1.83 [1.30, 2.56]" in text
        assert "nominal as well" in text
    assert "1.83" not in render(rows, "text")


def test_control_characters_of_a_message_do_not_reach_the_terminal() -> None:
    text = render([replace(DASH, reason="red \x1b[31malert\x07")])
    assert "\x1b" not in text
    assert "\x07" not in text


def test_same_method_twice_names_its_settings() -> None:
    text = render([ROW, replace(ROW, setting="fedcba987654", c_index=0.5)])
    assert "setting 0123456789ab" in text
    assert "setting fedcba987654" in text


def test_a_changed_config_stands_below_and_is_never_ranked() -> None:
    variant = replace(ROW, setting="fedcba987654", changed="lr=0.1", c_index=0.99)
    (board,) = boards([variant, ROW])
    assert [(line.rank, line.row.changed) for line in board.lines] == [("1", ""), ("", "lr=0.1")]
    text = render([variant, ROW])
    assert "changed: lr=0.1" in text
    assert "setting 0123456789ab" not in text
    assert "never ranked, nor is a config that was changed" in " ".join(text.split())
    assert f"{ROW.method} lr=0.1 |" in render([variant, ROW], "github")
    assert "nothing missing at test, another config" in render([variant, ROW], "latex")


def test_no_rows_are_told_in_words_and_empty_for_scripts() -> None:
    assert "no results yet" in render([])
    assert render([], "csv") == ",".join(FIELDS) + "\n"
    assert json.loads(render([], "json"))["rows"] == []


def test_an_unknown_format_is_refused_with_a_hint() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'latex'"):
        render([ROW], "latx")
