import math
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch

from survbench.cohort import Cohort, Regime
from survbench.cohort.demo import simulate
from survbench.errors import InputError
from survbench.learn import nll_surv
from survbench.learn.buckets import selected
from survbench.methods.shaspec import (
    Composition,
    ShaSpec,
    ShaSpecConfig,
    ShaSpecNet,
    aligned_pairs,
    alignment,
    domain_loss,
    random_subset,
    standardised,
)
from tests.methods.patients import everybody, never_read
from tests.parity.fixture import widths

SMALL = ShaSpecConfig(width=16, epochs=2, batch=16)
GENE_GROUPS = {"a": 89, "b": 334, "c": 534, "d": 471, "e": 1510, "f": 482}


def cohort(n: int = 30, seed: int = 3, modalities: tuple[str, ...] = ("P", "G")) -> Cohort:
    return simulate(n=n, seed=seed, patches=(2, 30), modalities=modalities)


@torch.enable_grad()
def fitted(data: Cohort | None = None, *, missing: str = "none", **options: Any) -> ShaSpec:
    method = ShaSpec(replace(SMALL, **options), seed=1)
    return method.fit(cohort() if data is None else data, missing=missing)


@pytest.fixture(scope="module")
def shaspec() -> ShaSpec:
    return fitted()


