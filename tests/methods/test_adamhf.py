from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from survbench.check import sample_cohort
from survbench.errors import InputError
from survbench.learn import BagBatch, Batch, nll_surv
from survbench.learn.buckets import selected
from survbench.learn.experts import ExpertLayer, ExpertStack
from survbench.methods.adamhf import AdaMHF, AdaMHFConfig, AdaMHFNet
from tests.parity.fixture import batch, widths

GENES = dict(zip("abcdef", (89, 334, 534, 471, 1510, 482), strict=True))
FEW = {"a": 3, "b": 5}
LITERAL: dict[str, Any] = {
    "attention": "nystrom",
    "expert_norm": "batch",
    "trained_gates": False,
    "selection": "vector",
}
SMALL: dict[str, Any] = {"width": 16, "gene_hidden": (8,), "heads": 2, "landmarks": 16}
SWITCHES: list[dict[str, Any]] = [
    {},
    LITERAL,
    {"experts": "mixture"},
    {"experts": "mlp"},
    {"experts": "none"},
    {"expert_layers": 1},
    {"expert_layers": 2},
    {"selection": "none"},
    {"preserve": False, "fixed_k": 3},
    {"fixed_k": 5, "fixed_alpha": 0.5},
    {"fusion": "outer"},
    {"fusion": "none"},
    {"epeg_residual": True},
    {"attention": "nystrom"},
]


def small(**options: Any) -> AdaMHFNet:
    """Net for patches 6 wide and two gene groups, fixed weights, eval mode, gates that differ."""
    torch.manual_seed(0)
    net = AdaMHFNet(AdaMHFConfig(**{**SMALL, **options}), widths(patch=6, genes=FEW))
    for name, weight in net.named_parameters():
        if name.endswith("class_token"):
            nn.init.normal_(weight)
    return net.eval()


