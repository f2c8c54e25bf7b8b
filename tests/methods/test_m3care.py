import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from survbench.cohort import Cohort
from survbench.learn import Batch, Widths
from survbench.methods.m3care import Blend, Encoder, M3Care, M3CareConfig, M3CareNet, positions
from tests.methods.patients import cohort, everybody, never_read

TINY = M3CareConfig(width=16, heads=2, epochs=1, batch=16, neighbours=20)
GENE_GROUPS = (89, 334, 534, 471, 1510, 482)


@torch.enable_grad()
def fitted(data: Cohort | None = None, *, missing: str = "none", **options: Any) -> M3Care:
    method = M3Care(replace(TINY, **options), seed=1)
    return method.fit(cohort() if data is None else data, missing=missing)


@pytest.fixture(scope="module")
def care() -> M3Care:
    return fitted()


def test_reference_size() -> None:
    first = np.concatenate([[0], np.cumsum(GENE_GROUPS)]).tolist()
    groups = {str(i): tuple(range(first[i], first[i + 1])) for i in range(6)}
    widths = Widths({"P": 1536}, {"G": first[-1]}, {"G": groups}, 4, ("P", "G"))
    net = M3CareNet(M3CareConfig(), widths, bank=0)

    def size(name: str) -> int:
        return sum(p.numel() for p in net.get_submodule(name).parameters())

    unused = (256 + 1) + 2 * 256  # output layer and norm, which the notebook has and never reads
    assert size("first") == size("second") == 855_297 - unused
    assert size("similarity.project") * 3 == 592_128 * 2  # three streams there
    assert size("neighbours") * 3 == 394_752 * 2
    assert size("head.0") == 262_656
    square = 256 * 256 + 256
    bags = (1536 * 256 + 256) + 2 * square + (256 + 1) + square
    genes = sum(width * 256 + 256 + square for width in GENE_GROUPS) + (6 * 256 * 256 + 256)
    assert size("stems") == bags + genes
    small = 2 * 256 + 2 + 1 + 4 * 257 + 2 * 256 + (512 * 4 + 4)  # norm, scalars, gates, kinds, head
    parts = ("first", "second", "similarity.project", "neighbours", "head.0", "stems")
    assert sum(p.numel() for p in net.parameters()) == sum(map(size, parts)) + small


def test_positions_by_hand() -> None:
    expected = [[0, 1, 0, 1], [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)]]
    torch.testing.assert_close(positions(2, 4), torch.tensor(expected).float())


@torch.no_grad()
def test_the_encoder_has_no_norm_unless_asked() -> None:
    torch.manual_seed(0)
    token = torch.randn(3, 1, 16)
    net = Encoder(TINY, heads=2).eval()
    layer, value = net.layer, net.embed(token) + positions(1, 16)
    value = value + layer.out(layer.qkv(value)[..., 32:])  # one token attends to itself
    value = value + layer.down(layer.up(value).relu())
    torch.testing.assert_close(net(token), value.relu())
    normed = Encoder(replace(TINY, norm=True), heads=2)
    assert sum(p.numel() for p in normed.parameters()) == 4 * 16 + sum(
        p.numel() for p in net.parameters()
    )


@torch.no_grad()
def test_blends_weigh_what_is_told_and_what_is_had() -> None:
    torch.manual_seed(0)
    blend, (told, own) = Blend(16), torch.randn(2, 5, 16)
    first, second = blend.told(told).sigmoid(), blend.own(own).sigmoid()
    mixed = (first * told + second * own) / (first + second)
    present = torch.tensor([True, False, True, False, True])
    found = blend(told, own, present)
    torch.testing.assert_close(found[present], mixed[present])
    assert torch.equal(found[~present], told[~present])


@pytest.mark.parametrize("gone", ["P", "G"])
def test_what_is_recovered_depends_on_the_patient(care: M3Care, gone: str) -> None:
    found = care.predict(cohort(n=20, seed=5), missing=gone).recovered[gone]
    apart = np.abs(found[:, None] - found).max(axis=2)
    assert (apart[~np.eye(20, dtype=bool)] > 1e-5).mean() > 0.9


def test_with_the_official_mask_it_is_one_constant() -> None:
    found = fitted(official_mask=True).predict(cohort(n=20, seed=5), missing="G").recovered["G"]
    np.testing.assert_allclose(found, found[:1].repeat(20, axis=0), atol=1e-7)


@torch.no_grad()
def test_order_of_the_bank_changes_nothing(care: M3Care) -> None:
    batch = everybody(care, cohort(n=10, seed=5), missing="G@0.5")
    order = torch.randperm(len(care.net.bank))
    expected = care.net.seen(batch).logits
    torch.testing.assert_close(care.net.seen(batch, order).logits, expected)


