from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from survbench.cohort import Bags, Cohort
from survbench.errors import InputError
from survbench.learn import Batch, Widths, nll_surv
from survbench.learn.drawn_bags import DrawnBags
from survbench.methods.smil import SMIL, SMILConfig, SMILNet
from tests.methods.patients import cohort, everybody, never_read

TINY = SMILConfig(width=8, hidden=8, priors=3, epochs=1, meta_epochs=1, batch=16)
GENE_GROUPS = (89, 334, 534, 471, 1510, 482)


@torch.enable_grad()
def fitted(data: Cohort | None = None, *, missing: str = "none", **options: Any) -> SMIL:
    method = SMIL(replace(TINY, **options), seed=1)
    return method.fit(cohort() if data is None else data, missing=missing)


@pytest.fixture(scope="module")
def smil() -> SMIL:
    return fitted()


def halves(batch: Batch) -> tuple[Batch, Batch]:
    from survbench.learn.buckets import selected

    rows = torch.arange(len(batch))
    return selected(batch, rows[::2]), selected(batch, rows[1::2])


def task(logits: Tensor, batch: Batch) -> Tensor:
    return nll_surv(logits, *batch.outcome)


def size(part: torch.nn.Module) -> int:
    return sum(p.numel() for p in part.parameters())


def test_size_by_hand() -> None:
    first = np.concatenate([[0], np.cumsum(GENE_GROUPS)]).tolist()
    groups = {str(i): tuple(range(first[i], first[i + 1])) for i in range(6)}
    widths = Widths({"P": 1536}, {"G": first[-1]}, {"G": groups}, 4, ("P", "G"))
    net = SMILNet(SMILConfig(), widths)
    square = 256 * 256 + 256
    bags = (1536 * 256 + 256) + 2 * square + (256 + 1)
    genes = sum(width * 256 + 256 + square for width in GENE_GROUPS) + (6 * 256 * 256 + 256)
    filler = (256 * 10 + 10) + (256 * 512 + 512) + (512 * 256 + 256)
    head = (512 * 256 + 256) + (256 * 4 + 4)
    assert size(net) == bags + genes + 2 * filler + head


@torch.no_grad()
def test_fillings_lie_in_the_convex_hull_of_the_priors(smil: SMIL) -> None:
    filler = smil._filler("G")
    weight = filler.weights(3 * torch.randn(50, 8))
    assert bool((weight > 0).all())
    torch.testing.assert_close(weight.sum(dim=1), torch.ones(50))
    made = filler(3 * torch.randn(50, 8))
    assert bool((made >= filler.priors.amin(dim=0) - 1e-6).all())
    assert bool((made <= filler.priors.amax(dim=0) + 1e-6).all())
    assert float(made.std(dim=0).max()) > 0  # it depends on the patient


def test_one_prior_fills_everybody_with_itself() -> None:
    method = fitted(priors=1)
    prediction = method.predict(cohort(n=6, seed=5), missing="G")
    prior = method._filler("G").priors.numpy()
    np.testing.assert_allclose(prediction.recovered["G"], np.tile(prior, (6, 1)), atol=1e-6)


def test_priors_are_k_means_centres_of_stage_a_features() -> None:
    method = fitted(meta_epochs=0)
    data = method._scaled(cohort())
    for name, values in method.latents(data).items():
        priors = method._filler(name).priors.double().numpy()
        nearest = np.square(values[:, None] - priors).sum(axis=2).argmin(axis=1)
        means = np.stack([values[nearest == one].mean(axis=0) for one in range(3)])
        np.testing.assert_allclose(priors, means, atol=1e-5)  # a fixed point of Lloyd's algorithm
        np.testing.assert_allclose(method.latent_centre()[name], values.mean(axis=0), atol=1e-6)


def test_an_inner_step_of_length_zero_changes_no_prediction() -> None:
    method = fitted(inner_lr=0.0)
    train, valid = halves(everybody(method, cohort(n=12)))
    step = method.net.meta_step(train, valid, 1, task, method.net.fusion.noise(len(train)))
    torch.testing.assert_close(step.complete.logits, method.net(valid))


@pytest.mark.parametrize("scope", ["available", "head"])
def test_the_inner_step_leaves_the_hidden_encoder_and_the_fillers(scope: str) -> None:
    method = fitted(inner_scope=scope)
    train, valid = halves(everybody(method, cohort(n=12)))
    noise = method.net.fusion.noise(len(train))
    step = method.net.meta_step(train, valid, 1, task, noise)
    own = dict(method.net.named_parameters())
    moved = {name for name, value in step.adapted.items() if not torch.equal(value, own[name])}
    expected = {n for n in own if n.startswith(("fusion.first", "fusion.last"))}
    if scope == "available":
        expected |= {n for n in own if n.startswith("stems.P")} - {"stems.P.attend.score.bias"}
    assert moved == expected  # a bias of softmaxed scores has no effect and no gradient


