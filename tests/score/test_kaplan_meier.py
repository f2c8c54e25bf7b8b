import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lifelines import KaplanMeierFitter

from survbench.score.groups import RiskGroups, risk_groups
from survbench.score.kaplan_meier import at_risk, curves, drawn_groups, kaplan_meier
from survbench.score.logrank import pooled
from tests.score.simulated import fold

R = json.loads(Path(__file__).with_name("data").joinpath("r_survival.json").read_text())
INPUTS = {case["name"]: case for case in R["logrank"]}


def groups_of(case: dict[str, Any]) -> RiskGroups:
    time, event = np.array(case["time"], float), np.array(case["event"], bool)
    return RiskGroups(time, event, np.array(case["high"], bool), np.array(case["stratum"]))


@pytest.mark.parametrize(
    "case", R["kaplan_meier"], ids=lambda case: f"{case['of']}: {case['group']}"
)
def test_curve_band_and_numbers_at_risk_are_those_of_r(case: dict[str, Any]) -> None:
    groups = groups_of(INPUTS[case["of"]])
    curve = curves(groups)[case["group"]]
    at = np.array(case["at"])
    points = [curve.at(month) for month in at]
    assert [point.value for point in points] == pytest.approx(case["survival"], abs=1e-12)
    assert [point.low for point in points] == pytest.approx(case["lower"], abs=1e-12)
    assert [point.high for point in points] == pytest.approx(case["upper"], abs=1e-12)
    members = groups.high == (case["group"] == "high")
    assert at_risk(groups.time[members], at).tolist() == case["at_risk"]
    assert (curve.n, curve.events) == (members.sum(), groups.event[members].sum())


@pytest.mark.parametrize("tied", [False, True])
def test_it_is_the_curve_of_lifelines(tied: bool) -> None:
    cell = fold(2, tied=tied)
    curve = kaplan_meier(cell.time, cell.event, level=0.9)
    theirs = KaplanMeierFitter(alpha=0.1).fit(cell.time, cell.event)
    assert curve.time == pytest.approx(theirs.survival_function_.index.to_numpy())
    assert curve.survival == pytest.approx(theirs.survival_function_.to_numpy()[:, 0], abs=1e-12)
    defined = np.isfinite(curve.low)
    assert defined.sum() > len(defined) - 5
    band = theirs.confidence_interval_.to_numpy()
    assert np.stack([curve.low, curve.high], 1)[defined] == pytest.approx(band[defined], abs=1e-12)


def test_three_patients_by_hand() -> None:
    # one of three dies at 1, one of the two left is censored at 2, the last one dies at 3
    curve = kaplan_meier(np.array([1.0, 2, 3]), np.array([True, False, True]))
    assert curve.survival == pytest.approx([1, 2 / 3, 2 / 3, 0])
    # variance of log(-log S) is d / (n (n - d)) / log(S)^2 = 1/6 / log(2/3)^2
    reach = 1.959963984540054 * (1 / 6) ** 0.5 / abs(np.log(2 / 3))
    assert curve.low[1] == pytest.approx((2 / 3) ** np.exp(reach), abs=1e-12)
    assert curve.high[1] == pytest.approx((2 / 3) ** np.exp(-reach), abs=1e-12)
    assert np.isnan([curve.low[3], curve.high[3]]).all()
    assert curve.at(100).value == 0  # everybody died: known for ever after


def test_a_group_without_deaths_survives_and_has_no_band() -> None:
    curve = kaplan_meier(np.array([2.0, 5]), np.array([False, False]))
    assert curve.at(5).value == 1
    assert np.isnan([curve.at(5).low, curve.at(5).high]).all()
    assert curve.at(5.1).reason == "5.1 months is beyond the follow-up of 5 of a risk group"


def test_all_at_one_time_is_one_step() -> None:
    curve = kaplan_meier(np.full(4, 7.0), np.array([True, True, True, False]))
    assert curve.time.tolist() == [0, 7]
    assert curve.survival.tolist() == [1, 0.25]


def test_an_empty_group_has_no_curve() -> None:
    cell = fold()
    same = risk_groups([replace(cell, risk=np.zeros(60))])
    assert same is not None
    assert list(curves(same)) == ["low"]


def test_the_seed_with_the_median_p_is_drawn() -> None:
    cells = [
        replace(fold(f, seed=s, stream=s), train_median_risk=0.0)
        for f in range(2)
        for s in range(3)
    ]
    groups = drawn_groups(cells)
    assert groups is not None
    each = [risk_groups([c for c in cells if c.seed == s]) for s in range(3)]
    p = [pooled(one.time, one.event, one.high).value for one in each if one is not None]
    assert len(set(p)) == 3
    assert pooled(groups.time, groups.event, groups.high).value == np.median(p)
    assert drawn_groups(cells, "train") is not None
    assert drawn_groups([fold(0)], "train") is None
