import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from survbench.cohort import Cohort, Regime
from survbench.cohort.demo import simulate
from survbench.errors import InputError, MissingModalityError
from survbench.learn import Batch, nll_surv
from survbench.learn.buckets import selected
from survbench.learn.variational import Ramp
from survbench.methods.ldcvae import CONDITION, IMAGE, JOINT, LDCVAE, LDCVAEConfig, LDCVAENet
from tests.parity.fixture import batch as batch_of
from tests.parity.fixture import widths

GENE_GROUPS = dict(zip("abcdef", (89, 334, 534, 471, 1510, 482), strict=True))
UNUSED = 65_792  # parameters of a layer that the official code has and never calls
TINY = LDCVAEConfig(
    width=16,
    hidden=16,
    gene_hidden=16,
    decoder_hidden=16,
    landmarks=64,
    batch=16,
    epochs=2,
    warm_epochs=1,
)


def cohort(n: int = 30, seed: int = 3, modalities: tuple[str, ...] = ("P", "G")) -> Cohort:
    return simulate(n=n, seed=seed, patches=(2, 30), modalities=modalities)


@torch.enable_grad()
def fitted(data: Cohort | None = None, *, missing: str = "none", **options: Any) -> LDCVAE:
    method = LDCVAE(replace(TINY, **options), seed=1)
    return method.fit(cohort() if data is None else data, missing=missing)


@pytest.fixture(scope="module")
def ldcvae() -> LDCVAE:
    return fitted()


def everybody(method: LDCVAE, n: int = 10, missing: str = "none") -> Batch:
    """Patients in one training batch, as the suite hands them to the method."""
    seen = method._scaled(Regime.parse(missing).apply(cohort(n=n, seed=5)).cohort)
    batch = Batch.of(seen, np.arange(n))
    batch.interval = torch.arange(n) % method.widths.intervals
    batch.event = (torch.arange(n) % 2).float()
    return batch


def noise_for(batch: Batch, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(batch), 3 + 6, 16, generator=generator)


def size(part: torch.nn.Module) -> int:
    return sum(p.numel() for p in part.parameters())


@pytest.mark.parametrize(
    ("patch", "parameters"), [(768, 13_433_882), (1024, 17_259_546), (1536, 28_056_602)]
)
def test_reference_size(patch: int, parameters: int) -> None:
    net = LDCVAENet(LDCVAEConfig(project=None), widths(patch=patch, genes=GENE_GROUPS))
    assert size(net) + UNUSED == parameters


def test_reference_size_of_the_parts() -> None:
    net = LDCVAENet(LDCVAEConfig(), widths(patch=768, genes=GENE_GROUPS))
    assert size(net.patch_encoder) == 4_989_712
    assert size(net.gene_encoder) + size(net.gene_decoder) == 3_943_680
    assert size(net.backbone.genes) == 1_271_808


def test_wide_patches_are_projected_before_the_variational_transformer() -> None:
    wide, raw = (
        LDCVAENet(LDCVAEConfig(project=project), widths(patch=1536, genes=GENE_GROUPS))
        for project in (512, None)
    )
    narrow = LDCVAENet(LDCVAEConfig(), widths(patch=512, genes=GENE_GROUPS))
    assert size(wide.patch_encoder) - size(narrow.patch_encoder) == 1536 * 512 + 512
    assert size(raw.patch_encoder) > 19_000_000
    assert wide.backbone.embed[0].in_features == 1536


