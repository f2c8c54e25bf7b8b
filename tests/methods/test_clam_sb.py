from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from survbench.check import sample_cohort
from survbench.learn.clam import ClusteringNet
from survbench.methods.clam_sb import CLAMSB
from tests.methods.patients import bags
from tests.parity.fixture import batch, widths

SMALL: dict[str, Any] = {"hidden": 16, "attention": 8}


def small(**options: Any) -> ClusteringNet:
    """Net for patches 6 wide, fixed weights, eval mode."""
    torch.manual_seed(0)
    net = CLAMSB(CLAMSB.Config(**{**SMALL, **options})).build(widths(patch=6)).eval()
    assert isinstance(net, ClusteringNet)
    return net


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("options", "patch", "parameters"),
    [
        ({}, 1024, 793_869),
        ({}, 1536, 1_056_013),
        (CLAMSB.presets["big"], 1024, 925_325),
        (CLAMSB.presets["big"], 1536, 1_187_469),
        (CLAMSB.presets["motcat"], 1024, 397_325),
    ],
)
def test_reference_size(options: dict[str, Any], patch: int, parameters: int) -> None:
    config = CLAMSB.Config(**options, instance_loss="bin")
    assert size(CLAMSB(config).build(widths(patch=patch))) == parameters
    unused = 4 * (2 * config.hidden + 2)  # instance classifiers
    without = CLAMSB(CLAMSB.Config(**options)).build(widths(patch=patch))
    assert size(without) == parameters - unused


@pytest.mark.parametrize("options", [{}, {"gated": False}])
def test_order_and_duplication_of_patches_change_nothing(options: dict[str, Any]) -> None:
    net, (bag,) = small(**options), bags(13)
    expected = net(batch([bag]))
    torch.testing.assert_close(net(batch([bag.flip(0)])), expected)
    torch.testing.assert_close(net(batch([bag.repeat(3, 1)])), expected)


def test_one_patch_is_its_own_patient_vector() -> None:
    net, (patch,) = small(), bags(1)
    torch.testing.assert_close(net(batch([patch])), net.head(net.embed(patch)))


def test_patients_together_equal_one_by_one() -> None:
    net, patients = small(), bags(3, 50, 1, 7, 7)
    alone = torch.cat([net(batch([bag])) for bag in patients])
    torch.testing.assert_close(net(batch(patients)), alone, atol=1e-6, rtol=1e-6)


def test_all_intervals_share_one_attention() -> None:
    net = small()
    seen = net.attended(batch(bags(3, 5)).bags("P"))
    assert seen.weight.shape == (8, 1)
    torch.testing.assert_close(seen.weight[:3].sum(), torch.tensor(1.0))


@pytest.mark.parametrize("form", ["off", "bin", "bin_all"])
@pytest.mark.parametrize("kind", ["ce", "svm"])
def test_it_trains_and_predicts_with_every_instance_loss(form: str, kind: str) -> None:
    config = CLAMSB.Config(**SMALL, epochs=1, instance_loss=form, instance_kind=kind)
    method = CLAMSB(config).fit(sample_cohort(20))
    test = sample_cohort(6, seed=1, fold=None)
    assert np.isfinite(method.predict(test, missing="G").risk).all()


@pytest.mark.parametrize("preset", ["standard", *CLAMSB.presets])
def test_every_preset_builds(preset: str) -> None:
    net = CLAMSB(CLAMSB.preset(preset)).build(widths(patch=6)).eval()
    assert net(batch(bags(2, 5))).shape == (2, 4)
