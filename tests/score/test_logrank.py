import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lifelines.statistics import logrank_test

from survbench.score.groups import high_risk
from survbench.score.logrank import hazard_ratio, pooled, stratified, stratified_p
from tests.score.simulated import fold

R = json.loads(Path(__file__).with_name("data").joinpath("r_survival.json").read_text())["logrank"]


def arrays(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array(case["time"], float),
        np.array(case["event"], bool),
        np.array(case["high"], bool),
        np.array(case["stratum"]),
    )


@pytest.mark.parametrize("case", R, ids=lambda case: case["name"])
def test_stratified_test_is_that_of_r(case: dict[str, Any]) -> None:
    time, event, high, stratum = arrays(case)
    test = stratified(time, event, high, stratum)
    wanted = case["stratified"]
    assert test.excess == pytest.approx(wanted["excess"], abs=1e-9)
    assert test.variance == pytest.approx(wanted["variance"], abs=1e-9)
    assert test.statistic == pytest.approx(wanted["chisq"], abs=1e-9)
    assert test.p_value == pytest.approx(wanted["p"], rel=1e-9)


@pytest.mark.parametrize("case", R, ids=lambda case: case["name"])
def test_pooled_test_is_that_of_r(case: dict[str, Any]) -> None:
    time, event, high, _ = arrays(case)
    assert pooled(time, event, high).value == pytest.approx(case["plain"]["p"], rel=1e-9)


@pytest.mark.parametrize("case", R, ids=lambda case: case["name"])
def test_hazard_ratio_is_that_of_r(case: dict[str, Any]) -> None:
    ratio = hazard_ratio(*arrays(case))
    assert [ratio.value, ratio.low, ratio.high] == pytest.approx(case["hazard_ratio"], rel=1e-8)


@pytest.mark.parametrize("tied", [False, True])
def test_one_stratum_is_the_ordinary_test_of_lifelines(tied: bool) -> None:
    cell = fold(3, tied=tied)
    high = high_risk(cell.risk)
    ours = stratified(cell.time, cell.event, high, np.zeros(len(cell), int))
    theirs = logrank_test(cell.time[high], cell.time[~high], cell.event[high], cell.event[~high])
    assert ours.statistic == pytest.approx(theirs.test_statistic, abs=1e-10)
    assert ours.p_value == pytest.approx(theirs.p_value, rel=1e-9)
    assert pooled(cell.time, cell.event, high).value == ours.p_value


def test_two_strata_by_hand() -> None:
    # Stratum 0: high dies at 1 (of 2 high, 2 low), low dies at 2 (of 1 high, 2 low).
    #   U = (1 - 2/4) + (0 - 1/3) = 1/6,  V = 1/2 * 1/2 + 1/3 * 2/3 = 1/4 + 2/9
    # Stratum 1: both of 1 high, 2 low, a high and a low die together at 5.
    #   U = 1 - 2 * 1/3 = 1/3,  V = 2 * 1/3 * 2/3 * (3 - 2) / (3 - 1) = 2/9
    time = np.array([1.0, 3, 2, 4, 5, 5, 6])
    event = np.array([True, False, True, False, True, True, False])
    high = np.array([True, True, False, False, True, False, False])
    stratum = np.array([0, 0, 0, 0, 1, 1, 1])
    test = stratified(time, event, high, stratum)
    assert test.excess == pytest.approx(1 / 6 + 1 / 3, abs=1e-12)
    assert test.variance == pytest.approx(1 / 4 + 4 / 9, abs=1e-12)


def test_a_common_shift_of_one_fold_changes_the_pooled_test_only() -> None:
    cells = [fold(number) for number in range(3)]
    high = np.concatenate([high_risk(cell.risk) for cell in cells])
    event = np.concatenate([cell.event for cell in cells])
    stratum = np.repeat(np.arange(3), [len(cell) for cell in cells])
    time = np.concatenate([cell.time for cell in cells])
    shifted = time + 500.0 * (stratum == 1)
    before, after = (stratified_p(t, event, high, stratum).value for t in (time, shifted))
    assert before == pytest.approx(after, rel=1e-12)
    assert pooled(time, event, high).value != pytest.approx(pooled(shifted, event, high).value)


def test_one_group_or_no_death_has_no_p_value() -> None:
    cell = fold()
    everyone, stratum = np.ones(len(cell), bool), np.zeros(len(cell), int)
    nobody_dies = np.zeros(len(cell), bool)
    assert "same risk group" in pooled(cell.time, cell.event, everyone).reason
    assert "same risk group" in stratified_p(cell.time, cell.event, everyone, stratum).reason
    half = high_risk(cell.risk)
    assert "no death" in pooled(cell.time, nobody_dies, half).reason
    assert "no death" in stratified_p(cell.time, nobody_dies, half, stratum).reason
    assert "no death" in hazard_ratio(cell.time, nobody_dies, half, stratum).reason
    assert hazard_ratio(cell.time, cell.event, everyone, stratum).reason == (
        "nobody is in the low risk group"
    )


def test_strata_of_one_group_each_have_no_p_value() -> None:
    cell = fold()
    half = high_risk(cell.risk)
    assert "both risk groups" in stratified_p(cell.time, cell.event, half, half.astype(int)).reason
