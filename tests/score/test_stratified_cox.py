import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter

from survbench.score.stratified_cox import stratified_cox
from tests.score.simulated import fold

R = json.loads(Path(__file__).with_name("data").joinpath("r_survival.json").read_text())
INPUTS = {case["name"]: case for case in R["concordance"]}


@pytest.mark.parametrize("case", R["cox"], ids=lambda case: case["of"])
def test_coefficient_and_standard_error_are_those_of_r(case: dict[str, Any]) -> None:
    data = INPUTS[case["of"]]
    time, x = np.array(data["time"], float), np.array(data["risk"], float)
    ours = stratified_cox(time, np.array(data["event"], bool), x, np.array(data["stratum"]))
    error = 1.959963984540054 * case["standard_error"]
    wanted = [case["coefficient"], case["coefficient"] - error, case["coefficient"] + error]
    assert [ours.value, ours.low, ours.high] == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("tied", [False, True])
def test_it_is_the_model_of_lifelines(tied: bool) -> None:
    cells = [fold(number, tied=tied) for number in range(3)]
    time, event, risk = (
        np.concatenate([getattr(cell, name) for cell in cells])
        for name in ("time", "event", "risk")
    )
    stratum = np.repeat([0, 1, 2], 60)
    ours = stratified_cox(time, event, risk, stratum)
    frame = pd.DataFrame({"time": time, "event": event, "x": risk, "fold": stratum})
    exact = {"precision": 1e-14, "r_precision": 1e-14}
    theirs = CoxPHFitter().fit(frame, "time", "event", strata=["fold"], fit_options=exact)
    assert ours.value == pytest.approx(theirs.params_["x"], rel=1e-6)
    low, high = theirs.confidence_intervals_.to_numpy()[0]
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-6)


def test_two_deaths_by_hand() -> None:
    # x = 1 dies at 1 beside x = 0; then x = 0 dies alone: likelihood e^b / (1 + e^b) has no maximum
    time, event, x = np.array([1.0, 2.0]), np.array([True, True]), np.array([1.0, 0.0])
    assert "no maximum" in stratified_cox(time, event, x, np.zeros(2, int)).reason
    # with the opposite in a second fold: e^b / (1 + e^b)^2, so b = 0 and information 2 / 4
    ours = stratified_cox(
        np.tile(time, 2), np.tile(event, 2), np.r_[x, 1 - x], np.repeat([0, 1], 2)
    )
    assert ours.value == pytest.approx(0, abs=1e-9)
    assert ours.high == pytest.approx(1.959963984540054 * 2**0.5, rel=1e-9)


def test_shifting_and_stretching_the_covariate_stretches_the_coefficient() -> None:
    cell, one = fold(), np.zeros(60, int)
    plain = stratified_cox(cell.time, cell.event, cell.risk, one)
    other = stratified_cox(cell.time, cell.event, 1e4 + cell.risk / 50, one)
    assert other.value == pytest.approx(50 * plain.value, rel=1e-7)


def test_nothing_to_compare_has_no_coefficient() -> None:
    cell = fold()
    number = np.arange(60)
    assert (
        "same for everybody" in stratified_cox(cell.time, cell.event, np.zeros(60), number).reason
    )
    # one patient in each stratum: nobody dies beside another
    assert "no maximum" in stratified_cox(cell.time, cell.event, cell.risk, number).reason
    nobody = np.zeros(60, bool)
    assert "no maximum" in stratified_cox(cell.time, nobody, cell.risk, number // 30).reason
