"""Ragged batches: every operation over bags equals the loop over patients it replaces."""

import numpy as np
import pandas as pd
import pytest
import torch

from survbench.cohort import Bags, Cohort, GeneGroups
from survbench.learn import BagBatch, Batch
from survbench.learn.batch import chunks

RAGGED = [3, 1, 4]
EVEN = [2, 2, 2]


def batch_of(length: list[int], width: int = 5) -> tuple[BagBatch, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(sum(length), width, generator=generator)
    bags = BagBatch(features, torch.tensor(length), torch.arange(len(length)))
    return bags, list(features.split(length))


@pytest.mark.parametrize("length", [RAGGED, EVEN])
def test_sum_and_mean_equal_a_loop_over_bags(length: list[int]) -> None:
    bags, each = batch_of(length)
    torch.testing.assert_close(bags.sum(bags.features), torch.stack([b.sum(0) for b in each]))
    torch.testing.assert_close(bags.mean(bags.features), torch.stack([b.mean(0) for b in each]))
    first = torch.stack([b[:, 0].mean() for b in each])
    torch.testing.assert_close(bags.mean(bags.features[:, 0]), first)


@pytest.mark.parametrize("length", [RAGGED, EVEN])
def test_softmax_equals_a_loop_over_bags_even_for_large_scores(length: list[int]) -> None:
    bags, each = batch_of(length)
    ours = bags.softmax(300 * bags.features[:, 0])
    loop = torch.cat([torch.softmax(300 * b[:, 0], dim=0) for b in each])
    torch.testing.assert_close(ours, loop)


@pytest.mark.parametrize("length", [RAGGED, EVEN])
def test_gradient_of_the_softmax_equals_that_of_a_loop(length: list[int]) -> None:
    bags, _ = batch_of(length)
    weight = torch.randn(sum(length), generator=torch.Generator().manual_seed(1))
    ours, loop = (bags.features[:, 0].clone().requires_grad_() for _ in range(2))
    (bags.softmax(ours) * weight).sum().backward()
    torch.cat([torch.softmax(s, 0) for s in loop.split(length)]).mul(weight).sum().backward()
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, loop.grad)


@pytest.mark.parametrize("length", [RAGGED, EVEN])
def test_padded_puts_every_bag_in_front_and_zeros_behind(length: list[int]) -> None:
    bags, each = batch_of(length)
    tokens, real = bags.padded(bags.features)
    for row, bag in enumerate(each):
        torch.testing.assert_close(tokens[row, : len(bag)], bag)
        assert tokens[row, len(bag) :].abs().sum() == 0
        assert real[row].sum() == len(bag)
    torch.testing.assert_close(bags.unpadded(tokens), bags.features)


def cohort(lengths: list[int]) -> Cohort:
    length = np.array(lengths)
    total = int(length.sum())
    features = np.arange(total * 2, dtype=np.float32).reshape(total, 2)
    genes = GeneGroups.of(
        np.arange(len(length) * 2.0).reshape(-1, 2),
        ["a", "b"],
        ["rna", "rna"],
        {"g": [0, 1]},
        present=np.arange(len(length)) != 1,
    )
    index = pd.Index([f"case-{row}" for row in range(len(length))], name="case_id")
    cases = pd.DataFrame({"time": 1.0 + np.arange(len(length)), "event": True}, index=index)
    bags = Bags(features, np.cumsum(length) - length, length)
    return Cohort("toy", cases, {"P": bags, "G": genes})


def test_a_batch_holds_only_what_is_present_and_says_whose_it_is() -> None:
    batch = Batch.of(cohort([2, 3, 0]), np.array([2, 1, 0]))
    assert batch.case_id == ("case-2", "case-1", "case-0")
    assert batch.bags("P").rows.tolist() == [1, 2]
    assert batch.bags("P").length.tolist() == [3, 2]
    assert batch.bags("P").features[0].tolist() == [4, 5]
    assert batch.genes("G").rows.tolist() == [0, 2]
    assert batch.genes("G").values.tolist() == [[4, 5], [0, 1]]


def test_a_batch_for_prediction_has_no_outcome() -> None:
    with pytest.raises(ValueError, match="no outcome"):
        _ = Batch.of(cohort([2, 3]), np.array([0])).outcome


def test_chunks_cover_everyone_once_and_stay_within_the_budget() -> None:
    lengths = [50, 1, 7, 7, 3, 120, 0]
    toy = cohort(lengths)
    rows = np.array([6, 0, 5, 2, 3, 4, 1])
    parts = list(chunks(toy, rows, patch_budget=60))
    assert sorted(np.concatenate(parts).tolist()) == sorted(rows.tolist())
    for part in parts:
        padded = max(max(lengths[row], 1) for row in part) * len(part)
        assert padded <= 60 or len(part) == 1
