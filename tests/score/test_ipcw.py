from dataclasses import replace

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from sksurv.metrics import concordance_index_ipcw, cumulative_dynamic_auc
from sksurv.util import Surv

from survbench.score import FoldPredictions
from survbench.score.concordance import harrell
from survbench.score.ipcw import Censoring, auc, beyond_support, censoring_of, uno_c
from tests.score.simulated import fold


def by_hand(
    train: tuple[list[float], list[bool]], test: tuple[list[float], list[bool], list[float]]
) -> FoldPredictions:
    time, event, risk = test
    return FoldPredictions(
        fold=0,
        seed=0,
        case_id=np.array([f"c{i}" for i in range(len(time))]),
        time=np.array(time, float),
        event=np.array(event),
        risk=np.array(risk, float),
        train_time=np.array(train[0], float),
        train_event=np.array(train[1]),
    )


# Censored in training: one of 4 at risk at 2, so G = 3/4; one of 2 at 6, so G = 3/8.
TRAIN = ([2.0, 4, 6, 8], [False, True, False, True])


def test_censoring_model_by_hand() -> None:
    model = Censoring(np.array(TRAIN[0]), np.array(TRAIN[1]))
    at = np.array([0.0, 1, 2, 5, 6, 7])
    assert model.survival(at) == pytest.approx([1, 1, 3 / 4, 3 / 4, 3 / 8, 3 / 8])


def test_censoring_model_is_reverse_kaplan_meier() -> None:
    cell = fold()
    assert cell.train_time is not None
    assert cell.train_event is not None
    model = Censoring(cell.train_time, cell.train_event)
    theirs = KaplanMeierFitter().fit(cell.train_time, ~cell.train_event)
    at = np.linspace(0, 40, 50)
    assert model.survival(at) == pytest.approx(theirs.predict(at).to_numpy(), abs=1e-12)


def test_uno_c_by_hand() -> None:
    # Deaths at 1 (weight 1) and 3 (weight (4/3)^2) before the horizon 5.
    # Death at 1 against the three others: risk 2 beats 1, loses to 3, beats 0: 2 of 3.
    # Death at 3 (risk 1) against those at 5.5 (risk 3) and 7 (risk 0): 1 of 2.
    cell = by_hand(TRAIN, ([1, 3, 5.5, 7], [True, True, True, False], [2, 1, 3, 0]))
    w = (4 / 3) ** 2
    score = uno_c(cell, 5.0, censoring_of(cell))
    assert score.value == pytest.approx((2 + w * 1) / (3 + w * 2), abs=1e-12)


def test_auc_by_hand() -> None:
    # Cases: deaths at 1 (weight 1, risk 2) and 3 (weight 4/3, risk 1); controls: risks 3 and 0.
    cell = by_hand(TRAIN, ([1, 3, 5.5, 7], [True, True, True, False], [2, 1, 3, 0]))
    score = auc(cell, 5.0, censoring_of(cell))
    assert score.value == pytest.approx((1 * 0.5 + 4 / 3 * 0.5) / (1 + 4 / 3), abs=1e-12)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("number", range(5))
def test_both_agree_with_scikit_survival(number: int, tied: bool) -> None:
    cell = fold(number, tied=tied)
    train = Surv.from_arrays(cell.train_event, cell.train_time)
    test = Surv.from_arrays(cell.event, cell.time)
    for horizon in (4.0, 5.5):
        wanted = concordance_index_ipcw(train, test, cell.risk, tau=horizon)[0]
        assert uno_c(cell, horizon, censoring_of(cell)).value == pytest.approx(wanted, abs=1e-12)
        # its weights are asked beyond the horizon too, where they count for nothing
        early = Surv.from_arrays(cell.event & (cell.time <= horizon), cell.time)
        wanted = cumulative_dynamic_auc(train, early, cell.risk, horizon)[0][0]
        assert auc(cell, horizon, censoring_of(cell)).value == pytest.approx(wanted, abs=1e-12)


def test_risks_closer_than_the_tolerance_are_tied_in_the_auc() -> None:
    cell = by_hand(TRAIN, ([1, 7], [True, False], [0.5 + 2e-9, 0.5]))
    assert auc(cell, 5.0, censoring_of(cell)).value == 0.5


def test_without_censoring_uno_c_is_harrells_of_deaths_before_the_horizon() -> None:
    cell = fold()
    n = len(cell)
    cell = replace(cell, event=np.ones(n, bool), train_event=np.ones(200, bool))
    horizon = 12.0
    seen = cell.time < horizon
    wanted = harrell(np.minimum(cell.time, horizon), seen, cell.risk).value
    assert uno_c(cell, horizon, censoring_of(cell)).value == pytest.approx(wanted, abs=1e-12)


def test_deaths_beyond_training_follow_up_do_not_matter_before_the_horizon() -> None:
    cell = fold()
    assert cell.train_time is not None
    late = replace(cell, time=np.where(cell.time > 30, 1e4, cell.time), event=cell.event.copy())
    for score in (uno_c, auc):
        value = score(cell, 20.0, censoring_of(cell)).value
        assert score(late, 20.0, censoring_of(late)).value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("score", [uno_c, auc])
def test_beyond_support_there_is_a_reason_and_no_number(score: object) -> None:
    assert callable(score)
    cell = fold()
    for horizon, reason in (
        (1e4, "beyond the training follow-up"),
        (None, "states no horizon"),
        (1e-6, "before 1e-06 months"),
    ):
        result = score(cell, horizon, censoring_of(cell))
        assert np.isnan(result.value)
        assert reason in result.reason
    short = replace(cell, time=np.minimum(cell.time, 10.0))
    assert "test follow-up of 10" in score(short, 20.0, censoring_of(short)).reason
    alone = replace(cell, train_time=None, train_event=None)
    assert "no censoring model" in score(alone, 20.0, censoring_of(alone)).reason


def test_a_training_fold_censored_to_the_last_patient_has_no_support_after_it() -> None:
    model = Censoring(np.array([1.0, 5.0]), np.array([True, False]))
    assert "nobody in training" in beyond_support(np.array([9.0]), model, 5.0)
