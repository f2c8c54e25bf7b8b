from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from survbench.check import sample_cohort
from survbench.cohort import Bags
from survbench.errors import InputError
from survbench.learn.clusters import Centres
from survbench.methods.deepattnmisl import DeepAttnMISL, DeepAttnMISLConfig, DeepAttnMISLNet
from tests.methods.patients import bags
from tests.parity.fixture import batch, widths

SMALL: dict[str, Any] = {"clusters": 3, "hidden": 16, "attention": 8, "rho": 8}
FORMS: list[dict[str, Any]] = [{}, {"mask_empty": False}, {"form": "original"}]


def small(**options: Any) -> DeepAttnMISLNet:
    """Net for patches 6 wide, fixed weights, eval mode; the first columns decide the cluster."""
    torch.manual_seed(0)
    config = DeepAttnMISLConfig(**{**SMALL, **options})
    centres = Centres(np.eye(config.clusters, 6), np.zeros(config.clusters))
    return DeepAttnMISLNet(config, widths(patch=6), centres).eval()


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("preset", "patch", "intervals", "parameters"),
    [
        ("standard", 1024, 4, 8_532_485),
        ("standard", 1536, 4, 11_153_925),
        ("original", 4096, 1, 266_434),
        ("deepsets", 1024, 4, 657_156),
    ],
)
def test_reference_size(preset: str, patch: int, intervals: int, parameters: int) -> None:
    method = DeepAttnMISL(DeepAttnMISL.preset(preset))
    assert size(method.build(widths(patch=patch, intervals=intervals))) == parameters


@pytest.mark.parametrize("options", FORMS)
def test_order_and_duplication_of_patches_change_nothing(options: dict[str, Any]) -> None:
    net, (bag,) = small(**options), bags(13)
    expected = net(batch([bag]))
    torch.testing.assert_close(net(batch([bag.flip(0)])), expected)
    torch.testing.assert_close(net(batch([bag.repeat(3, 1)])), expected)


@pytest.mark.parametrize("options", FORMS)
def test_patients_together_equal_one_by_one(options: dict[str, Any]) -> None:
    net, patients = small(**options), bags(3, 50, 1, 7, 7)
    alone = torch.cat([net(batch([bag])) for bag in patients])
    torch.testing.assert_close(net(batch(patients)), alone, atol=1e-6, rtol=1e-6)


def test_clusters_have_no_order_but_nets_of_their_own() -> None:
    net, bag = small(), batch(bags(13)).bags("P")
    cluster = torch.arange(13) % 3
    before = net.read(bag, cluster).logits
    turned = torch.tensor([2, 0, 1])[cluster]
    assert (net.read(bag, turned).logits - before).abs().max() > 1e-5
    net.phenotype = nn.ModuleList([net.phenotype[1], net.phenotype[2], net.phenotype[0]])
    torch.testing.assert_close(net.read(bag, turned).logits, before)


def test_the_original_shares_one_layer_so_that_clusters_have_no_identity() -> None:
    net, bag = small(form="original"), batch(bags(13)).bags("P")
    cluster = torch.arange(13) % 3
    turned = torch.tensor([2, 0, 1])[cluster]
    torch.testing.assert_close(net.read(bag, turned).logits, net.read(bag, cluster).logits)


def test_every_patch_goes_through_the_net_of_its_cluster() -> None:
    net, (bag,) = small(), bags(13)
    bag[:, 2] = -9.0  # nobody is in the last cluster
    cluster = (bag[:, 1] > bag[:, 0]).long()
    seen = net.read(batch([bag]).bags("P"), net.assign(bag))
    for c in (0, 1):
        torch.testing.assert_close(seen.mean[0, c], net.phenotype[c](bag[cluster == c]).mean(0))
    assert seen.present.tolist() == [[True, True, False]]
    assert (seen.mean[0, 2] == 0).all()


def test_empty_clusters_have_no_attention_unless_asked() -> None:
    cluster = torch.tensor([0, 1, 1])
    for mask_empty in (True, False):
        net = small(mask_empty=mask_empty)
        seen = net.read(batch(bags(3)).bags("P"), cluster)
        assert (seen.weight[0, 2] == 0) == mask_empty
        torch.testing.assert_close(seen.weight.sum(dim=1), torch.ones(1))
    assert net.embed(torch.zeros(16)).abs().max() > 0  # what an empty cluster then adds


def test_one_cluster_is_its_own_patient_vector() -> None:
    net, (bag,) = small(), bags(4)
    seen = net.read(batch([bag]).bags("P"), torch.ones(4, dtype=torch.long))
    token = net.embed(net.phenotype[1](bag).mean(dim=0))
    torch.testing.assert_close(seen.pooled[0], token)


def test_clusters_without_patches_in_a_step_still_have_a_gradient() -> None:
    net = small().train()
    net.read(batch(bags(4)).bags("P"), torch.ones(4, dtype=torch.long)).logits.sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name


def test_clusters_come_from_the_training_patches_and_are_saved(tmp_path: Path) -> None:
    method = DeepAttnMISL(DeepAttnMISLConfig(**SMALL, epochs=1), seed=2)
    train, test = sample_cohort(30), sample_cohort(12, seed=1, fold=None)
    method.fit(train)
    assert isinstance(method.net, DeepAttnMISLNet)
    shown = method._transforms.apply(train).modalities["P"]
    assert isinstance(shown, Bags)
    patches = torch.as_tensor(shown.gather(range(30)))
    assert sorted(method.net.assign(patches).unique().tolist()) == [0, 1, 2]
    method.save(tmp_path)
    again = DeepAttnMISL.load(tmp_path)
    assert isinstance(again.net, DeepAttnMISLNet)
    assert torch.equal(again.net.assign.weight, method.net.assign.weight)
    assert np.array_equal(again.predict(test).risk, method.predict(test).risk)


def test_another_seed_draws_other_clusters_of_many_patches() -> None:
    train, weight = sample_cohort(30), []
    for seed in (1, 2):
        method = DeepAttnMISL(DeepAttnMISLConfig(**SMALL, epochs=0, patches=1), seed=seed)
        method.fit(train)
        weight.append(method.net.get_buffer("assign.weight"))
    assert not torch.equal(*weight)


@pytest.mark.parametrize("options", [*FORMS, {"form": "deepsets"}, {"l1": 1e-3}])
def test_it_trains_and_predicts_in_every_form(options: dict[str, Any]) -> None:
    method = DeepAttnMISL(DeepAttnMISLConfig(**SMALL, epochs=1, **options)).fit(sample_cohort(20))
    assert np.isfinite(method.predict(sample_cohort(6, seed=1, fold=None), missing="G").risk).all()


def test_deep_sets_sum_their_patches() -> None:
    net = DeepAttnMISL(DeepAttnMISLConfig(**SMALL, form="deepsets")).build(widths(patch=6)).eval()
    (bag,) = bags(5)
    token = net.get_submodule("embed")(bag).sum(dim=0)
    expected = net.get_submodule("head")(net.get_submodule("rho")(token))
    torch.testing.assert_close(net(batch([bag]))[0], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "cox"}, "form 'cox'"),
        ({"clusters": 0}, "clusters is 0"),
        ({"patches": 0}, "patches is 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DeepAttnMISLConfig(**options)


@pytest.mark.parametrize("preset", ["standard", *DeepAttnMISL.presets])
def test_every_preset_builds(preset: str) -> None:
    net = DeepAttnMISL(DeepAttnMISL.preset(preset)).build(widths(patch=6)).eval()
    assert net(batch(bags(2, 5))).shape == (2, 4)
