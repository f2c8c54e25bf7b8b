"""Missing regimes: who is missing is decided by sha256 of "seed/modality/case", computed by hand.

The draws below were made with `printf 0/P/TCGA-05-4244 | sha256sum`: the first 16 hex digits.
"""

import numpy as np
import pandas as pd
import pytest

from survbench.cohort import Bags, Cohort, GeneGroups, Regime
from survbench.errors import InputError
from survbench.streams import uniform

DRAWS = {
    "TCGA-05-4244": (0x72FDD6B96A1E531D, 0xD7306346173ADD3F),  # P 0.449, G 0.841
    "TCGA-05-4245": (0xF6C625FBA8C9CE77, 0x121664B8D30581B9),  # P 0.964, G 0.071
    "TCGA-05-4249": (0x02A2434FA059F6E7, 0xAB34EBB25E5388CD),  # P 0.010, G 0.669
    "TCGA-05-4250": (0x040A065F829EA470, 0xA38C1A5CFC365D3E),  # P 0.016, G 0.639
    "TCGA-05-4382": (0xF41CCC7923D3F947, 0xF01B27AB3B7AC20A),  # P 0.954, G 0.938
    "TCGA-05-4384": (0x023C814A7E2A8DA4, 0x5D3B50FE6DEF92AF),  # P 0.009, G 0.364
}


def cohort_of(
    cases: list[str], *, no_p: tuple[int, ...] = (), no_g: tuple[int, ...] = ()
) -> Cohort:
    """Cohort of P and G in which those at the positions no_p, no_g really lack them."""
    count = len(cases)
    has_p = ~np.isin(np.arange(count), no_p)
    bags = Bags(np.zeros((count, 2), np.float32), np.arange(count), has_p.astype(np.int64))
    present = ~np.isin(np.arange(count), no_g)
    genes = GeneGroups.of(np.zeros((count, 1)), ["A_rna"], ["rna"], {"one": [0]}, present)
    table = pd.DataFrame({"time": 1.0, "event": True}, index=pd.Index(cases, name="case_id"))
    return Cohort("real", table, {"P": bags, "G": genes})


def many(count: int = 4000) -> Cohort:
    return cohort_of([f"CASE-{one}" for one in range(count)])


@pytest.mark.parametrize("case", DRAWS)
def test_a_draw_is_the_first_eight_bytes_of_sha256_over_two_to_the_64(case: str) -> None:
    assert uniform(0, "P", case) == DRAWS[case][0] / 2**64
    assert uniform(0, "G", case) == DRAWS[case][1] / 2**64


def test_another_mask_seed_is_another_draw() -> None:
    # printf 7/P/TCGA-05-4244 | sha256sum
    assert uniform(7, "P", "TCGA-05-4244") == 0xCC06B8E92BE56D9A / 2**64


@pytest.mark.parametrize(
    ("text", "lacks_p"),
    [
        ("P@0.4", [False, False, True, True, False, True]),
        ("P@0.5", [True, False, True, True, False, True]),
        ("P@0.01", [False, False, False, False, False, True]),
        ("P", [True] * 6),
        ("none", [False] * 6),
    ],
)
def test_a_patient_is_missing_where_the_draw_is_below_the_rate(
    text: str, lacks_p: list[bool]
) -> None:
    masked = Regime.parse(text).apply(cohort_of(list(DRAWS))).cohort
    assert (~masked.present["P"]).tolist() == lacks_p
    assert masked.present["G"].all()


def test_rates_are_realised_and_masks_are_nested() -> None:
    cohort = many()
    shares = []
    smaller = np.zeros(len(cohort), bool)
    for rate in (0.1, 0.3, 0.5, 0.9):
        lacks = Regime.parse(f"P@{rate}").missing(cohort)["P"]
        assert lacks[smaller].all()
        smaller = lacks
        shares.append(lacks.mean())
    np.testing.assert_allclose(shares, [0.1, 0.3, 0.5, 0.9], atol=0.025)  # 3 standard errors


def test_a_mask_does_not_depend_on_order_or_company() -> None:
    cohort = many(50)
    whole = Regime.parse("P@0.5").missing(cohort)["P"]
    rows = np.array([31, 4, 17])
    np.testing.assert_array_equal(
        Regime.parse("P@0.5").missing(cohort.select(rows))["P"], whole[rows]
    )


