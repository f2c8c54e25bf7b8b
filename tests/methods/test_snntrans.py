from typing import Any

import pytest
import torch
from torch import nn

from survbench.methods.snntrans import SNNTrans, SNNTransConfig, SNNTransNet
from tests.parity.fixture import batch, widths

REFERENCE = {str(i): size for i, size in enumerate((80, 300, 500, 450, 1500, 450))}
GENES = {"a": 3, "b": 4, "c": 2, "d": 3, "e": 2, "f": 3}


def small(genes: dict[str, int] | None = None, **options: Any) -> SNNTransNet:
    """Net for six small groups, fixed weights, eval mode."""
    torch.manual_seed(0)
    config = SNNTransConfig(hidden=8, width=16, **options)
    return SNNTransNet(config, widths(genes=GENES if genes is None else genes)).eval()


def groups(genes: dict[str, int]) -> dict[str, list[int]]:
    """Columns of groups that lie one behind the other."""
    found = widths(genes=genes).groups["G"]
    return {name: list(columns) for name, columns in found.items()}


def values(count: int = 5, columns: int = 17) -> torch.Tensor:
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(1))


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("ppeg", "trunk"), [(True, 549_136), (False, 527_120)])
def test_reference_size(ppeg: bool, trunk: int) -> None:
    net = SNNTransNet(SNNTransConfig(ppeg=ppeg), widths(genes=REFERENCE))
    assert size(net.embed) == 4_939_264
    assert size(net.encoder) == trunk
    assert size(net.head) == 1_028
    assert size(net) == 4_939_264 + trunk + 1_028
    assert not ppeg or size(net) == 5_489_428


def test_it_starts_as_cmta_does() -> None:
    net = SNNTransNet(SNNTransConfig(), widths(genes=REFERENCE))
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    assert all((module.bias == 0).all() for module in linear if module.bias is not None)
    wide = max(linear, key=lambda module: module.weight.numel())
    expected = (2 / (wide.in_features + wide.out_features)) ** 0.5
    assert float(wide.weight.detach().std()) == pytest.approx(expected, rel=0.01)
    assert net.encoder.class_token.abs().max() < 1e-5
    assert (net.encoder.norm.weight == 1).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ppeg": False},
        {"attention": "nystrom"},
        {"attention": "nystrom", "mask_padding": True},
        {"attention": "exact"},
    ],
)
def test_patients_together_equal_one_by_one(options: dict[str, Any]) -> None:
    net, gene, index = small(**options), values(), groups(GENES)
    together = net(batch(genes=gene, groups=index))
    alone = [net(batch(genes=row[None], groups=index)) for row in gene]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_groups_within_the_landmarks_attend_exactly() -> None:
    gene, index = values().double(), groups(GENES)
    auto, exact, literal = (
        small(attention=kind, landmarks=10, iterations=30).double()(batch(genes=gene, groups=index))
        for kind in ("auto", "exact", "nystrom")
    )
    torch.testing.assert_close(auto, exact, atol=0, rtol=0)
    # ten rows on ten landmarks: each row is one, and A pinv(A) A = A once the inverse converged;
    # three groups come twice, and where A is empty each step makes rounding 13/4 times as large
    torch.testing.assert_close(literal, exact, atol=1e-5, rtol=0)


def swapped(net: SNNTransNet, gene: torch.Tensor) -> torch.Tensor:
    """Logits with the first and the last group in each other's place, with their networks."""
    index = groups(GENES)
    order = ["f", "b", "c", "d", "e", "a"]
    other = small({name: GENES[name] for name in order}, ppeg=net.encoder.ppeg is not None)
    for place, name in enumerate(order):
        other.embed[place].load_state_dict(net.embed[list(GENES).index(name)].state_dict())
    other.encoder.load_state_dict(net.encoder.state_dict())
    other.head.load_state_dict(net.head.state_dict())
    logits: torch.Tensor = other(batch(genes=gene, groups={name: index[name] for name in order}))
    return logits


def test_the_order_of_groups_matters_because_it_is_their_grid() -> None:
    net, gene = small(), values()
    expected = net(batch(genes=gene, groups=groups(GENES)))
    assert (swapped(net, gene) - expected).abs().max() > 1e-4


def test_without_grid_only_the_value_convolution_knows_the_order() -> None:
    net, gene = small(ppeg=False), values()
    for layer in (net.encoder.first, net.encoder.second):
        assert layer.attention.residual is not None
        nn.init.zeros_(layer.attention.residual.weight)
    expected = net(batch(genes=gene, groups=groups(GENES)))
    torch.testing.assert_close(swapped(net, gene), expected)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("ppeg", [True, False])
def test_any_number_of_groups_will_do(count: int, ppeg: bool) -> None:
    genes = dict(list(GENES.items())[:count])
    net = small(genes, ppeg=ppeg)
    gene = values(3, sum(genes.values()))
    assert net(batch(genes=gene, groups=groups(genes))).shape == (3, 4)


def test_six_groups_fill_the_square_with_the_first_three_again() -> None:
    net, gene = small(), values()
    by_hand = small({**GENES, "g": 3, "h": 4, "i": 2})
    for place in range(9):
        by_hand.embed[place].load_state_dict(net.embed[place % 6].state_dict())
    by_hand.encoder.load_state_dict(net.encoder.state_dict())
    by_hand.head.load_state_dict(net.head.state_dict())
    index = groups(GENES)
    nine = {**index, "g": index["a"], "h": index["b"], "i": index["c"]}
    expected = net(batch(genes=gene, groups=index))
    torch.testing.assert_close(by_hand(batch(genes=gene, groups=nine)), expected)


def test_gradients_reach_every_parameter() -> None:
    net = small().train()
    net(batch(genes=values(), groups=groups(GENES))).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("preset", ["standard", *SNNTrans.presets])
def test_every_preset_builds(preset: str) -> None:
    net = SNNTrans(SNNTrans.preset(preset)).build(widths(genes=GENES)).eval()
    assert net(batch(genes=values(2), groups=groups(GENES))).shape == (2, 4)
