import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from survbench.learn.batch import BagBatch
from survbench.learn.instances import HARD, ends, instance_loss, ranked, row_loss
from tests.parity.fixture import batch

LENGTHS = (7, 1, 2, 30, 16)
SAMPLE = 4


def bags(*lengths: int) -> BagBatch:
    generator = torch.Generator().manual_seed(1)
    return batch([torch.randn(length, 3, generator=generator) for length in lengths]).bags("P")


def drawn(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(logits: Tensor, weight: Tensor, label: int, count: int, *, subtyping: bool) -> Tensor:
    """Cross-entropy instance loss of one bag, class by class, with topk."""
    losses = []
    for i in range(logits.shape[1]):
        score = weight[:, i if weight.shape[1] > 1 else 0]
        top, bottom = score.topk(count).indices, (-score).topk(count).indices
        if i == label:
            rows = torch.cat([logits[top, i], logits[bottom, i]])
            target = torch.tensor([1] * count + [0] * count)
            losses.append(functional.cross_entropy(rows, target))
        elif subtyping:
            target = torch.zeros(count, dtype=torch.long)
            losses.append(functional.cross_entropy(logits[top, i], target))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("branches", [1, 4])
@pytest.mark.parametrize("subtyping", [True, False])
def test_a_batch_has_the_cross_entropies_of_its_bags(branches: int, subtyping: bool) -> None:
    patients, total = bags(*LENGTHS), sum(LENGTHS)
    logits, weight = drawn(total, 4, 2), drawn(total, branches, seed=3).softmax(0)
    label = torch.tensor([0, 1, 2, 3, 1])
    loss = instance_loss(logits, weight, patients, label, sample=SAMPLE, subtyping=subtyping)
    assert loss[1] == 0  # one patch is not both ends
    each = zip(logits.split(LENGTHS), weight.split(LENGTHS), label.tolist(), strict=True)
    for row, (some, seen, own) in enumerate(each):
        if len(some) > 1:
            count = min(SAMPLE, len(some) // 2)
            expected = by_hand(some, seen, own, count, subtyping=subtyping)
            torch.testing.assert_close(loss[row], expected)


def test_short_bags_have_patches_at_both_ends_where_asked() -> None:
    patients, logits, weight = bags(5), drawn(5, 4, 2), drawn(5, 4, seed=3)
    label = torch.tensor([2])
    loss = instance_loss(logits, weight, patients, label, sample=SAMPLE, overlap=True)
    torch.testing.assert_close(loss[0], by_hand(logits, weight, 2, SAMPLE, subtyping=True))


def test_attention_learns_nothing_from_the_instance_loss() -> None:
    patients, weight = bags(9), drawn(9, 1, seed=3).requires_grad_()
    logits = drawn(9, 4, 2).requires_grad_()
    instance_loss(logits, weight, patients, torch.tensor([0])).sum().backward()
    assert weight.grad is None
    assert logits.grad is not None


def test_equal_weights_put_no_patch_at_both_ends() -> None:
    patients, weight = bags(4), torch.full((4, 1), 0.25)
    logits = torch.zeros(4, 1, 2)
    logits[:2, 0, 1], logits[2:, 0, 0] = 50.0, 50.0  # the first two positive, the others not
    assert instance_loss(logits, weight, patients, torch.tensor([0]), sample=2) < 1e-6


def test_rows_cost_cross_entropy_and_svm() -> None:
    margin = torch.tensor([-8.0, -HARD + 1e-3, 0.0, 1.0, HARD + 1e-3])
    ce = [math.log1p(math.exp(value)) for value in margin.tolist()]
    torch.testing.assert_close(row_loss(margin, "ce"), torch.tensor(ce))
    smooth = [math.log1p(math.exp(value + 1)) for value in margin.tolist()]
    svm = [0.0, *smooth[1:4], HARD + 1e-3 + 1]
    torch.testing.assert_close(row_loss(margin, "svm"), torch.tensor(svm))


def test_the_far_svm_is_the_hinge_of_torch() -> None:
    score = torch.tensor([[9.0, 1.0], [0.0, 12.0]])
    target = torch.tensor([1, 1])
    margin = score[:, 0] - score[:, 1]
    hinge = functional.multi_margin_loss(score, target, reduction="none") * 2  # torch: over classes
    torch.testing.assert_close(row_loss(margin, "svm"), hinge)


def test_patches_are_ranked_within_their_bags() -> None:
    score = torch.tensor([1.0, 3.0, 2.0, 5.0, 5.0, 7.0])
    patients = bags(3, 1, 2)
    assert ranked(score, patients).tolist() == [1, 2, 0, 3, 5, 4]
    both = torch.stack([score, -score], dim=1)
    assert ranked(both, patients)[:, 1].tolist() == [0, 2, 1, 3, 4, 5]


def test_ties_keep_the_order_of_the_bag() -> None:
    assert ranked(torch.zeros(5), bags(2, 3)).tolist() == [0, 1, 2, 3, 4]


def test_ends_are_the_highest_then_the_lowest_of_each_bag() -> None:
    score = torch.tensor([4.0, 1.0, 3.0, 2.0, 9.0, 0.0, 8.0])
    top, bottom = torch.tensor([1, 1, 2]), torch.tensor([2, 0, 1])
    # bags of scores (4, 1, 3, 2), (9) and (0, 8); the last has its patch 0 at both ends
    assert ends(score, bags(4, 1, 2), top, bottom).tolist() == [0, 3, 1, 4, 6, 5, 5]
