from dataclasses import replace

import numpy as np
import pytest

from survbench.score.groups import by_seed, high_risk, middle_seed, risk_groups
from tests.score.simulated import fold


def test_the_cut_is_the_median_unless_given() -> None:
    risk = np.array([1.0, 2, 3, 10])
    assert high_risk(risk).tolist() == [False, False, True, True]
    assert high_risk(risk, 5.0).tolist() == [False, False, False, True]


def test_each_fold_is_cut_at_its_own_test_or_training_median() -> None:
    cells = [
        replace(fold(f, patients=4), risk=np.array([1.0, 2, 3, 4]) + 10 * f, train_median_risk=cut)
        for f, cut in ((0, 3.5), (1, 10.0))
    ]
    test, train = risk_groups(cells), risk_groups(cells, "train")
    assert test is not None
    assert train is not None
    assert test.high.tolist() == [False, False, True, True] * 2
    assert train.high.tolist() == [False, False, False, True] + [True] * 4
    assert train.fold.tolist() == [0] * 4 + [1] * 4
    assert train.time.tolist() == [*cells[0].time, *cells[1].time]


def test_a_record_without_the_training_median_has_no_deployable_cut() -> None:
    cells = [replace(fold(0), train_median_risk=0.1), fold(1)]
    assert risk_groups(cells, "train") is None
    assert risk_groups(cells[:1], "train") is not None


def test_seeds_and_their_folds_rise() -> None:
    cells = [fold(f, seed=s) for f in (2, 0) for s in (5, 1)]
    assert [[(c.seed, c.fold) for c in one] for one in by_seed(cells)] == [
        [(1, 0), (1, 2)],
        [(5, 0), (5, 2)],
    ]


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        ({0: 3.0, 1: 1.0, 2: 2.0}, 2),
        ({0: 3.0, 1: 1.0}, 1),  # the lower one of two
        ({0: np.nan, 1: 9.0, 2: np.nan}, 1),
        ({0: np.nan, 1: np.nan}, 0),
        ({7: 1.0}, 7),
    ],
)
def test_the_middle_seed_has_the_lower_median(numbers: dict[int, float], wanted: int) -> None:
    cells = [fold(f, seed=s) for f in range(2) for s in numbers]
    folds = middle_seed(cells, lambda folds: numbers[folds[0].seed])
    assert [(cell.fold, cell.seed) for cell in folds] == [(0, wanted), (1, wanted)]
