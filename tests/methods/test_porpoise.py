from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from survbench.cohort.demo import simulate
from survbench.errors import InputError, MissingModalityError
from survbench.learn import Batch
from survbench.learn.penalty import l1_norm
from survbench.methods.porpoise import PORPOISE, AMILNet, PORPOISEConfig, PORPOISENet, penalised
from tests.methods.patients import SIZES
from tests.parity.fixture import batch, widths

OVERLAP = {"a": range(3), "b": (4, 2, 3), "c": (5, 0)}
TINY: dict[str, Any] = {"hidden": 12, "attention": 8, "width": 16, "epochs": 1}
COMMAND_LINE = {"gate_path": False, "gate_gene": False, "skip": False, "input_dropout": 0.0}


def small(**options: Any) -> PORPOISENet:
    """Net for patches 6 wide and ten genes, fixed weights, eval mode."""
    torch.manual_seed(0)
    return PORPOISENet(PORPOISEConfig(**{**TINY, **options}), widths(patch=6, genes=SIZES)).eval()


def patients(*lengths: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    bags = [torch.randn(length, 6, generator=generator) for length in lengths]
    return batch(bags, torch.randn(len(lengths), 10, generator=generator))


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("genes", "patch", "options", "parameters"),
    [
        (3392, 1024, {}, 2_381_765),
        (3392, 1024, COMMAND_LINE, 2_250_693),
        (3392, 1536, {}, 2_643_909),
        (2191, 1024, {}, 2_074_309),
        (2191, 1024, COMMAND_LINE, 1_943_237),
        (2191, 1536, {}, 2_336_453),
    ],
)
def test_reference_size(genes: int, patch: int, options: Any, parameters: int) -> None:
    net = PORPOISENet(PORPOISEConfig(**options), widths(patch=patch, genes=genes))
    assert size(net) == parameters


def test_reference_size_of_each_part() -> None:
    net = PORPOISENet(PORPOISEConfig(), widths(patch=1024, genes=3392))
    found = {name: size(part) for name, part in net.named_children()}
    expected = {"pool": 787_713, "rho": 131_328, "genes": 934_400, "fuse": 527_296, "head": 1_028}
    assert found == expected


def test_reference_size_of_the_network_of_pathology_alone() -> None:
    assert size(AMILNet(PORPOISEConfig(use="P"), widths(patch=1024))) == 789_765


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, COMMAND_LINE, {"fusion": "concat"}, {"gene_net": "mlp"}])
def test_patients_together_equal_one_by_one(options: dict[str, Any]) -> None:
    net, whole = small(**options), patients(3, 50, 1, 7, 7)
    bags = whole.bags("P").features.split(whole.bags("P").length.tolist())
    genes = whole.genes("G").values
    alone = [net(batch([bag], genes[row : row + 1])) for row, bag in enumerate(bags)]
    torch.testing.assert_close(net(whole), torch.cat(alone), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_the_number_of_zero_patches_does_not_matter() -> None:
    net, genes = small(), patients(1).genes("G").values
    one, seven = (net(batch([torch.zeros(count, 6)], genes)) for count in (1, 7))
    torch.testing.assert_close(one, seven, atol=1e-6, rtol=1e-6)


def test_genes_of_several_groups_enter_as_often_or_once() -> None:
    sizes = widths(patch=6, genes=6)
    groups = {name: tuple(columns) for name, columns in OVERLAP.items()}
    shared = type(sizes)(sizes.patch, sizes.columns, {"G": groups}, 4, sizes.order)
    repeated = PORPOISENet(PORPOISEConfig(**TINY), shared)
    assert repeated.columns.tolist() == [0, 1, 2, 4, 2, 3, 5, 0]
    once = PORPOISENet(PORPOISEConfig(**TINY, repeat_genes=False), shared)
    assert once.columns.tolist() == [0, 1, 2, 3, 4, 5]


def test_dropout_is_where_the_official_network_has_it() -> None:
    net = small()
    rates = [each.p for each in net.pool.embed if isinstance(each, nn.Dropout)]
    assert rates == [0.1, 0.25]
    alpha = [each.p for each in net.genes.modules() if isinstance(each, nn.AlphaDropout)]
    assert alpha == [0.25, 0.25]
    plain = small(gene_net="mlp").genes
    assert not any(isinstance(each, nn.AlphaDropout | nn.ELU) for each in plain.modules())
    alone = AMILNet(PORPOISEConfig(**TINY, use="P"), widths(patch=6))
    assert [each.p for each in alone.pool.embed if isinstance(each, nn.Dropout)] == [0.0, 0.25]


@torch.no_grad()
def test_the_penalty_counts_gene_network_and_fusion_or_the_former() -> None:
    net = small()
    genes = sum(float(p.abs().sum()) for p in net.genes.parameters())
    fusion = sum(float(p.abs().sum()) for p in net.fuse.parameters())
    assert float(l1_norm(penalised(net, "omic"))) == pytest.approx(genes)
    assert float(l1_norm(penalised(net, "pathomic"))) == pytest.approx(genes + fusion)


def test_the_penalty_is_part_of_a_step_where_it_is_on() -> None:
    net = small()
    (plain,) = PORPOISE(PORPOISEConfig(**TINY)).stages()
    assert plain.penalty is None
    (stage,) = PORPOISE(PORPOISEConfig(**TINY, l1=0.5, l1_on="omic")).stages()
    assert stage.penalty is not None
    torch.testing.assert_close(stage.penalty(net), 0.5 * l1_norm(net.genes))
    (alone,) = PORPOISE(PORPOISEConfig(**TINY, l1=0.5, use="P")).stages()
    assert alone.penalty is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use": "G"}, "use 'G' is not known; use PG or P"),
        ({"gene_net": "rnn"}, "gene_net 'rnn' is not known"),
        ({"l1_on": "path"}, "l1_on 'path' is not known"),
    ],
)
def test_unknown_choices_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PORPOISEConfig(**options)


@pytest.mark.parametrize("missing", ["P@0.4", "G@0.4"])
def test_patients_may_lack_either_modality(missing: str) -> None:
    data = simulate(n=30, seed=3, patches=(2, 9))
    method = PORPOISE(PORPOISEConfig(**TINY, batch=8, l1=1e-4)).fit(data, missing=missing)
    assert method.record["train_cases"] == 30
    assert method.filled(data, missing=missing)
    assert bool(np.isfinite(method.predict(data, missing=missing).risk).all())


def test_pathology_alone_neither_needs_genes_nor_fills_patches() -> None:
    data = simulate(n=30, seed=3, patches=(2, 9))
    method = PORPOISE(PORPOISEConfig(**TINY, batch=8, use="P")).fit(data)
    whole = method.predict(data)
    assert not method.filled(data, missing="G")
    np.testing.assert_array_equal(method.predict(data, missing="G").risk, whole.risk)
    with pytest.raises(MissingModalityError):
        method.predict(data, missing="P")


@pytest.mark.parametrize("preset", ["standard", *PORPOISE.presets])
def test_every_preset_builds(preset: str) -> None:
    net = PORPOISE(PORPOISE.preset(preset)).build(widths(patch=6, genes=SIZES)).eval()
    assert net(patients(2, 5)).shape == (2, 4)