@torch.no_grad()
def test_training_patients_do_not_hear_their_own_entry(care: M3Care) -> None:
    batch = everybody(care, cohort())
    drawn, places = torch.arange(40), care._places(batch)
    assert sorted(places.tolist()) == list(range(40))
    without = care.net.seen(batch, drawn, places)
    within = care.net.seen(batch)
    assert torch.equal(within.neighbours, without.neighbours + 1)


@pytest.mark.parametrize("gone", ["P", "G"])
def test_what_is_missing_is_never_read(care: M3Care, gone: str) -> None:
    never_read(care, gone)


def test_a_step_with_one_bank_sample_is_the_same_together_and_singly() -> None:
    from survbench.learn.buckets import selected

    method = fitted(neighbours=40)  # all of the bank, so that nothing is drawn
    batch = everybody(method, cohort(), missing="G@0.3")
    bank = {name: value.clone() for name, value in method.net.bank.state_dict().items()}
    method.net.eval()

    def loss(part: Batch) -> Tensor:
        method.net.bank.load_state_dict(bank)
        return method.loss(method.net, part).detach()

    together = loss(batch)
    for row in (0, 3, 11):
        alone = loss(selected(batch, torch.tensor([row])))
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)


def test_the_bank_is_refreshed_in_training_and_whole_afterwards(care: M3Care) -> None:
    method = fitted()
    batch = everybody(method, cohort())
    with torch.no_grad():
        vector, present = method.net.stems(batch)
    places = method._places(batch)
    torch.testing.assert_close(method.net.bank.vector[places], vector)
    assert torch.equal(method.net.bank.present[places], present)
    method.net.bank.vector.zero_()
    method.loss(method.net, batch)
    torch.testing.assert_close(method.net.bank.vector[places], vector)


def test_a_bank_may_be_smaller_than_the_fold() -> None:
    method = fitted(bank=15)
    assert len(method.net.bank) == 15
    assert bool(method.net.bank.present.all())
    assert bool(np.isfinite(method.predict(cohort(n=6), missing="G").risk).all())


def test_fidelity_and_neighbours_are_told(care: M3Care) -> None:
    prediction = care.predict(cohort(n=12, seed=5), missing="G@0.5")
    masked = np.isfinite(prediction.diagnostics["r2_recovered_G"])
    assert 0 < masked.sum() < 12
    assert bool(np.isnan(prediction.diagnostics["r2_recovered_P"]).all())
    assert bool((prediction.diagnostics["neighbours"] >= 0).all())
    assert 0 <= care.record["neighbours"] <= 40
    centre = care.latent_centre()
    for name, values in care.latents(care._scaled(cohort())).items():
        np.testing.assert_allclose(values.mean(axis=0), centre[name], atol=1e-5)


@pytest.mark.parametrize("missing", ["P@0.4", "G@0.4", "P@0.3+G@0.3", "P"])
def test_incomplete_training_patients_train(missing: str) -> None:
    method = fitted(missing=missing)
    for regime in ("none", "P", "G"):
        assert bool(np.isfinite(method.predict(cohort(n=6), missing=regime).risk).all())


def test_three_modalities_train_and_predict_with_any_of_them_missing() -> None:
    three = cohort(modalities=("P", "G", "R"))
    method = fitted(three, missing="R@0.3+G@0.2")
    for missing in ("none", "P", "G+R", "P@0.5+G@0.5+R@0.5"):
        assert bool(np.isfinite(method.predict(three, missing=missing).risk).all())


@torch.no_grad()
def test_modality_dropout_hides_one_of_complete_patients_in_training_alone() -> None:
    method = fitted(modality_dropout=1.0)
    batch = everybody(method, cohort(n=12, seed=5), missing="G@0.5")
    from survbench.learn.bank import Nodes

    nodes = Nodes(*method.net.stems(batch))
    assert method.net._shown(nodes) is nodes
    shown = method.net.train()._shown(nodes)
    assert bool((shown.present.sum(dim=1) == 1).all())
    assert bool((shown.vector[~shown.present] == 0).all())


@pytest.mark.parametrize("preset", ["standard", *M3Care.presets])
def test_every_preset_builds(preset: str, care: M3Care) -> None:
    net = M3Care(M3Care.preset(preset)).build(care.widths).eval()
    assert net(everybody(care, cohort(n=4))).shape == (4, care.widths.intervals)


@pytest.mark.parametrize(
    "options",
    [{"product_kernel": True}, {"average": False}, {"least": 0}, {"norm": True}],
)
def test_options_run(options: dict[str, Any]) -> None:
    prediction = fitted(**options).predict(cohort(n=6), missing="G")
    assert bool(np.isfinite(prediction.risk).all())


def test_a_saved_fit_predicts_the_same(care: M3Care, tmp_path: Path) -> None:
    care.save(tmp_path)
    data = cohort(n=8, seed=5)
    again = M3Care.load(tmp_path).predict(data, missing="P")
    assert np.array_equal(again.risk, care.predict(data, missing="P").risk)
