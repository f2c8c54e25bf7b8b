from typing import Any

import numpy as np
import pytest
import torch

from survbench.check import sample_cohort
from survbench.learn.clam import ClusteringNet
from survbench.methods.clam_mb import CLAMMB
from tests.methods.patients import bags
from tests.parity.fixture import batch, widths

SMALL: dict[str, Any] = {"hidden": 16, "attention": 8}


def small(**options: Any) -> ClusteringNet:
    """Net for patches 6 wide, fixed weights, eval mode."""
    torch.manual_seed(0)
    net = CLAMMB(CLAMMB.Config(**{**SMALL, **options})).build(widths(patch=6)).eval()
    assert isinstance(net, ClusteringNet)
    return net


@pytest.mark.parametrize(
    ("options", "patch", "parameters"),
    [
        ({}, 1024, 794_640),
        ({}, 1536, 1_056_784),
        (CLAMMB.presets["big"], 1024, 926_480),
        (CLAMMB.presets["big"], 1536, 1_188_624),
        (CLAMMB.presets["motcat"], 1024, 398_096),
    ],
)
def test_reference_size(options: dict[str, Any], patch: int, parameters: int) -> None:
    net = CLAMMB(CLAMMB.Config(**options, instance_loss="bin")).build(widths(patch=patch))
    assert sum(p.numel() for p in net.parameters()) == parameters


@pytest.mark.parametrize("options", [{}, {"gated": False}])
def test_order_and_duplication_of_patches_change_nothing(options: dict[str, Any]) -> None:
    net, (bag,) = small(**options), bags(13)
    expected = net(batch([bag]))
    torch.testing.assert_close(net(batch([bag.flip(0)])), expected)
    torch.testing.assert_close(net(batch([bag.repeat(3, 1)])), expected)


def test_patients_together_equal_one_by_one() -> None:
    net, patients = small(), bags(3, 50, 1, 7, 7)
    alone = torch.cat([net(batch([bag])) for bag in patients])
    torch.testing.assert_close(net(batch(patients)), alone, atol=1e-6, rtol=1e-6)


def test_every_interval_has_its_own_attention() -> None:
    net = small()
    made = batch(bags(3, 5))
    seen = net.attended(made.bags("P"))
    torch.testing.assert_close(seen.weight[:3].sum(dim=0), torch.ones(4))
    before = net(made)
    with torch.no_grad():  # a branch whose scores change moves its own hazard alone
        net.attend.score.weight[2] += 5.0
    moved = (net(made) - before).abs().amax(dim=0)
    assert moved[2] > 1e-4
    assert (moved[[0, 1, 3]] == 0).all()


@pytest.mark.parametrize("form", ["off", "bin", "bin_all"])
def test_it_trains_and_predicts_with_every_instance_loss(form: str) -> None:
    config = CLAMMB.Config(**SMALL, epochs=1, instance_loss=form)
    method = CLAMMB(config).fit(sample_cohort(20))
    test = sample_cohort(6, seed=1, fold=None)
    assert np.isfinite(method.predict(test, missing="G").risk).all()


@pytest.mark.parametrize("preset", ["standard", *CLAMMB.presets])
def test_every_preset_builds(preset: str) -> None:
    net = CLAMMB(CLAMMB.preset(preset)).build(widths(patch=6)).eval()
    assert net(batch(bags(2, 5))).shape == (2, 4)
