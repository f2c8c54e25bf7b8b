from typing import Any

import numpy as np
import pytest
import torch

from survbench.cohort.demo import simulate
from survbench.errors import InputError
from survbench.learn import nll_surv, risk_of
from survbench.learn.gene_guided import GeneGuided
from survbench.methods import motcat
from survbench.methods.motcat import MOTCat, MOTCatConfig, micro_batches
from tests.methods.patients import BLCA, GROUPS, ROUND, SIZES, one_of, patients
from tests.parity.fixture import batch, widths

TINY: dict[str, Any] = {"width": 16, "heads": 4, "hidden": 24, "epochs": 1}


def small(**options: Any) -> GeneGuided:
    """Net for patches 6 wide and three gene groups, fixed weights, eval mode."""
    torch.manual_seed(0)
    return motcat.network(MOTCatConfig(**{**TINY, **options}), widths(patch=6, genes=SIZES)).eval()


def micro() -> MOTCat:
    """Method with micro-batches and the weights of `small`."""
    method = MOTCat(MOTCatConfig(**TINY, micro_batch=4))
    method.build(widths(patch=6, genes=SIZES))
    method.net = small()
    return method


@pytest.mark.parametrize(
    ("patch", "genes", "fusion", "parameters"),
    [
        (1024, BLCA, "concat", 4_228_870),
        (1024, BLCA, "bilinear", 4_427_974),
        (1024, ROUND, "concat", 3_898_118),
        (1024, ROUND, "bilinear", 4_097_222),
        (1536, BLCA, "concat", 4_228_870 + 131_072),
    ],
)
def test_reference_size(patch: int, genes: dict[str, int], fusion: Any, parameters: int) -> None:
    net = motcat.network(MOTCatConfig(fusion=fusion), widths(patch=patch, genes=genes))
    assert sum(p.numel() for p in net.parameters()) == parameters


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [{}, {"fusion": "bilinear"}, {"kernel": "kl"}, {"transport": "balanced"}, {"eps": 0.05}],
)
def test_patients_together_equal_one_by_one(options: dict[str, Any]) -> None:
    net, whole = small(**options), patients(3, 50, 1, 7, 7)
    alone = torch.cat([net(one_of(whole, row)) for row in range(5)])
    torch.testing.assert_close(net(whole), alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_order_of_patches_does_not_matter() -> None:
    net, whole = small(), patients(9)
    turned = batch([whole.bags("P").features.flip(0)], whole.genes("G").values, GROUPS)
    torch.testing.assert_close(net(turned), net(whole), atol=1e-5, rtol=1e-5)


def test_concepts_give_no_gradient_to_the_genes() -> None:
    net, whole = small(), patients(5, 3)
    bags = whole.bags("P")
    concept = net.guide(net.genes(whole.genes("G")), net.embed(bags.features), bags)
    concept.square().sum().backward()
    assert all(parameter.grad is None for parameter in net.genes.parameters())
    weight = net.embed[0].get_parameter("weight").grad
    assert weight is not None
    assert bool(weight.abs().sum() > 0)


def test_gradients_reach_every_parameter() -> None:
    net = small()
    net(patients(5, 20)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name


def test_a_bag_is_cut_into_parts_of_about_equal_size() -> None:
    whole = patients(1, 3, 4, 9)
    parts, count = micro_batches(whole, 4)
    expected = [part for n in (1, 3, 4, 9) for part in np.array_split(np.arange(n), n // 4 + 1)]
    assert parts.bags("P").length.tolist() == [len(part) for part in expected]
    assert count.tolist() == [1, 1, 2, 3]  # as many patches as fit give two parts, as official
    torch.testing.assert_close(parts.bags("P").features, whole.bags("P").features)
    torch.testing.assert_close(parts.genes("G").values[-3:], whole.genes("G").values[[3, 3, 3]])
    assert parts.outcome[0].tolist() == [0, 1, 2, 2, 3, 3, 3]
    _, alone = micro_batches(patients(1, 2), 1)
    assert alone.tolist() == [1, 2]  # no part is empty


def test_the_loss_is_the_mean_over_the_parts() -> None:
    net, one, method = small(), patients(9), micro()
    order = micro().shuffles.fresh(one.case_id, one.bags("P"))
    bag, genes = one.bags("P").features[order], one.genes("G").values
    parts = [net(batch([bag[i : i + 3]], genes, GROUPS)) for i in (0, 3, 6)]
    mean = torch.stack([nll_surv(logits, *one.outcome) for logits in parts]).mean(dim=0)
    torch.testing.assert_close(method.loss(net, one), mean, atol=1e-5, rtol=1e-5)


def test_the_loss_of_patients_together_is_that_of_each() -> None:
    net, whole = small(), patients(9, 2, 5)
    alone = torch.cat([micro().loss(net, one_of(whole, row)) for row in range(3)])
    torch.testing.assert_close(micro().loss(net, whole), alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_risk_is_the_mean_over_the_parts() -> None:
    method, whole = micro(), patients(9, 2)
    found = risk_of(method.infer(whole).logits)
    bags, genes = whole.bags("P").features, whole.genes("G").values
    parts = [method.net(batch([bags[i : i + 3]], genes[:1], GROUPS)) for i in (0, 3, 6)]
    mean = torch.cat([risk_of(logits) for logits in parts]).mean()
    torch.testing.assert_close(found[0].float(), mean, atol=1e-5, rtol=1e-5)
    alone = risk_of(method.net(one_of(whole, 1)))
    torch.testing.assert_close(found[1:].float(), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"micro_batch": 4}, {"transport": "balanced"}])
@pytest.mark.parametrize("missing", ["P@0.4", "G@0.4"])
def test_patients_may_lack_either_modality(missing: str, options: dict[str, Any]) -> None:
    data = simulate(n=30, seed=3, patches=(2, 9))
    method = MOTCat(MOTCatConfig(**TINY, batch=8, **options)).fit(data, missing=missing)
    assert method.record["train_cases"] == 30
    assert method.filled(data, missing=missing)
    assert bool(np.isfinite(method.predict(data, missing=missing).risk).all())


def test_a_micro_batch_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="micro_batch is 0"):
        MOTCatConfig(micro_batch=0)


@pytest.mark.parametrize("preset", ["standard", *MOTCat.presets])
def test_every_preset_builds(preset: str) -> None:
    net = MOTCat(MOTCat.preset(preset)).build(widths(patch=6, genes=SIZES)).eval()
    assert net(patients(2, 5)).shape == (2, 4)
