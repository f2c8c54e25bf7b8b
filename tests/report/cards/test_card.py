"""Six paired patients and five who lack P, small enough to count by hand."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import median_survival_times
from sksurv.compare import compare_survival
from sksurv.util import Surv

from survbench.cohort import Bags, Cohort, CohortInfo, Folds, GeneGroups, load_cohort, read_splits
from survbench.errors import ResultError, SplitError
from survbench.report.cards.card import CohortCard, Difference, cohort_card
from survbench.report.cards.files import read_card, write_card
from survbench.report.cards.tables import card_tables, render_card

PAIRED, LEFT_OUT = 6, 5
TIME = [1.0, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14]
EVENT = [False, True, False, True, False, False, *[False] * LEFT_OUT]
AGE = [50.0, 51, 52, 53, 54, 55, 70, 71, 72, 73, 74]
SEX = ["female"] * PAIRED + ["male"] * 4 + ["female"]
SITE = ["AA", "AA", "AA", "BB", "BB", "CC", "AA", "AA", "CC", "CC", "DD"]
DROPPED = {
    "TCGA-XX-0001": "survival_months is -0.5, must be > 0",
    "TCGA-XX-0002": "survival_months is 0, must be > 0",
    "TCGA-XX-0003": "censorship is blank",
}


def cohort(n: int = PAIRED + LEFT_OUT) -> Cohort:
    """The first n patients."""
    cases = pd.DataFrame(
        {"time": TIME, "event": EVENT, "age": AGE, "sex": SEX, "site": SITE},
        index=pd.Index([f"TCGA-{site}-{i:04d}" for i, site in enumerate(SITE)], name="case_id"),
    )
    length = np.array([1] * PAIRED + [0] * LEFT_OUT)
    bags = Bags(np.ones((PAIRED, 2), np.float32), np.cumsum(length) - length, length)
    genes = GeneGroups.of(np.ones((len(TIME), 1)), ["A"], ["rna"], {"one": [0]})
    info = CohortInfo(
        data_hash="d" * 64,
        dropped=DROPPED,
        horizon_months=12.0,
        cohort_level_preprocessing="z-scores of all patients",
        encoder_saw_tcga="yes",
    )
    return Cohort("toy", cases, {"P": bags, "G": genes}, info).select(np.arange(n))


def splits(of: Cohort) -> Folds:
    return Folds("toy", {case: i % 2 for i, case in enumerate(of.case_id)} | {"TCGA-ZZ-9999": 0})


def card_of(made: Cohort) -> CohortCard:
    return cohort_card(made, splits(made))


@pytest.fixture(scope="module")
def card() -> CohortCard:
    return card_of(cohort())


def differences(card: CohortCard) -> Mapping[str, Difference]:
    return {each.what: each for each in card.differences}


def test_the_flow_accounts_for_everybody(card: CohortCard) -> None:
    assert card.table == 14
    assert card.dropped == {"survival_months must be > 0": 2, "censorship is blank": 1}
    assert card.present == {"P": 6, "G": 11}
    assert card.left_out is not None
    assert (card.everyone.n, card.paired.n, card.left_out.n) == (11, 6, 5)
    assert (card.everyone.events, card.paired.events, card.left_out.events) == (2, 2, 0)
    assert card.split_only == 1


def test_folds_count_patients_and_events(card: CohortCard) -> None:
    # deaths are patients 1 and 3, both in fold 1
    first, second = card.folds
    assert (first.n, first.events, first.paired, first.paired_events) == (6, 0, 3, 0)
    assert (second.n, second.events, second.paired, second.paired_events) == (5, 2, 3, 2)


def test_median_follow_up_is_that_of_the_reverse_kaplan_meier_curve(card: CohortCard) -> None:
    # paired, censored at 1, 3, 5, 6: 5/6, 5/6 * 3/4 = 0.625, then * 1/2 = 0.3125 at 5
    assert card.paired.follow_up is not None
    assert card.paired.follow_up.median == 5
    # left out, all censored: 0.8, 0.6, 0.4 at 12
    assert card.left_out is not None
    assert card.left_out.follow_up is not None
    assert card.left_out.follow_up.median == 12


def test_the_interval_of_the_follow_up_is_that_of_lifelines() -> None:
    demo = load_cohort("demo")
    reverse = KaplanMeierFitter().fit(demo.time, ~demo.event)
    (wanted,) = median_survival_times(reverse.confidence_interval_).to_numpy()
    made = cohort_card(demo, read_splits("demo")).everyone.follow_up
    assert made is not None
    assert made.median == pytest.approx(reverse.median_survival_time_, rel=1e-3)
    assert (made.low, made.high) == pytest.approx(tuple(wanted), rel=1e-3)


def test_age_sex_and_sites_are_described(card: CohortCard) -> None:
    assert card.paired.age is not None
    assert (card.paired.age.median, card.paired.age.low, card.paired.age.high) == (
        52.5,
        51.25,
        53.75,
    )
    assert card.everyone.sex == {"female": 7, "male": 4}
    assert card.everyone.histology == {}
    assert (card.everyone.sites, card.everyone.largest_site) == (4, 5)


def test_age_differs_by_rank_and_by_standard_deviations(card: CohortCard) -> None:
    age = differences(card)["age"]
    variance = (35 / 12 + 2) / 2
    assert age.standardised == pytest.approx((72 - 52.5) / math.sqrt(variance), rel=1e-3)
    assert age.p_value == pytest.approx(2 / math.comb(11, 5), rel=1e-3)  # fully apart


def test_the_share_of_women_is_tested_by_fisher(card: CohortCard) -> None:
    sex = differences(card)["sex: female"]
    assert sex.standardised == pytest.approx((0.2 - 1) / math.sqrt(0.2 * 0.8 / 2), rel=1e-3)
    # one woman among five, and nothing rarer: C(7, 1) C(4, 4) of C(11, 5)
    assert sex.p_value == pytest.approx(7 / math.comb(11, 5), rel=1e-3)


def test_events_are_compared_over_time(card: CohortCard) -> None:
    events = differences(card)["events"]
    assert events.standardised == pytest.approx(-1.0, rel=1e-3)  # -1/3 over sqrt(2/9 / 2)
    # deaths at 2 (10 at risk, 5 left out) and at 4 (8 at risk, 5 left out)
    excess, variance = -(5 / 10 + 5 / 8), 5 / 10 * 5 / 10 + 5 / 8 * 3 / 8
    assert events.p_value == pytest.approx(math.erfc(-excess / math.sqrt(2 * variance)), rel=1e-3)


def test_follow_up_is_compared_as_scikit_survival_does(card: CohortCard) -> None:
    left_out = np.arange(len(TIME)) >= PAIRED
    reverse = Surv.from_arrays(~np.array(EVENT), TIME)
    wanted = compare_survival(reverse, left_out)[1]
    assert differences(card)["follow-up"].p_value == pytest.approx(wanted, rel=1e-3)


def test_a_small_group_is_counted_and_not_described() -> None:
    card = card_of(cohort(PAIRED + 4))
    assert card.left_out is not None
    assert card.left_out.n == 4
    assert card.left_out.age is None
    assert card.left_out.follow_up is None
    assert card.differences == ()


def test_nobody_left_out_leaves_nothing_to_compare() -> None:
    card = card_of(cohort(PAIRED))
    assert card.left_out is None
    assert card.differences == ()
    assert [table.title for table in card_tables(card)] == ["Facts", "Flow", "Patients", "Folds"]


def test_unknown_age_and_sex_are_told_apart_from_known_ones() -> None:
    made = cohort()
    cases = made.cases.assign(age=np.nan, sex=["", *SEX[1:]])
    card = card_of(replace(made, cases=cases))
    assert card.everyone.age is None
    assert card.everyone.sex == {"female": 6, "male": 4, "unknown": 1}
    assert "age" not in differences(card)


def test_no_patient_is_in_the_card(card: CohortCard, tmp_path: Path) -> None:
    write_card(card, tmp_path / "toy.card.json")
    kept = (tmp_path / "toy.card.json").read_text() + render_card(card)
    assert not [case for case in [*cohort().case_id, *DROPPED] if case in kept]
    assert "-0.5" not in kept


def test_a_card_does_not_depend_on_the_order_of_patients(card: CohortCard) -> None:
    made = cohort()
    turned = made.select(np.arange(len(made))[::-1])
    assert cohort_card(turned, splits(made)) == card


def test_a_card_reads_back_as_it_was(card: CohortCard, tmp_path: Path) -> None:
    for made in (card, card_of(cohort(PAIRED))):
        write_card(made, tmp_path / "toy.card.json")
        assert read_card(tmp_path / "toy.card.json") == made


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": 99}, "schema 99"),
        ({"folds": None}, "no cohort card"),
        ({"surprise": 1}, "no cohort card .*surprise"),
    ],
)
def test_what_is_no_card_is_told(
    card: CohortCard, tmp_path: Path, change: dict[str, object], told: str
) -> None:
    path = tmp_path / "toy.card.json"
    write_card(card, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ResultError, match=told):
        read_card(path)


def test_a_patient_without_a_fold_is_an_error() -> None:
    with pytest.raises(SplitError, match="no fold for 10 of 11"):
        cohort_card(cohort(), Folds("toy", {cohort().case_id[0]: 0}))


def test_the_text_tells_what_must_be_told(card: CohortCard) -> None:
    text = render_card(card)
    assert max(map(len, text.splitlines())) <= 100
    for told in (
        "overall survival, in months",
        "12 months",
        "z-scores of all patients",
        "patch encoder saw TCGA",
        "d" * 64,
        "dropped: censorship is blank",
        "lack a modality",
        "reverse Kaplan-Meier",
        "left out against paired",
        "Mann-Whitney",
    ):
        assert told in text


def test_a_simulated_cohort_says_so() -> None:
    demo = load_cohort("demo")
    card = cohort_card(demo, read_splits("demo"))
    assert card.simulated
    assert render_card(card).startswith("demo (simulated)")
    assert "no patient is real" in render_card(card)
