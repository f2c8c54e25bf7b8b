import csv
import io
from dataclasses import replace

import pytest

from survbench.report import published
from survbench.report.ledger import ledger, render_ledger
from survbench.report.row import About, Row

# MUST, table 1: snn on blca 0.662 +- 0.045; the paper has 347 patients there
SNN = Row(
    cohort="tcga_blca",
    method="snn",
    regime="none",
    train_regime="none",
    preset="standard",
    n=347,
    c_index=0.66,
    c_index_low=0.64,
    c_index_high=0.68,
    about=About(uses=("G",), endpoint="overall survival"),
)


def status(row: Row) -> tuple[str, str]:
    (one,) = [one for one in ledger([row]) if one.paper == "MUST"]
    return one.status, one.note


def test_the_interval_of_the_difference_takes_the_published_number_as_fixed() -> None:
    (row,) = ledger([SNN])
    assert (row.paper, row.table, row.published) == ("MUST", "1", 0.662)
    assert (row.difference, row.low, row.high) == pytest.approx((-0.002, -0.022, 0.018))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.633, 0.691, "reproduced"),  # -0.029 to 0.029
        (0.631, 0.691, "compatible"),  # -0.031
        (0.633, 0.693, "compatible"),
        (0.665, 0.690, "reproduced"),  # off by more than 0, but by less than the margin
        (0.665, 0.695, "differs"),
        (0.600, 0.660, "differs"),
    ],
)
def test_the_status_follows_from_the_interval(low: float, high: float, expected: str) -> None:
    assert status(replace(SNN, c_index_low=low, c_index_high=high)) == (expected, "")


def test_other_patients_are_compatible_at_best() -> None:
    told = ("compatible", "373 patients here, 347 in the paper")
    assert status(replace(SNN, n=373)) == told


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"cohort": "tcga_blca_hif"}, "image features, not the papers' patches"),
        ({"about": replace(SNN.about, simulated=True)}, "simulated patients"),
        ({"about": replace(SNN.about, endpoint="")}, "endpoint unknown"),
        ({"about": replace(SNN.about, endpoint="recurrence")}, "endpoint recurrence"),
        (
            {"about": replace(SNN.about, uses=("P", "G"))},
            "patch features of no stated kind, not the paper's (uni2h)",
        ),
        (
            {"cohort": "tcga_blca_ctranspath", "about": replace(SNN.about, uses=("P",))},
            "patch features ctranspath, not the paper's (uni2h)",
        ),
        ({"preset": "quick"}, "preset quick"),
        ({"changed": "epochs=3"}, "config changed: epochs=3"),
        ({"train_regime": "P@0.3"}, "P@0.3 missing in training"),
        ({"c_index": float("nan"), "reason": "it failed"}, "no number here: it failed"),
        (
            {"reason": "folds 0 of 5 only", "about": replace(SNN.about, whole=False)},
            "folds 0 of 5 only",
        ),
    ],
)
def test_what_is_not_comparable_says_why(change: dict[str, object], note: str) -> None:
    assert status(replace(SNN, **change)) == ("not comparable", note)  # type: ignore[arg-type]


def test_nothing_on_image_features_is_reproduced_however_close() -> None:
    rows = [
        replace(
            SNN,
            cohort=f"tcga_{theirs.cohort}_hif",
            method=theirs.method,
            regime=theirs.regime,
            c_index=theirs.c_index,
            c_index_low=theirs.c_index - 0.001,
            c_index_high=theirs.c_index + 0.001,
        )
        for theirs in published()
    ]
    made = ledger(rows)
    assert len(made) >= len(rows)
    assert {row.status for row in made} == {"not comparable"}


def test_the_papers_own_patch_features_are_comparable() -> None:
    about = replace(SNN.about, uses=("P", "G"))
    assert status(replace(SNN, cohort="tcga_blca_uni2h", about=about))[0] == "reproduced"


def test_other_cohorts_methods_and_regimes_have_nothing_beside_them() -> None:
    others = [replace(SNN, cohort="demo"), replace(SNN, method="cox"), replace(SNN, regime="P@0.4")]
    assert ledger(others) == []
    assert "no measured row" in render_ledger([])


def test_the_text_fits_a_terminal_and_says_what_the_words_mean() -> None:
    text = render_ledger(ledger([SNN, replace(SNN, cohort="tcga_blca_hif")]))
    assert max(map(len, text.splitlines())) <= 100
    assert "-0.002 [-0.022, +0.018]" in text
    assert "1: image features, not the papers' patches" in text
    assert "taken as fixed" in text


def test_the_csv_has_every_field() -> None:
    (line,) = csv.DictReader(io.StringIO(render_ledger(ledger([SNN]), "csv")))
    assert (line["published"], line["status"]) == ("0.662", "reproduced")
