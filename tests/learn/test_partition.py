import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from survbench.learn.batch import BagBatch
from survbench.learn.partition import Shuffles, partition
from survbench.streams import seed_of


def bags(*lengths: int) -> BagBatch:
    return BagBatch(torch.zeros(sum(lengths), 1), torch.tensor(lengths), torch.arange(len(lengths)))


def shuffles() -> Shuffles:
    return Shuffles(seed_of)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 7))
def test_sizes_are_those_of_array_split(lengths: list[int], groups: int) -> None:
    size, count = partition(torch.tensor(lengths), groups)
    expected = [
        [len(part) for part in np.array_split(np.arange(length), min(groups, length))]
        for length in lengths
    ]
    assert count.tolist() == [len(sizes) for sizes in expected]
    assert size.tolist() == [one for sizes in expected for one in sizes]


def test_an_order_holds_every_patch_of_each_bag_once() -> None:
    order = shuffles().fixed(("a", "b", "c"), bags(9, 1, 30))
    first = 0
    for length in (9, 1, 30):
        part = order[first : first + length]
        assert sorted(part.tolist()) == list(range(first, first + length))
        first += length
    assert order[10:].tolist() != list(range(10, 40))


def test_the_order_of_a_patient_does_not_depend_on_company_or_place() -> None:
    together = shuffles().fixed(("a", "b"), bags(5, 20))
    alone = shuffles().fixed(("b",), bags(20))
    assert (together[5:] - 5).tolist() == alone.tolist()


def test_numbers_and_patients_have_orders_of_their_own() -> None:
    one = shuffles()
    drawn = {
        tuple(one.fixed((case,), bags(20), number).tolist()) for case in "ab" for number in (0, 1)
    }
    assert len(drawn) == 4


def test_every_visit_is_fresh_and_none_depends_on_the_others_visited() -> None:
    one, other = shuffles(), shuffles()
    visits = [one.fresh(("a",), bags(20)).tolist() for _ in range(3)]
    assert len(set(map(tuple, visits))) == 3
    other.fresh(("b",), bags(20))
    assert other.fresh(("a",), bags(20)).tolist() == visits[0]
    assert other.fresh(("b", "a"), bags(3, 20))[3:].tolist() == [3 + i for i in visits[1]]