def patients(*lengths: int, sizes: Mapping[str, int] = FEW, patch: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(1)
    bags = [torch.randn(length, patch, generator=generator) for length in lengths]
    genes = torch.randn(len(lengths), sum(sizes.values()), generator=generator)
    found = batch(bags, genes, widths(genes=sizes).groups["G"])
    found.interval = torch.arange(len(lengths)) % 4
    found.event = (torch.arange(len(lengths)) % 2).float()
    return found


def without(data: Batch, name: str, rows: list[int]) -> Batch:
    """The batch in which the patients `rows` lack a modality."""
    kept = torch.tensor([row for row in range(len(data)) if row not in rows])
    some = selected(data, kept).modalities[name]
    return replace(data, modalities={**data.modalities, name: replace(some, rows=kept)})


def size(part: nn.Module, *, trained: bool = False) -> int:
    return sum(p.numel() for p in part.parameters() if p.requires_grad or not trained)


@pytest.fixture(scope="module")
def reference() -> AdaMHFNet:
    return AdaMHFNet(AdaMHFConfig(**LITERAL), widths(patch=1024, genes=GENES)).eval()


def test_reference_size(reference: AdaMHFNet) -> None:
    sizes = {
        "embed.P": 328_192,
        "embed.G": 5_082_624,
        "segregate.P": 10_574_871,
        "segregate.P.experts": 10_044_167,
        "segregate.G": 3_223_575,
        "read.P": 263_168,
        "select": 461_059,
        "merge": 197_120,
        "fuse": 526_596,
        "head": 1_028,
    }
    assert {name: size(reference.get_submodule(name)) for name in sizes} == sizes
    assert size(reference) == 34_719_847
    assert size(reference, trained=True) == 28_413_031


@torch.no_grad()
def test_reference_flops(reference: AdaMHFNet) -> None:
    counter = FlopCounterMode(display=False)
    with counter:
        reference(patients(2048, sizes=GENES, patch=1024))
    # the dossier counts 57.06 GFLOP; a class token here meets the middle of a kernel alone, which
    # saves 8/9 of a 3 x 3 convolution over it, 2 x 3 experts, twice in two encoders
    saved = 2 * 2 * 6 * 8 * 2 * 256**2 / 1e9
    assert abs(counter.get_total_flops() / 1e9 + saved - 57.06) < 0.15


@torch.no_grad()
@pytest.mark.parametrize("role", ["P", "G"])
def test_what_an_expert_makes_does_not_grow_with_what_it_reads(role: str) -> None:
    torch.manual_seed(0)
    stack = small(width=64, heads=4).get_submodule(f"segregate.{role}.experts").train()
    assert isinstance(stack, ExpertStack)
    token = 1e4 * torch.randn(2, 1 + 4, 64)
    layers = [layer for layer in stack.layers if isinstance(layer, ExpertLayer)]
    made = [expert(token) for layer in layers for expert in layer.experts]
    assert len(made) == 1 + 2 + 4
    for one in made:
        torch.testing.assert_close(
            one.var(dim=2, correction=0), torch.ones(2, 5), atol=0.01, rtol=0
        )


def test_scores_that_see_the_class_token_have_the_size_of_their_layers() -> None:
    net = AdaMHFNet(AdaMHFConfig(width=32), widths(patch=6, genes=FEW))
    assert net.select is not None
    dense = 32 * 32 + 32
    heads = 2 * (32 * 16 + 16 + 16 + 1)
    score = (32 * 16 + 16) + (32 * 16 + 16) + (16 + 1)
    assert size(net.select) == dense + heads + score + 2 * dense


@torch.no_grad()
@pytest.mark.parametrize("options", SWITCHES)
def test_patients_together_equal_one_by_one(options: dict[str, Any]) -> None:
    net, data = small(**options), patients(3, 30, 1, 9, 9)
    together = net.judge(data)
    assert bool(together.logits.isfinite().all())
    for row in range(5):
        alone = net.judge(selected(data, torch.tensor([row])))
        for name in ("logits", "drift", "load"):
            one, all_ = getattr(alone, name)[0], getattr(together, name)[row]
            torch.testing.assert_close(all_, one, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_company_changes_nothing_in_training() -> None:
    net, data = small(dropout=0.0, attention_dropout=0.0).train(), patients(3, 30, 9)
    together = net(data)
    alone = torch.cat([net(selected(data, torch.tensor([row]))) for row in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("gone", ["P", "G"])
def test_a_stream_that_is_left_out_leaves_its_class_tokens_and_zeros(gone: str) -> None:
    net = small(absent="skip")
    here = "G" if gone == "P" else "P"
    data = without(patients(3, 30, 9, 9), gone, [1, 3])
    logits = net(data)
    full = net(patients(3, 30, 9, 9))
    torch.testing.assert_close(logits[[0, 2]], full[[0, 2]], atol=1e-5, rtol=1e-5)
    alone = selected(data, torch.tensor([1]))
    own = net.segregate[here](net.tokens(alone, here))
    assert net.select is not None
    assert net.fuse is not None
    mixed = net.integrate[here](net.select(own.tokens, own.leading))
    mean = mixed.tokens.features.mean(dim=0, keepdim=True)
    units = (net.segregate[gone], net.integrate[gone])
    learnt = torch.stack([unit.get_parameter("class_token")[0, 0] for unit in units]).mean(dim=0)
    leading = {here: (own.leading + mixed.leading) / 2, gone: learnt[None]}
    local = {here: mean, gone: torch.zeros_like(mean)}
    fused = net.merge(torch.cat([leading["P"], leading["G"]], dim=1))
    fused = fused + 0.05 * net.fuse(local["P"], local["G"])
    torch.testing.assert_close(logits[1:2], net.head(fused), atol=1e-5, rtol=1e-5)
    drift = (mixed.leading - own.leading).abs().mean()
    torch.testing.assert_close(net.judge(data).drift[1], drift, atol=1e-5, rtol=1e-5)


def reached(net: AdaMHFNet) -> set[str]:
    """Parts of the net that the loss of some patients moves."""
    data = patients(3, 30, 9, 20, 2, 14, 7, 11)
    AdaMHF(net.config).loss(net, data).sum().backward()
    found = set()
    for name, weight in net.named_parameters():
        if weight.grad is not None and bool(weight.grad.any()):
            found |= {part for part in ("gate", "score", "reduce", "router") if f".{part}." in name}
    return found


def test_gates_scores_and_router_learn_unless_literal() -> None:
    assert reached(small()) == {"gate", "score", "reduce", "router"}
    assert reached(small(trained_gates=False)) == set()
    assert reached(small(fixed_k=4, fixed_alpha=0.5)) == {"gate", "score", "reduce"}


def test_training_moves_no_frozen_layer() -> None:
    method = AdaMHF(replace(AdaMHF.preset("quick"), epochs=1, batch=8), seed=1)
    method.fit(sample_cohort(24, seed=1))
    fresh = method.build(method.widths).state_dict()
    after = method.net.state_dict()
    frozen = [name for name in fresh if ".layers." in name and ".residual." in name]
    assert len(frozen) == 4 * 2 * 4  # encoders, layers of `quick`, tensors of an MLP
    for name in frozen:
        torch.testing.assert_close(after[name], fresh[name], atol=0, rtol=0)


def test_loss_is_likelihood_drift_and_load() -> None:
    data = patients(3, 9)
    for options in ({"alignment": 0.0}, {"alignment": 2.0, "balance": 0.1}):
        net = small(**options)
        said = net.judge(data)
        expected = nll_surv(said.logits, *data.outcome)
        expected = expected + options["alignment"] * said.drift
        expected = expected + options.get("balance", 0.0) * said.load
        torch.testing.assert_close(AdaMHF(net.config).loss(net, data), expected)


def test_drift_pulls_the_second_class_token_to_the_first_and_never_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, data = small(), patients(3, 9)
    own = {role: net.segregate[role](net.tokens(data, role)) for role in ("P", "G")}
    cut = {
        role: BagBatch(bags.features.detach(), bags.length, bags.rows)
        for role, bags in net.exchanged(own).items()
    }
    monkeypatch.setattr(net, "exchanged", lambda _: cut)
    drift = net.judge(data).drift
    pairs = [(own[role].leading, net.integrate[role](cut[role]).leading) for role in ("P", "G")]
    expected = sum((mixed - first).abs().mean(dim=1) for first, mixed in pairs)
    torch.testing.assert_close(drift, expected)
    drift.sum().backward()
    assert all(p.grad is None for p in net.segregate.parameters())
    assert any(p.grad is not None for p in net.integrate.parameters())


@torch.no_grad()
def test_patches_are_drawn_in_training_alone() -> None:
    net, data = small(patches=4, dropout=0.0, attention_dropout=0.0), patients(30, 3)
    torch.testing.assert_close(net(data), net(data), atol=0, rtol=0)
    assert net.tokens(data, "P").length.tolist() == [30, 3]
    net.train()
    assert net.tokens(data, "P").length.tolist() == [4, 3]
    first, again = net(data), net(data)
    assert not torch.allclose(first[0], again[0])
    torch.testing.assert_close(first[1], again[1])


@torch.no_grad()
def test_beta_weighs_the_local_features() -> None:
    data = patients(9, 4)
    at = {beta: small(beta=beta)(data) for beta in (0.0, 0.5, 1.0)}
    none = small(fusion="none")
    none.load_state_dict(small().state_dict(), strict=False)
    torch.testing.assert_close(at[0.0], none(data))
    torch.testing.assert_close(at[1.0] - at[0.5], at[0.5] - at[0.0])


@pytest.mark.parametrize("missing", ["P@0.4", "G@0.4"])
@pytest.mark.parametrize("absent", ["zero", "skip"])
def test_incomplete_patients_train_and_are_predicted(absent: str, missing: str) -> None:
    config = replace(AdaMHF.preset("quick"), epochs=1, absent=absent)
    method = AdaMHF(config, seed=1).fit(sample_cohort(24, seed=1), missing=missing)
    assert method.record["train_cases"] == 24
    test = sample_cohort(8, seed=2, fold=None)
    for regime in ("none", "P", "G", "P@0.5+G@0.5"):
        assert bool(np.isfinite(method.predict(test, missing=regime).risk).all())
    assert method.filled(test, missing="P") == (absent == "zero")
    assert (method.tolerates == {"P", "G"}) == (absent == "skip")


@torch.no_grad()
def test_what_is_left_out_is_never_read() -> None:
    net, data = small(absent="skip"), patients(3, 30, 9)
    some = without(data, "P", [1])
    clean = net(some)
    bags = some.bags("P")
    bags.features.fill_(torch.nan)
    found = net(some)
    torch.testing.assert_close(found[1], clean[1], atol=0, rtol=0)
    assert bool(found[[0, 2]].isnan().any())


@pytest.mark.parametrize("preset", ["standard", *AdaMHF.presets])
def test_every_preset_builds(preset: str) -> None:
    config = replace(AdaMHF.preset(preset), gene_hidden=(8,), width=32)
    net = AdaMHF(config).build(widths(patch=6, genes=FEW)).eval()
    logits: Tensor = net(patients(2, 5))
    assert logits.shape == (2, 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"absent": "mean"}, "absent 'mean' is not known; use zero or skip"),
        ({"experts": "all"}, "experts 'all' is not known"),
        ({"fixed_k": 0}, "fixed_k is 0; it must be at least 1"),
        ({"fixed_alpha": 1.5}, "fixed_alpha is 1.5; it must be between 0 and 1"),
    ],
)
def test_options_nobody_knows_are_errors(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        AdaMHFConfig(**options)