def vectors(count: int, present: list[list[bool]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors (B, M, 16), zero where absent, and who has what."""
    has = torch.tensor(present)
    drawn = torch.randn(*has.shape, 16, generator=torch.Generator().manual_seed(count))
    return drawn * has[..., None], has


def net_of(count: int, **options: Any) -> ShaSpecNet:
    """Net of `count` bag modalities, eval mode."""
    torch.manual_seed(0)
    names = tuple("ABCD"[:count])
    sizes = replace(widths(patch=6), patch=dict.fromkeys(names, 6), order=names)
    return ShaSpecNet(replace(SMALL, **options), sizes).eval()


def test_size_by_hand_and_of_the_official_parts() -> None:
    net = ShaSpecNet(ShaSpecConfig(), widths(patch=1024, genes=GENE_GROUPS))
    square = 256 * 256 + 256

    def size(part: torch.nn.Module) -> int:
        return sum(p.numel() for p in part.parameters())

    assert size(net.stems["P"]) == 1024 * 256 + 256 + 2 * square + 257
    genes = sum(256 * width + 256 + square for width in GENE_GROUPS.values())
    assert size(net.stems["G"]) == genes + 6 * 256 * 256 + 256
    assert size(net.shared) == size(net.specific["P"]) == size(net.specific["G"]) == 2 * square
    assert size(net.compose) * 27 == 3_538_944  # the official 3x3x3 convolution
    assert size(net.domain) == 2 * 257
    assert size(net_of(4, width=256).domain) == 1_028  # official, four modalities
    assert size(net.head) == 2 * 256 * 256 + 256 + 4 * 257


@torch.no_grad()
def test_present_modalities_are_composed_and_absent_ones_take_the_shared_feature() -> None:
    net = net_of(3)
    vector, present = vectors(4, [[True] * 3, [True, False, False], [False, True, True]])
    found = net.features(vector, present)
    both = torch.cat([found.shared, found.specific], dim=2)
    composed = found.shared + both @ net.compose.linear.weight.T
    torch.testing.assert_close(found.fused[present], composed[present])
    torch.testing.assert_close(found.fused[1, 1], found.shared[1, 0])
    torch.testing.assert_close(found.fused[1, 2], found.shared[1, 0])
    torch.testing.assert_close(found.fused[2, 0], found.shared[2, 1:].mean(dim=0))


@torch.no_grad()
def test_of_two_modalities_mean_and_first_are_the_same() -> None:
    vector, present = vectors(5, [[True, False], [False, True], [True, True]])
    mean, first = (net_of(2, absent=rule).features(vector, present) for rule in ("mean", "first"))
    torch.testing.assert_close(mean.fused, first.fused)


@torch.no_grad()
@pytest.mark.parametrize(("rule", "invariant"), [("mean", True), ("first", False)])
def test_the_order_of_modalities_matters_to_the_rule_first_alone(
    rule: str, invariant: bool
) -> None:
    net = net_of(3, absent=rule)
    vector, present = vectors(6, [[False, True, True]])
    expected = net.features(vector, present).fused[0, 0]
    found = []
    encoders = dict(net.specific.items())
    for order in permutations(range(3)):
        net.specific = torch.nn.ModuleDict({"ABC"[m]: encoders["ABC"[m]] for m in order})
        turned = net.features(vector[:, order], present[:, order])
        found.append(torch.allclose(turned.fused[0, order.index(0)], expected, atol=1e-6))
    assert all(found) is invariant


@torch.no_grad()
@pytest.mark.parametrize("options", [{"standardise": True}, {"normalise": True}])
def test_a_composition_may_standardise_or_normalise(options: dict[str, bool]) -> None:
    torch.manual_seed(0)
    compose = Composition(8, **options)
    shared, specific = torch.randn(3, 8), torch.randn(3, 8)
    expected = compose(shared, specific)
    if "normalise" in options:  # the length of what the residual reads does not matter
        torch.testing.assert_close(compose(shared, 5 * specific), expected)
    else:  # nor do the scale and the offset of each row of the weight
        compose.linear.weight.mul_(3).add_(1)
        torch.testing.assert_close(compose(shared, specific), expected)


def test_standardised_rows_have_mean_zero_and_variance_one() -> None:
    weight = standardised(torch.randn(5, 3, 2, 2))
    torch.testing.assert_close(weight.flatten(1).mean(dim=1), torch.zeros(5), atol=1e-6, rtol=0)
    torch.testing.assert_close(weight.flatten(1).var(dim=1), torch.ones(5))


@pytest.mark.parametrize(
    ("count", "kind", "pairs"),
    [
        (1, "ring", []),
        (1, "ring_double", []),
        (2, "ring", [(0, 1)]),
        (2, "ring_double", [(0, 1), (1, 0)]),
        (2, "all", [(0, 1)]),
        (3, "ring", [(0, 1), (1, 2), (2, 0)]),
        (4, "ring", [(0, 1), (1, 2), (2, 3), (3, 0)]),
        (4, "all", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
    ],
)
def test_which_modalities_are_aligned(count: int, kind: str, pairs: list[tuple[int, int]]) -> None:
    assert aligned_pairs(count, kind) == pairs


def test_alignment_counts_pairs_that_are_there() -> None:
    shared = torch.tensor([[[0.0, 0.0], [1.0, 3.0], [2.0, 2.0]]]).expand(3, -1, -1)
    counted = torch.tensor([[True, True, True], [True, True, False], [False, False, True]])
    # |a - b| = (1 + 3) / 2, |b - c| = 1, |c - a| = 2
    torch.testing.assert_close(alignment(shared, counted, "ring"), torch.tensor([5.0, 2.0, 0.0]))
    assert (alignment(torch.ones(2, 3, 4), counted[:2], "all") == 0).all()
    assert alignment(shared[:, :1], counted[:, :1], "ring").tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_modalities_nobody_can_tell_cost_log_of_their_number(count: int) -> None:
    counted = torch.tensor([[True] * count, [True] + [False] * (count - 1)])
    loss = domain_loss(torch.full((2, count, count), 0.7), counted)
    torch.testing.assert_close(loss, torch.full((2,), math.log(count)))


@torch.no_grad()
def test_loss_by_hand(shaspec: ShaSpec) -> None:
    batch = everybody(shaspec, cohort(n=10, seed=5), missing="G@0.5")
    net = shaspec.net
    found = net.features(*net.stems(batch))
    has = found.present
    apart = (found.shared[:, 0] - found.shared[:, 1]).abs().mean(dim=1)
    logits = net.domain(found.specific)
    told = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.arange(2).repeat(10), reduction="none"
    ).reshape(10, 2)
    told = torch.where(has.all(dim=1), told.mean(dim=1), told[:, 0])
    expected = nll_surv(net(batch), *batch.outcome) + 0.02 * told
    expected = expected + 0.1 * torch.where(has.all(dim=1), apart, torch.zeros(10))
    assert not has.all()
    torch.testing.assert_close(shaspec.loss(net, batch), expected)


@torch.no_grad()
def test_the_official_losses_count_zeroed_inputs_too() -> None:
    method = fitted(absent_losses=True, weight_domain=0.0)
    batch = everybody(method, cohort(n=10, seed=5), missing="G")
    vector, _ = method.net.stems(batch)
    shared = method.net.shared(vector)  # of zeros for G
    apart = (shared[:, 0] - shared[:, 1]).abs().mean(dim=1)
    expected = nll_surv(method.net(batch), *batch.outcome) + 0.1 * apart
    assert (apart > 0).all()
    torch.testing.assert_close(method.loss(method.net, batch), expected)


@torch.no_grad()
@pytest.mark.parametrize("missing", ["none", "G@0.3+P@0.3"])
def test_patients_together_equal_one_by_one(shaspec: ShaSpec, missing: str) -> None:
    batch = everybody(shaspec, cohort(n=12, seed=5), missing=missing)
    loss, logits = shaspec.loss(shaspec.net, batch), shaspec.net(batch)
    for row in range(len(batch)):
        alone = selected(batch, torch.tensor([row]))
        torch.testing.assert_close(loss[row], shaspec.loss(shaspec.net, alone)[0])
        torch.testing.assert_close(logits[row], shaspec.net(alone)[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("gone", ["P", "G"])
def test_what_is_missing_is_never_read(shaspec: ShaSpec, gone: str) -> None:
    never_read(shaspec, gone)


@torch.no_grad()
def test_the_recovered_feature_is_the_shared_one_of_the_other_modality(shaspec: ShaSpec) -> None:
    batch = everybody(shaspec, cohort(n=12, seed=5), missing="G@0.5")
    found = shaspec.net.features(*shaspec.net.stems(batch))
    absent = ~found.present[:, 1]
    recovered = shaspec.infer(batch).recovered
    torch.testing.assert_close(recovered["G"][absent], found.shared[absent, 0])
    assert bool(recovered["G"][~absent].isnan().all())
    assert bool(recovered["P"].isnan().all())


def test_fidelity_is_told_of_what_was_masked(shaspec: ShaSpec) -> None:
    data = cohort(n=12, seed=5)
    prediction = shaspec.predict(data, missing="G@0.5")
    true, made = shaspec.latents(shaspec._scaled(data))["G"], prediction.recovered["G"]
    masked = np.isfinite(made[:, 0])
    error = np.square(true - made).sum(axis=1)[masked]
    spread = np.square(true - shaspec.latent_centre()["G"]).sum(axis=1)[masked]
    assert 0 < masked.sum() < 12
    np.testing.assert_allclose(
        prediction.diagnostics["r2_recovered_G"][masked], 1 - error / spread, rtol=1e-6
    )


def test_the_centre_is_the_training_mean() -> None:
    data = cohort(n=20)
    method = fitted(data, missing="P@0.5")
    true = method.latents(method._scaled(Regime.parse("P@0.5").apply(data).cohort))
    for name, centre in method.latent_centre().items():
        np.testing.assert_allclose(centre, np.nanmean(true[name], axis=0), atol=1e-5)


@pytest.mark.parametrize("missing", ["P@0.4", "G@0.4", "P@0.3+G@0.3", "P"])
def test_it_trains_with_anything_missing(missing: str) -> None:
    prediction = fitted(missing=missing).predict(cohort(n=6, seed=5), missing=missing)
    assert bool(np.isfinite(prediction.risk).all())


def test_three_modalities_train_and_predict_with_any_of_them_missing() -> None:
    three = cohort(modalities=("P", "G", "R"))
    method = fitted(three, missing="R@0.3+G@0.2")
    for missing in ("none", "P", "G+R", "P@0.5+G@0.5+R@0.5"):
        prediction = method.predict(three, missing=missing)
        assert bool(np.isfinite(prediction.risk).all())
    assert list(method.net.names) == ["P", "G", "R"]


def test_one_modality_has_nothing_to_align() -> None:
    prediction = fitted(cohort(modalities=("G",))).predict(cohort(n=6, modalities=("G",)))
    assert bool(np.isfinite(prediction.risk).all())


def test_random_subsets_hold_every_number_of_modalities_equally_often() -> None:
    torch.manual_seed(0)
    present = torch.tensor([[True, True, True], [True, False, True]]).repeat_interleave(3000, dim=0)
    kept = random_subset(present)
    assert not (kept & ~present).any()
    number = kept.sum(dim=1)
    assert number.min() == 1
    for rows, most in ((slice(0, 3000), 3), (slice(3000, 6000), 2)):
        share = torch.bincount(number[rows], minlength=4)[1 : most + 1] / 3000
        torch.testing.assert_close(share, torch.full((most,), 1 / most), atol=0.03, rtol=0)
        mean = kept[rows].float().mean(dim=0)
        spread = mean[present[rows][0]]
        torch.testing.assert_close(spread, spread.mean().expand_as(spread), atol=0.03, rtol=0)


def test_modality_dropout_starts_after_a_third_of_the_epochs() -> None:
    losses = fitted(modality_dropout=True, epochs=6).record["losses"]
    assert {name: len(loss) for name, loss in losses.items()} == {"complete": 2, "subsets": 4}


@pytest.mark.parametrize("preset", ["standard", *ShaSpec.presets])
def test_every_preset_builds(preset: str) -> None:
    config = replace(ShaSpec.preset(preset), epochs=1)
    method = ShaSpec(config).fit(cohort(n=12))
    assert method.predict(cohort(n=5, seed=4)).survival is not None


@pytest.mark.parametrize(("name", "value"), [("absent", "last"), ("pairs", "none")])
def test_wrong_options_are_refused(name: str, value: str) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(InputError, match=f"{name} '{value}'"):
        ShaSpecConfig(**options)
