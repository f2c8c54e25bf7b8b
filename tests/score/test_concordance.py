import json
from pathlib import Path

import numpy as np
import pytest
from lifelines.utils import concordance_index

from survbench.score.concordance import comparable_pairs, harrell
from tests.score.simulated import fold

R = json.loads(Path(__file__).with_name("data").joinpath("r_survival.json").read_text())


def from_pairs(time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> float:
    pairs = comparable_pairs(time, event)
    return float(pairs.credit(risk).sum() / len(pairs))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("number", range(5))
def test_pairs_and_both_libraries_agree(number: int, tied: bool) -> None:
    cell = fold(number, tied=tied)
    ours = from_pairs(cell.time, cell.event, cell.risk)
    assert ours == pytest.approx(harrell(cell.time, cell.event, cell.risk).value, abs=1e-12)
    theirs = concordance_index(cell.time, -cell.risk, cell.event)
    assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("case", R["concordance"], ids=lambda case: case["name"])
def test_c_index_is_that_of_r(case: dict[str, list[float]]) -> None:
    time, risk, stratum = (np.array(case[key], float) for key in ("time", "risk", "stratum"))
    event = np.array(case["event"], bool)
    assert harrell(time, event, risk).value == pytest.approx(case["concordance"], abs=1e-12)
    for label, value in zip(np.unique(stratum), case["by_stratum"], strict=True):
        here = stratum == label
        ours = harrell(time[here], event[here], risk[here]).value
        assert ours == pytest.approx(value, abs=1e-12)


def test_pairs_by_hand() -> None:
    # a dies at 1; b dies and c is censored at 2; d is censored at 3.
    pairs = comparable_pairs(np.array([1.0, 2, 2, 3]), np.array([True, True, False, False]))
    ranked = set(zip(pairs.earlier.tolist(), pairs.later.tolist(), strict=True))
    assert ranked == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)}


def test_two_deaths_at_the_same_time_are_no_pair() -> None:
    score = harrell(np.array([2.0, 2.0]), np.array([True, True]), np.array([1.0, 0.0]))
    assert np.isnan(score.value)
    assert score.reason == "no comparable pair of patients"


def test_risks_closer_than_the_tolerance_are_tied() -> None:
    time, event = np.array([1.0, 2.0]), np.array([True, True])
    assert harrell(time, event, np.array([0.5 + 2e-9, 0.5])).value == 0.5
    assert harrell(time, event, np.array([0.5 + 2e-8, 0.5])).value == 1.0
    assert from_pairs(time, event, np.array([0.5 + 2e-9, 0.5])) == 0.5
    assert from_pairs(time, event, np.array([0.5 + 2e-8, 0.5])) == 1.0


def test_all_censored_and_a_missing_risk_have_no_number() -> None:
    time = np.array([1.0, 2.0, 3.0])
    assert harrell(time, np.zeros(3, bool), time).reason
    assert "finite" in harrell(time, np.ones(3, bool), np.array([1.0, np.nan, 2.0])).reason