def test_modalities_are_drawn_apart_from_each_other() -> None:
    lacks = Regime.parse("P@0.3+G@0.3").missing(many())
    alone = {name: Regime.parse(f"{name}@0.3").missing(many())[name] for name in "PG"}
    only = alone["P"] ^ alone["G"]
    for name in "PG":
        np.testing.assert_array_equal(lacks[name][only], alone[name][only])


def test_who_would_lose_everything_keeps_the_modality_with_the_larger_draw() -> None:
    lacks = Regime.parse("P+G").missing(cohort_of(list(DRAWS)))
    keeps_p = [p > g for p, g in DRAWS.values()]
    assert keeps_p == [False, True, False, False, True, False]
    assert (~lacks["P"]).tolist() == keeps_p
    assert lacks["G"].tolist() == keeps_p


def test_nobody_loses_everything_in_a_combined_regime() -> None:
    for text in ("P@0.3+G@0.3", "P@0.9+G@0.9", "P+G@0.5"):
        masked = Regime.parse(text).apply(many(400))
        assert masked.left_out == ()
        assert masked.cohort.present.any(axis=1).all()


def test_a_full_rate_beside_a_partial_one_takes_all_but_the_rescued() -> None:
    cohort = many(400)
    lacks = Regime.parse("P+G@0.5").missing(cohort)
    drawn_g = np.array([uniform(0, "G", case) for case in cohort.case_id]) < 0.5
    drawn_p = np.array([uniform(0, "P", case) for case in cohort.case_id])
    u_g = np.array([uniform(0, "G", case) for case in cohort.case_id])
    rescued = drawn_g & (drawn_p > u_g)
    np.testing.assert_array_equal(lacks["P"], ~rescued)
    np.testing.assert_array_equal(lacks["G"], drawn_g & rescued)


def test_who_would_lose_the_last_real_modality_is_left_out() -> None:
    cohort = cohort_of(list(DRAWS), no_g=(2, 4))
    masked = Regime.parse("P").apply(cohort)
    assert masked.left_out == ("TCGA-05-4249", "TCGA-05-4382")
    assert list(masked.cohort.case_id) == [c for c in DRAWS if c not in masked.left_out]
    np.testing.assert_array_equal(masked.kept, [0, 1, 3, 5])


def test_natural_absence_alone_leaves_nobody_out() -> None:
    masked = Regime.parse("none").apply(cohort_of(list(DRAWS), no_p=(0,), no_g=(1,)))
    assert masked.left_out == ()
    assert masked.shares == pytest.approx({"P": 1 / 6, "G": 1 / 6})


def test_shares_are_those_really_lacking() -> None:
    masked = Regime.parse("P@0.4").apply(cohort_of(list(DRAWS), no_p=(0,)))
    assert masked.shares == pytest.approx({"P": 4 / 6, "G": 0})  # three drawn, one by nature


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("none", "none"),
        ("P", "P"),
        ("P@1", "P"),
        ("P@1.0", "P"),
        ("P@0.40", "P@0.4"),
        ("P@.4", "P@0.4"),
        ("P@0", "none"),
        ("P@0.0+G@0.30", "G@0.3"),
        ("P@0.3+G@0.3", "G@0.3+P@0.3"),
        ("P+G", "G+P"),
        ("P@0.05", "P@0.05"),
        ("P@0.00001", "P@0.00001"),
    ],
)
def test_text_is_canonical(text: str, canonical: str) -> None:
    assert str(Regime.parse(text)) == canonical
    assert str(Regime.parse(canonical)) == canonical
    assert Regime.parse(text) == Regime.parse(canonical)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("P@1.5", "1.5"),
        ("P@-0.1", "-0.1"),
        ("P@half", "half"),
        ("P@0.3.1", "0.3.1"),
        ("P@", "P@"),
        ("@0.3", "@0.3"),
        ("", "''"),
        ("P++G", "P++G"),
        ("P+P@0.3", "twice"),
        ("none+P", "none"),
        ("P@nan", "nan"),
    ],
)
def test_other_texts_are_refused_with_the_grammar_or_the_place(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        Regime.parse(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_modality_the_cohort_lacks_is_an_input_error_that_names_those_it_has() -> None:
    with pytest.raises(InputError, match=r"'R'.*P, G"):
        Regime.parse("R@0.3").apply(cohort_of(list(DRAWS)))


def test_masking_copies_no_features() -> None:
    cohort = cohort_of(list(DRAWS))
    masked = Regime.parse("P@0.4+G@0.4").apply(cohort).cohort
    for name, table in (("P", "features"), ("G", "values")):
        before, after = (getattr(one.modalities[name], table) for one in (cohort, masked))
        assert np.shares_memory(before, after)