def test_gradients_reach_the_fillers_from_both_losses(smil: SMIL) -> None:
    train, valid = halves(everybody(smil, cohort(n=12)))
    net, noise = smil.net, smil.net.fusion.noise(6)
    parts = [net.fusion.fillers["G"].get_parameter(f"{n}.weight") for n in ("mix", "lift")]
    step = net.meta_step(train, valid, 1, task, noise)
    for loss in (task(step.noisy.logits, train), net.validation_loss(step, valid, task)):
        for gradient in torch.autograd.grad(loss.mean(), parts, retain_graph=True):
            assert float(gradient.abs().max()) > 0


def test_second_order_gradient_agrees_with_finite_differences() -> None:
    method = fitted(inner_lr=0.5)
    net = method.net.double().eval()
    train, valid = halves(everybody(method, cohort(n=12)))
    for batch in (train, valid):
        batch.bags("P").features = batch.bags("P").features.double()
        batch.genes("G").values = batch.genes("G").values.double()
        batch.event = batch.outcome[1].double()
    noise = net.fusion.noise(len(train))
    weight = net.get_parameter("fusion.last.weight")

    def outer() -> Tensor:
        step = net.meta_step(train, valid, 0, task, noise)
        return net.validation_loss(step, valid, task).mean()

    (gradient,) = torch.autograd.grad(outer(), [weight])
    slope, step = torch.zeros(2, dtype=torch.double), 1e-5
    for index, sign in enumerate((1, -1)):
        with torch.no_grad():
            weight[1, 2] += sign * step
        slope[index] = outer().detach()
        with torch.no_grad():
            weight[1, 2] -= sign * step
    torch.testing.assert_close(
        (slope[0] - slope[1]) / (2 * step), gradient[1, 2], rtol=1e-5, atol=0
    )


def test_the_loss_of_a_step_is_the_mean_of_each_half() -> None:
    method = fitted(inner_lr=0.0, match_feature=0.0, match_hidden=0.0)
    batch = everybody(method, cohort(n=13))
    for name in ("P", "G"):  # no noise to speak of, so that the passes can be told by hand
        for part in ("lift", "lift_hidden"):
            torch.nn.init.constant_(method._filler(name).get_parameter(f"{part}.bias"), -1e6)
    torch.manual_seed(0)
    loss = method.meta_loss(method.net, batch).detach()
    alone = []
    for gone in ("P", "G"):
        hidden = everybody(method, cohort(n=13), missing=gone)
        alone.append(task(method.net(hidden), hidden).detach())
    # 6 of 13 are for validation, 7 for the inner step; either modality may have been hidden
    scale = [loss / one for one in alone]
    assert any(
        sorted(round(float(x), 3) for x in one) == [round(13 / 7, 3)] * 7 + [round(13 / 6, 3)] * 6
        for one in scale
    )


@pytest.mark.parametrize("gone", ["P", "G"])
def test_what_is_missing_is_never_read(smil: SMIL, gone: str) -> None:
    never_read(smil, gone)


def test_fidelity_is_told_of_what_was_masked(smil: SMIL) -> None:
    prediction = smil.predict(cohort(n=12, seed=5), missing="G@0.5")
    masked = np.isfinite(prediction.diagnostics["r2_recovered_G"])
    assert 0 < masked.sum() < 12
    assert np.array_equal(masked, np.isfinite(prediction.diagnostics["cos_recovered_G"]))
    assert bool(np.isnan(prediction.diagnostics["r2_recovered_P"]).all())


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


def test_one_modality_is_refused() -> None:
    with pytest.raises(InputError, match="two modalities"):
        fitted(cohort(modalities=("G",)))


def test_stage_b_draws_patches_of_large_bags() -> None:
    method = fitted(patches=4)
    drawn = method.prepare(method.stages()[1], method._scaled(cohort())).modalities["P"]
    assert isinstance(drawn, DrawnBags)
    assert int(drawn.length.max()) == 4
    first = method.prepare(method.stages()[0], cohort()).modalities["P"]
    assert type(first) is Bags


@pytest.mark.parametrize("preset", ["standard", *SMIL.presets])
def test_every_preset_builds(preset: str, smil: SMIL) -> None:
    net = SMIL(SMIL.preset(preset)).build(smil.widths).eval()
    assert net(everybody(smil, cohort(n=4))).shape == (4, smil.widths.intervals)


@pytest.mark.parametrize(
    "options",
    [
        {"first_order": True},
        {"perturb": "multiply"},
        {"inner_steps": 2},
        {"weight_complete": 1.0},
    ],
)
def test_options_run(options: dict[str, Any]) -> None:
    prediction = fitted(**options).predict(cohort(n=6), missing="G")
    assert bool(np.isfinite(prediction.risk).all())


def test_a_saved_fit_predicts_the_same(smil: SMIL, tmp_path: Path) -> None:
    smil.save(tmp_path)
    data = cohort(n=8, seed=5)
    again = SMIL.load(tmp_path).predict(data, missing="P")
    assert np.array_equal(again.risk, smil.predict(data, missing="P").risk)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"perturb": "times"}, "perturb 'times'"), ({"inner_scope": "all"}, "inner_scope 'all'")],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(TINY, **options)
