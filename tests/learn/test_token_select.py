from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from survbench.learn.batch import BagBatch
from survbench.learn.token_select import Router, TokenSelector, drawn, ranks

WIDTH = 16


def bags(*lengths: int, seed: int = 0) -> BagBatch:
    token = torch.randn(sum(lengths), WIDTH, generator=torch.Generator().manual_seed(seed))
    return BagBatch(token, torch.tensor(lengths), torch.arange(len(lengths)))


def leading(count: int) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(1))


def selector(**options: Any) -> TokenSelector:
    torch.manual_seed(3)
    return TokenSelector(WIDTH, **options)


def test_ranks_fall_with_the_value_in_each_bag() -> None:
    value = torch.tensor([0.1, 0.9, 0.5, -1.0, 7.0, 7.0, 2.0])
    assert ranks(value, bags(3, 1, 3)).tolist() == [2, 0, 1, 0, 0, 1, 2]


def test_patches_are_drawn_without_replacement_in_their_order() -> None:
    whole = bags(3, 50, 7)
    torch.manual_seed(0)
    some = drawn(whole, 7)
    assert some.length.tolist() == [3, 7, 7]
    torch.testing.assert_close(some.features[:3], whole.features[:3])
    torch.testing.assert_close(some.features[-7:], whole.features[-7:])
    place = [int((whole.features == row).all(dim=1).nonzero()) for row in some.features]
    assert place == sorted(set(place))
    assert not torch.equal(drawn(whole, 7).features, some.features)
    assert drawn(whole, 50) is whole


def test_the_router_stays_within_bounds() -> None:
    router = Router(WIDTH, most=4)
    assert router.count is not None
    torch.nn.init.constant_(router.count.get_parameter("2.bias"), 9.0)
    said = router(leading(3), torch.tensor([1, 3, 8]))
    assert said.count.tolist() == [1, 3, 4]
    torch.nn.init.constant_(router.count.get_parameter("2.bias"), -9.0)
    said = router(leading(3), torch.tensor([1, 3, 8]))
    assert said.count.tolist() == said.single.tolist() == [1, 1, 1]


def test_fixed_count_and_share_need_no_weights() -> None:
    router = Router(WIDTH, most=4, count=10, share=0.25)
    assert not list(router.parameters())
    said = router(leading(3), torch.tensor([1, 9, 30]))
    assert said.count.tolist() == [1, 9, 10]
    assert said.single.tolist() == [1, 2, 2]


@torch.no_grad()
@pytest.mark.parametrize(("count", "share"), [(1, 0.5), (5, 0.5), (6, 0.9), (6, 0.0), (4, 1.0)])
def test_the_best_tokens_stand_for_themselves_and_the_others_are_pooled(
    count: int, share: float
) -> None:
    layer, given = selector(count=count, share=share), bags(13, 1, 30, 4)
    found = layer(given, leading(4))
    score = layer.scores(given, leading(4))
    expected, length = [], []
    for own, values in zip(
        given.features.split([13, 1, 30, 4]), score.split([13, 1, 30, 4]), strict=True
    ):
        order = values.argsort(descending=True, stable=True)
        most = min(count, len(own))
        single = max(1, int(share * most))
        parts = [layer.refine(own[order[:single]])]
        if single < len(own):
            rest = own[order[single:]].mT[None]
            parts.append(functional.adaptive_avg_pool1d(rest, max(1, most - single))[0].mT)
        expected.append(torch.cat(parts))
        length.append(len(expected[-1]))
    assert found.length.tolist() == length
    torch.testing.assert_close(found.features, torch.cat(expected))


@torch.no_grad()
def test_without_pools_the_best_tokens_are_all_there_is() -> None:
    layer, given = selector(count=3, pooled=False), bags(9, 2)
    found = layer(given, leading(2))
    assert found.length.tolist() == [3, 2]
    best = layer.scores(given, leading(2))[:9].argsort(descending=True)[:3]
    torch.testing.assert_close(found.features[:3], layer.refine(given.features[best]))


@torch.no_grad()
def test_one_vector_is_the_mean_of_the_best_and_of_one_pool() -> None:
    layer, given = selector(count=6, share=0.5, vector=True), bags(9)
    order = layer.scores(given, leading(1)).argsort(descending=True, stable=True)
    kept = layer.refine(given.features[order[:3]])
    rows = torch.cat([kept, given.features[order[3:]].mean(dim=0, keepdim=True)])
    assert layer.last is not None
    found = layer(given, leading(1))
    torch.testing.assert_close(found.features, layer.last(rows.mean(dim=0, keepdim=True)))


@torch.no_grad()
def test_order_of_the_tokens_and_company_change_nothing() -> None:
    layer, given = selector(), bags(13, 1, 30)
    found = layer(given, leading(3))
    first = 0
    for number, (size, kept) in enumerate(zip([13, 1, 30], found.length.tolist(), strict=True)):
        own = given.features[first : first + size].flip(0)
        alone = BagBatch(own, torch.tensor([size]), torch.tensor([0]))
        again = layer(alone, leading(3)[number : number + 1]).features
        start = int(found.length[:number].sum())
        torch.testing.assert_close(again, found.features[start : start + kept])
        first += size


@pytest.mark.parametrize("vector", [False, True])
def test_what_learns_has_the_values_of_what_does_not(vector: bool) -> None:
    hard, soft = selector(vector=vector, trained=False), selector(vector=vector)
    for layer in (hard, soft):
        assert layer.router.count is not None
        torch.nn.init.constant_(layer.router.count.get_parameter("2.bias"), 4.0)
    given = bags(13, 9)
    literal, learns = (layer(given, leading(2)).features for layer in (hard, soft))
    torch.testing.assert_close(learns, literal, atol=0, rtol=0)
    for layer, output in ((hard, literal), (soft, learns)):
        output.square().sum().backward()
        reached = {
            name.split(".")[0]
            for name, weight in layer.named_parameters()
            if weight.grad is not None and bool(weight.grad.any())
        }
        always = {"refine", "last"} if vector else {"refine"}
        scored = {"score", "router"} | (set() if vector else {"reduce"})
        assert reached == (always | scored if layer is soft else always)
        heads = [layer.router.count, layer.router.share]
        for head in heads:
            assert head is not None
            assert (head[0].weight.grad is not None) == (layer is soft)


def test_a_token_whose_growth_lowers_the_loss_gains_score() -> None:
    layer, given = selector(count=2, share=1.0), bags(5)
    score = layer.scores(given, leading(1))
    score.retain_grad()
    layer.scores = lambda *_: score  # type: ignore[method-assign]
    found = layer(given, leading(1))
    (-found.features[0].square().sum()).backward()
    assert score.grad is not None
    best = int(score.argmax())
    weight = score.detach().softmax(0)
    expected = -2 * found.features[0].square().sum().detach() * -weight
    expected[best] = -2 * found.features[0].square().sum().detach() * (1 - weight[best])
    torch.testing.assert_close(score.grad, expected)
