from typing import Any

import numpy as np
import pytest
import torch

from survbench.cohort.demo import simulate
from survbench.errors import InputError
from survbench.learn.gene_guided import GeneGuided
from survbench.methods.mcat import MCAT, MCATConfig
from tests.methods.patients import BLCA, GROUPS, ROUND, SIZES, patients
from tests.parity.fixture import batch, widths

TINY: dict[str, Any] = {"width": 16, "heads": 4, "hidden": 24, "epochs": 1}


def small(**options: Any) -> GeneGuided:
    """Net for patches 6 wide and three gene groups, fixed weights, eval mode."""
    torch.manual_seed(0)
    return GeneGuided.of(MCATConfig(**{**TINY, **options}), widths(patch=6, genes=SIZES)).eval()


@pytest.mark.parametrize(
    ("patch", "genes", "fusion", "parameters"),
    [
        (1024, BLCA, "concat", 4_492_038),
        (1024, BLCA, "bilinear", 4_691_142),
        (1024, ROUND, "concat", 4_161_286),
        (1024, ROUND, "bilinear", 4_360_390),
        (1536, BLCA, "concat", 4_492_038 + 131_072),
    ],
)
def test_reference_size(patch: int, genes: dict[str, int], fusion: Any, parameters: int) -> None:
    net = GeneGuided.of(MCATConfig(fusion=fusion), widths(patch=patch, genes=genes))
    assert sum(p.numel() for p in net.parameters()) == parameters


@torch.no_grad()
@pytest.mark.parametrize("fusion", ["concat", "bilinear"])
def test_patients_together_equal_one_by_one(fusion: str) -> None:
    net, whole = small(fusion=fusion), patients(3, 50, 1, 7, 7)
    bags = whole.bags("P").features.split(whole.bags("P").length.tolist())
    genes = whole.genes("G").values
    alone = [net(batch([bag], genes[row : row + 1], GROUPS)) for row, bag in enumerate(bags)]
    torch.testing.assert_close(net(whole), torch.cat(alone), atol=1e-6, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("fusion", ["concat", "bilinear"])
def test_the_number_of_zero_patches_does_not_matter(fusion: str) -> None:
    net, genes = small(fusion=fusion), patients(1).genes("G").values
    one, seven = (net(batch([torch.zeros(count, 6)], genes, GROUPS)) for count in (1, 7))
    torch.testing.assert_close(one, seven, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_the_order_of_patches_does_not_matter() -> None:
    net, whole = small(), patients(9)
    turned = batch([whole.bags("P").features.flip(0)], whole.genes("G").values, GROUPS)
    torch.testing.assert_close(net(turned), net(whole), atol=1e-6, rtol=1e-5)


def test_the_genes_learn_through_their_queries_too() -> None:
    net, whole = small(), patients(5, 3)
    bags = whole.bags("P")
    gene = net.genes(whole.genes("G"))
    concept = net.guide(gene, net.embed(bags.features), bags)
    (grad,) = torch.autograd.grad(concept.square().sum(), gene)
    assert bool(grad.abs().sum() > 0)


def test_dropout_is_one_rate() -> None:
    net = small(fusion="bilinear", dropout=0.5)
    kinds = (torch.nn.Dropout, torch.nn.AlphaDropout)
    assert {each.p for each in net.modules() if isinstance(each, kinds)} == {0.5}


@pytest.mark.parametrize("fusion", ["concat", "bilinear"])
def test_gradients_reach_every_parameter(fusion: str) -> None:
    torch.manual_seed(0)
    net = small(fusion=fusion)
    net(patients(5, 20, 8)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name


def test_an_unknown_fusion_is_refused() -> None:
    with pytest.raises(InputError, match="fusion is 'lrb'"):
        small(fusion="lrb")


@pytest.mark.parametrize("missing", ["P@0.4", "G@0.4"])
def test_patients_may_lack_either_modality(missing: str) -> None:
    data = simulate(n=30, seed=3, patches=(2, 9))
    method = MCAT(MCATConfig(**TINY, batch=8)).fit(data, missing=missing)
    assert method.record["train_cases"] == 30
    assert method.filled(data, missing=missing)
    assert bool(np.isfinite(method.predict(data, missing=missing).risk).all())


@pytest.mark.parametrize("preset", ["standard", *MCAT.presets])
def test_every_preset_builds(preset: str) -> None:
    net = MCAT(MCAT.preset(preset)).build(widths(patch=6, genes=SIZES)).eval()
    assert net(patients(2, 5)).shape == (2, 4)
