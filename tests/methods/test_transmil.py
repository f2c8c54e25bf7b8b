from typing import Any

import pytest
import torch
from torch import nn

from survbench.methods.transmil import TMILNet, TransMIL, TransMILConfig, TransMILNet
from tests.methods.patients import bags
from tests.parity.fixture import batch, widths


def small(**options: Any) -> nn.Module:
    """Net for patches 6 wide, fixed weights, eval mode."""
    torch.manual_seed(0)
    return TransMIL(TransMILConfig(width=16, **options)).build(widths(patch=6)).eval()


@pytest.mark.parametrize(("patch", "parameters"), [(1024, 2_673_172), (1536, 2_935_316)])
def test_reference_size(patch: int, parameters: int) -> None:
    net = TransMILNet(TransMILConfig(), widths(patch=patch))
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_size_of_survpaths_network_of_the_same_name() -> None:
    net = TransMIL(TransMIL.preset("survpath_tmil")).build(widths(patch=1024))
    assert isinstance(net, TMILNet)
    assert sum(p.numel() for p in net.parameters()) == 394_756


@pytest.mark.parametrize(
    "options",
    [{}, {"attention": "exact"}, {"attention": "auto"}, {"mask_padding": True}, {"tmil": True}],
)
def test_patients_together_equal_one_by_one(options: dict[str, Any]) -> None:
    net, patients = small(**options), bags(3, 10, 1, 16, 4, 13, 7)
    alone = torch.cat([net(batch([bag])) for bag in patients])
    torch.testing.assert_close(net(batch(patients)), alone, atol=1e-5, rtol=1e-5)


def test_a_bag_with_its_first_patches_repeated_by_hand_is_the_same_bag() -> None:
    net, (bag,) = small(), bags(7)
    by_hand = torch.cat([bag, bag[:2]])  # 9 = 3 x 3 needs no repetition
    torch.testing.assert_close(net(batch([by_hand])), net(batch([bag])))


def test_the_order_of_patches_matters_because_it_is_their_grid() -> None:
    net, (bag,) = small(), bags(16)
    assert (net(batch([bag])) - net(batch([bag.flip(0)]))).abs().max() > 1e-4


def test_gradients_reach_every_parameter() -> None:
    net = small().train()
    net(batch(bags(5, 20))).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("preset", ["standard", *TransMIL.presets])
def test_every_preset_builds(preset: str) -> None:
    net = TransMIL(TransMIL.preset(preset)).build(widths(patch=6)).eval()
    assert net(batch(bags(2, 5))).shape == (2, 4)
