import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from survbench.cohort import Regime
from survbench.cohort.demo import simulate
from survbench.learn import Batch
from survbench.methods.survpath import SurvPath, SurvPathConfig, SurvPathNet
from tests.methods.patients import BLCA, GROUPS, SIZES
from tests.parity.fixture import batch, widths


def small(**options: Any) -> SurvPathNet:
    """Net for patches 6 wide and three gene groups, fixed weights, eval mode."""
    torch.manual_seed(0)
    config = SurvPathConfig(**{"width": 16, **options})
    return SurvPathNet(config, widths(patch=6, genes=SIZES)).eval()


def patients(*lengths: int) -> tuple[list[Tensor], Tensor]:
    """Bags of these lengths, and a gene row for each."""
    generator = torch.Generator().manual_seed(1)
    bags = [torch.randn(length, 6, generator=generator) for length in lengths]
    return bags, torch.randn(len(lengths), 10, generator=generator)


def logits(net: SurvPathNet, bags: list[Tensor], genes: Tensor) -> Tensor:
    found: Tensor = net(batch(bags, genes, GROUPS))
    return found


@pytest.mark.parametrize(
    ("patch", "parameters"), [(768, 1_610_564), (1024, 1_676_100), (1536, 1_807_172)]
)
def test_reference_size(patch: int, parameters: int) -> None:
    net = SurvPathNet(SurvPathConfig(), widths(patch=patch, genes=BLCA))
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_patients_together_equal_one_by_one() -> None:
    net, (bags, genes) = small(), patients(3, 50, 1, 7, 7)
    alone = torch.cat([logits(net, [bags[i]], genes[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(logits(net, bags, genes), alone, atol=1e-6, rtol=1e-6)


def test_order_of_patches_changes_nothing() -> None:
    net, ([bag], genes) = small(), patients(13)
    torch.testing.assert_close(logits(net, [bag.flip(0)], genes), logits(net, [bag], genes))


def test_attention_is_one_softmax_without_the_pairs_of_patches() -> None:
    net, (bags, genes) = small(), patients(4, 9)
    patient = batch(bags, genes, GROUPS)
    gene, patch = net.gene(patient.genes("G")), net.patch(patient.bags("P").features)
    gene_read, patch_read = net.attend(gene, patch, patient.bags("P"))
    for row, here in ((0, slice(0, 4)), (1, slice(4, 13))):
        token = torch.cat([gene[row], patch[here]])
        q, k, v = net.attend.project(token)
        score = q @ k.mT / math.sqrt(8)
        score[3:, 3:] = -torch.inf  # the three groups come first
        read = score.softmax(dim=1) @ v
        torch.testing.assert_close(gene_read[row], read[:3])
        torch.testing.assert_close(patch_read[here], read[3:])


def test_a_patch_reads_nothing_but_gene_groups() -> None:
    net, ([bag], genes) = small(), patients(5)
    other = bag.clone()
    other[1:] += 1

    def read(bag: Tensor) -> Tensor:
        one = batch([bag], genes, GROUPS)
        patch: Tensor = net.attend(net.gene(one.genes("G")), net.patch(bag), one.bags("P"))[1]
        return patch

    torch.testing.assert_close(read(other)[0], read(bag)[0], atol=0, rtol=0)
    assert not torch.allclose(read(other)[1:], read(bag)[1:])


def test_the_number_of_zero_patches_matters_so_that_one_stands_in() -> None:
    net, (_, genes) = small(), patients(1)
    one, fifty = (logits(net, [torch.zeros(count, 6)], genes) for count in (1, 50))
    assert float((one - fifty).detach().abs().max()) > 1e-4


@pytest.mark.parametrize("gone", ["P", "G"])
def test_an_absent_modality_is_predicted_as_zeros(gone: str) -> None:
    data = simulate(n=30, seed=3, patches=(2, 9))
    method = SurvPath(SurvPathConfig(width=16, epochs=1, batch=8), seed=1).fit(data)
    assert method.filled(data, missing=gone)
    seen = method._scaled(Regime.parse("none").apply(data).cohort)
    patient = Batch.of(seen, np.arange(30))
    if gone == "P":
        patient.modalities = {
            **patient.modalities,
            **batch([torch.zeros(1, seen.modalities["P"].width)] * 30).modalities,
        }
    else:
        patient.genes("G").values.zero_()
    with torch.no_grad():
        expected = method.infer(patient).logits.sigmoid()
    survival = method.predict(data, missing=gone).survival
    assert survival is not None
    found = 1 - survival / np.column_stack([np.ones(30), survival[:, :-1]])
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("missing", ["P@0.4", "G@0.4"])
def test_training_patients_may_lack_either_modality(missing: str) -> None:
    data = simulate(n=30, seed=3, patches=(2, 9))
    config = SurvPathConfig(width=16, epochs=1, batch=8)
    method = SurvPath(config).fit(data, missing=missing)
    assert method.record["train_cases"] == 30
    assert bool(np.isfinite(method.predict(data, missing=missing).risk).all())


def test_gradients_reach_every_parameter() -> None:
    net, (bags, genes) = small(), patients(5, 20)
    logits(net, bags, genes).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("preset", ["standard", *SurvPath.presets])
def test_every_preset_builds(preset: str) -> None:
    net = SurvPath(SurvPath.preset(preset)).build(widths(patch=6, genes=SIZES)).eval()
    assert net(batch(*patients(2, 5), GROUPS)).shape == (2, 4)