@torch.no_grad()
@pytest.mark.parametrize("missing", ["none", "G@0.5", "G"])
def test_patients_together_equal_one_by_one(ldcvae: LDCVAE, missing: str) -> None:
    batch, net = everybody(ldcvae, missing=missing), ldcvae.net
    noise = noise_for(batch)
    logits = net(batch, noise)
    for row in range(len(batch)):
        alone = selected(batch, torch.tensor([row]))
        found = net(alone, noise[row : row + 1])[0]
        torch.testing.assert_close(logits[row], found, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_step_has_one_gradient_with_noise_given_computed_together_or_singly(
    ldcvae: LDCVAE, epoch: int
) -> None:
    batch, net = everybody(ldcvae), ldcvae.net
    noise = noise_for(batch)
    method = LDCVAE(TINY)
    method.ramp = Ramp(patients=10, batch=10, epochs=2)
    method.ramp.advance(10 * epoch)
    gradients = []
    for parts in (torch.arange(10)[None], torch.arange(10)[:, None]):
        net.zero_grad(set_to_none=True)
        for rows in parts:
            loss = method.noisy_loss(net, selected(batch, rows), noise[rows])
            (loss.sum() / 10).backward()
        gradients.append({n: p.grad for n, p in net.named_parameters() if p.grad is not None})
    assert any(name.startswith("backbone.genes") for name in gradients[0]) is (epoch == 0)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_real_tokens_reach_the_backbone_in_the_warm_up_alone(ldcvae: LDCVAE) -> None:
    batch, net = everybody(ldcvae), ldcvae.net
    noise, method = noise_for(batch), LDCVAE(replace(TINY, weight_kl=0.0))
    method.ramp = Ramp(patients=10, batch=10, epochs=2)
    warm = method.noisy_loss(net, batch, noise)
    method.ramp.advance(10)
    joint = method.noisy_loss(net, batch, noise)
    real, present = net.gene_tokens(batch)
    made, _ = net.decode(net.posteriors(batch, real, present), noise)
    likelihood = [nll_surv(net.logits(batch, token), *batch.outcome) for token in (real, made)]
    torch.testing.assert_close(warm - joint, likelihood[0] - likelihood[1], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_loss_by_hand(ldcvae: LDCVAE) -> None:
    batch, net = everybody(ldcvae), ldcvae.net
    noise = noise_for(batch)
    real, present = net.gene_tokens(batch)
    found = net.posteriors(batch, real, present)
    made, parts = net.decode(found, noise)
    assert parts is not None

    def divergence(mean: Tensor, logvar: Tensor) -> Tensor:
        return (-0.5 * (1 - logvar.exp() - mean**2 + logvar)).flatten(1).mean(dim=1)

    image, gene = found.image, found.gene
    drawn = image.mean + noise[:, IMAGE] * (image.logvar / 2).exp()
    align = (gene.mean - image.mean) ** 2 + (gene.logvar.exp() - image.logvar.exp()).abs()
    latents = [(one.mean, one.logvar) for one in (image, gene, found.joint, parts)]
    expected = (
        nll_surv(net.logits(batch, made), *batch.outcome)
        + nll_surv(net.patch_head(drawn), *batch.outcome)
        + ((made - real) ** 2).flatten(1).mean(dim=1)
        + 0.1 * align.mean(dim=1)
        + 0.1 * torch.stack([divergence(*one) for one in latents]).sum(dim=0)
    )
    assert ldcvae.ramp.weight == 1
    torch.testing.assert_close(ldcvae.noisy_loss(net, batch, noise), expected)


@torch.no_grad()
def test_without_genes_one_draw_of_prior_and_patches_is_latent_and_condition(
    ldcvae: LDCVAE,
) -> None:
    batch, net = everybody(ldcvae, missing="G"), ldcvae.net
    found = net.posteriors(batch, *net.gene_tokens(batch))
    noise = noise_for(batch)
    other = noise.clone()
    other[:, CONDITION] = 7.0  # of complete patients only
    made, _ = net.decode(found, noise)
    torch.testing.assert_close(net.decode(found, other)[0], made)
    precision = 1 / found.image.logvar.exp()
    torch.testing.assert_close(found.joint.variance, 1 / (1 + precision))
    latent = found.joint.draw(noise[:, JOINT])
    expected, _ = net.gene_decoder(latent, latent, noise[:, 3:])
    torch.testing.assert_close(made, expected)


@torch.no_grad()
def test_complete_patients_never_have_their_real_tokens_read(ldcvae: LDCVAE) -> None:
    batch, net = everybody(ldcvae), ldcvae.net
    real, present = net.gene_tokens(batch)
    made, _ = net.decode(net.posteriors(batch, real, present), net.noiseless(batch))
    torch.testing.assert_close(net(batch), net.logits(batch, made))
    assert not torch.allclose(made, real, atol=0.1)


def test_pathology_is_never_made(ldcvae: LDCVAE) -> None:
    with pytest.raises(MissingModalityError, match="6 of 6 test patients lack P"):
        ldcvae.predict(cohort(n=6), missing="P")


@torch.no_grad()
def test_missing_genes_are_never_read(ldcvae: LDCVAE) -> None:
    batch = everybody(ldcvae, missing="G@0.5")
    clean = ldcvae.infer(batch).logits
    genes = batch.genes("G")
    absent = sorted(set(range(10)) - set(genes.rows.tolist()))
    genes.values.fill_(math.nan)
    found = ldcvae.infer(batch).logits
    assert absent
    assert torch.equal(found[absent], clean[absent])
    assert bool(found[genes.rows].isnan().all())


def test_draws_belong_to_the_patient(ldcvae: LDCVAE) -> None:
    batch = everybody(ldcvae)
    (noise,) = ldcvae._noise(batch)
    (again,) = ldcvae._noise(selected(batch, torch.tensor([7, 2])))
    assert torch.equal(again, noise[[7, 2]])
    assert not torch.allclose(noise[0], noise[1])


@torch.no_grad()
def test_several_draws_average_survival(ldcvae: LDCVAE) -> None:
    data = cohort(n=8, seed=5)
    several = LDCVAE(replace(TINY, draws=3), seed=1)
    vars(several).update({n: v for n, v in vars(ldcvae).items() if n != "config"})
    batch = Batch.of(several._scaled(data), np.arange(8))
    noise = several._noise(batch)
    assert len(noise) == 3
    assert torch.equal(noise[0], ldcvae._noise(batch)[0])
    survival = [(1 - ldcvae.net(batch, one).sigmoid()).cumprod(dim=1) for one in noise]
    found = several.predict(data).survival
    assert found is not None
    np.testing.assert_allclose(found, torch.stack(survival).mean(dim=0), atol=1e-6)


@torch.no_grad()
def test_means_need_no_draw() -> None:
    method = fitted(mean=True)
    batch = everybody(method, missing="G@0.5")
    torch.testing.assert_close(method.infer(batch).logits, method.net(batch))


def test_recovered_tokens_are_told_of_what_was_masked(ldcvae: LDCVAE) -> None:
    data = cohort(n=12, seed=5)
    prediction = ldcvae.predict(data, missing="G@0.5")
    true, made = ldcvae.latents(ldcvae._scaled(data))["G"], prediction.recovered["G"]
    masked = np.isfinite(made[:, 0])
    assert made.shape == (12, 6 * 16)
    assert 0 < masked.sum() < 12
    error = np.square(true - made).sum(axis=1)[masked]
    spread = np.square(true - ldcvae.latent_centre()["G"]).sum(axis=1)[masked]
    found = prediction.diagnostics["r2_recovered_G"]
    np.testing.assert_allclose(found[masked], 1 - error / spread, rtol=1e-6)
    assert bool(np.isnan(found[~masked]).all())


def test_the_centre_is_the_training_mean() -> None:
    data = cohort()
    method = fitted(data)
    true = method.latents(method._scaled(data))["G"]
    np.testing.assert_allclose(method.latent_centre()["G"], true.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("missing", ["P@0.4", "G@0.4"])
def test_training_takes_patients_with_both(missing: str) -> None:
    data = cohort()
    kept = Regime.parse(missing).apply(data).cohort.present.to_numpy().all(axis=1)
    method = fitted(data, missing=missing)
    assert method.record["train_cases"] == kept.sum() < len(data)
    assert bool(np.isfinite(method.predict(cohort(n=6, seed=5), missing="G").risk).all())


def test_training_without_any_genes_is_refused() -> None:
    with pytest.raises(InputError, match="no training patient"):
        fitted(missing="G")


@torch.no_grad()
def test_the_shared_decoder_has_no_latents_of_groups() -> None:
    method = fitted(decoder="shared")
    batch, net = everybody(method), method.net
    found = net.posteriors(batch, *net.gene_tokens(batch))
    noise = noise_for(batch)
    made, parts = net.decode(found, noise)
    assert parts is None
    other = noise.clone()
    other[:, 3:] = 0.0
    torch.testing.assert_close(net.decode(found, other)[0], made)


@torch.no_grad()
def test_posteriors_can_be_held_within_a_limit(ldcvae: LDCVAE) -> None:
    batch, limit = everybody(ldcvae), 1e-3
    held = ldcvae.build(ldcvae.widths)
    held.load_state_dict(ldcvae.net.state_dict())
    held.eval().limit = limit
    found = held.posteriors(batch, *held.gene_tokens(batch))
    free = ldcvae.net.posteriors(batch, *ldcvae.net.gene_tokens(batch))
    assert float(free.image.logvar.abs().max()) > limit
    torch.testing.assert_close(found.image.logvar, free.image.logvar.clamp(-limit, limit))
    torch.testing.assert_close(found.gene.logvar, free.gene.logvar.clamp(-limit, limit))


@torch.no_grad()
@pytest.mark.parametrize("width", [1, 7])
def test_any_patch_width_and_number_of_groups_can_be_read(width: int) -> None:
    net = LDCVAENet(TINY, widths(patch=width, genes={"all": 3})).eval()
    logits = net(batch_of([torch.randn(1, width), torch.randn(40, width)], torch.randn(2, 3)))
    assert bool(logits.isfinite().all())


@pytest.mark.parametrize("preset", ["standard", *LDCVAE.presets])
def test_every_preset_builds(preset: str) -> None:
    config = replace(LDCVAE.preset(preset), epochs=1, warm_epochs=0)
    method = LDCVAE(config).fit(cohort(n=8))
    assert method.predict(cohort(n=5, seed=4)).survival is not None


@pytest.mark.parametrize(
    ("options", "message"), [({"decoder": "own"}, "decoder 'own'"), ({"draws": 0}, "draws is 0")]
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LDCVAEConfig(**options)
