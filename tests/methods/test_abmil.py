from typing import Any

import pytest
import torch

from survbench.methods.abmil import ABMIL, ABMILConfig, ABMILNet
from tests.methods.patients import bags
from tests.parity.fixture import batch, widths

SMALL: dict[str, Any] = {"hidden": 16, "attention": 8, "rho": 8}


def small(**options: Any) -> ABMILNet:
    """Net for patches 6 wide, fixed weights, eval mode."""
    torch.manual_seed(0)
    return ABMILNet(ABMILConfig(**{**SMALL, **options}), widths(patch=6)).eval()


@pytest.mark.parametrize(("patch", "parameters"), [(1024, 920_069), (1536, 1_182_213)])
def test_reference_size(patch: int, parameters: int) -> None:
    net = ABMILNet(ABMILConfig(), widths(patch=patch))
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_size_of_the_survpath_variant() -> None:
    net = ABMILNet(ABMIL.preset("survpath"), widths(patch=1024))
    assert sum(p.numel() for p in net.parameters()) == 461_061


@pytest.mark.parametrize("options", [{}, {"gated": False}, {"rho": None}])
def test_order_and_duplication_of_patches_change_nothing(options: dict[str, Any]) -> None:
    net, (bag,) = small(**options), bags(13)
    expected = net(batch([bag]))
    torch.testing.assert_close(net(batch([bag.flip(0)])), expected)
    torch.testing.assert_close(net(batch([bag.repeat(3, 1)])), expected)


def test_one_patch_is_its_own_patient_vector() -> None:
    net, (patch,) = small(), bags(1)
    expected = net.head(net.rho(net.embed(patch)))
    torch.testing.assert_close(net(batch([patch])), expected)


def test_patients_together_equal_one_by_one() -> None:
    net, patients = small(), bags(3, 50, 1, 7, 7)
    alone = torch.cat([net(batch([bag])) for bag in patients])
    torch.testing.assert_close(net(batch(patients)), alone, atol=1e-6, rtol=1e-6)


def test_attention_sums_to_one_in_every_bag_and_follows_the_score() -> None:
    net, patients = small(), batch(bags(3, 50, 1)).bags("P")
    score = net.attend(net.embed(patients.features))
    weight = patients.softmax(score)
    torch.testing.assert_close(patients.sum(weight), torch.ones(3))
    torch.testing.assert_close(weight[:3], score[:3].softmax(0))


def test_without_rho_the_head_reads_the_pooled_tokens() -> None:
    net, (patch,) = small(rho=None), bags(1)
    torch.testing.assert_close(net(batch([patch])), net.head(net.embed(patch)))


@pytest.mark.parametrize("preset", ["standard", *ABMIL.presets])
def test_every_preset_builds(preset: str) -> None:
    net = ABMIL(ABMIL.preset(preset)).build(widths(patch=6)).eval()
    assert net(batch(bags(2, 5))).shape == (2, 4)
