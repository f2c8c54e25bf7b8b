import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from survbench.errors import InputError
from survbench.learn import packed
from survbench.learn.denoiser_training import Lesson, train_denoisers
from survbench.learn.diffusion import (
    Denoiser,
    DiffusionOptions,
    LatentDiffusion,
    NoiseModel,
    ddim,
    ddim_times,
    linear_betas,
    noised,
    signal_levels,
)

LEVEL = signal_levels(linear_betas())
SMALL = DiffusionOptions(width=8, heads=2, denoiser_layers=2, ddim_steps=10, diffusion_steps=40)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noise_around(latent: Tensor) -> NoiseModel:
    """The noise model that knows the latent: eps = (z_t - sqrt(a_t) z_0) / sqrt(1 - a_t)."""
    return lambda state, t: (state - LEVEL[t].sqrt() * latent) / (1 - LEVEL[t]).sqrt()


def test_signal_falls_from_one_along_the_printed_products() -> None:
    assert float(LEVEL[0]) == 1.0
    assert float(LEVEL[1]) == pytest.approx(1 - 1e-4)
    assert float(LEVEL[2]) == pytest.approx((1 - 1e-4) * (1 - 1e-4 - 0.0199 / 999))
    assert bool((LEVEL.diff() < 0).all())


def test_noised_latents_have_the_variance_of_their_level() -> None:
    latent, noise = draw(4, 3), draw(4, 3, seed=1)
    level = LEVEL[torch.tensor([0, 1, 500, 1000])]
    found = noised(latent, noise, level)
    torch.testing.assert_close(found[0], latent[0])
    a = float(level[2])
    torch.testing.assert_close(found[2], math.sqrt(a) * latent[2] + math.sqrt(1 - a) * noise[2])


def test_ddim_visits_every_twentieth_of_a_thousand_levels() -> None:
    assert ddim_times(1000, 50) == list(range(1000, 0, -20))
    assert ddim_times(10, 10) == list(range(10, 0, -1))
    with pytest.raises(InputError, match="ddim_steps is 11"):
        ddim_times(10, 11)


@pytest.mark.parametrize("steps", [1, 2, 50])
def test_perfect_noise_model_returns_the_latent_in_any_number_of_steps(steps: int) -> None:
    latent, noise = draw(4, 3), draw(4, 3, seed=1)
    start = noised(latent, noise, LEVEL[1000].expand(4))
    found = ddim(noise_around(latent), start, LEVEL, ddim_times(1000, steps))
    torch.testing.assert_close(found, latent, atol=1e-9, rtol=0)


def test_no_noise_scales_the_start() -> None:
    start = draw(4, 3)
    found = ddim(lambda state, t: torch.zeros_like(state), start, LEVEL, ddim_times(1000, 50))
    torch.testing.assert_close(found, start / LEVEL[1000].sqrt())


def test_reference_size() -> None:
    assert sum(p.numel() for p in Denoiser(256).parameters()) == 3_357_952


@torch.no_grad()
def test_denoiser_reads_its_conditions_level_and_state() -> None:
    torch.manual_seed(0)
    net = Denoiser(8, heads=2).eval()
    state, time, condition = torch.randn(3, 8), torch.tensor([1, 500, 1000]), torch.randn(3, 2, 8)
    assert float(net(state, time, condition).abs().max()) == 0.0  # zero at the start
    torch.nn.init.normal_(net.out.weight)
    before = net(state, time, condition)
    for changed in (
        net(state + torch.randn(8), time, condition),
        net(state, time - 1, condition),
        net(state, time, condition + torch.randn(3, 2, 8)),
    ):
        assert bool(((changed - before).abs().amax(dim=1) > 1e-4).all())


def trained(condition: Tensor, latent: Tensor, **options: Any) -> LatentDiffusion:
    torch.manual_seed(0)
    model = LatentDiffusion(replace(SMALL, **options), constants=1)
    lesson = Lesson(latent, condition, torch.ones(8), seed=1)
    (losses,) = train_denoisers([model], [lesson], replace(SMALL, **options))
    assert all(math.isfinite(loss) for loss in losses)
    return model


@torch.no_grad()
def sample(model: LatentDiffusion, condition: Tensor, start: Tensor) -> Tensor:
    return model.sample(condition, torch.ones(8), start)


def test_same_noise_gives_the_same_sample_and_other_noise_another() -> None:
    condition, latent = draw(20, 8).float(), draw(20, 8, seed=1).float()
    model = trained(condition, latent)
    start = draw(2, 5, 8, seed=2).float()
    first = sample(model, condition[:5], start)
    assert torch.equal(first, sample(model, condition[:5], start))
    assert not torch.allclose(first[0], first[1])


def test_samples_together_equal_samples_one_by_one() -> None:
    condition, latent = draw(20, 8).float(), draw(20, 8, seed=1).float()
    model, start = trained(condition, latent), draw(3, 7, 8, seed=2).float()
    together = sample(model, condition[:7], start)
    for s in range(3):
        for row in range(7):
            one = slice(row, row + 1)
            alone = sample(model, condition[one], start[s : s + 1, one])
            torch.testing.assert_close(together[s, one], alone[0], atol=1e-5, rtol=1e-5)


def test_training_is_repeatable_and_blind_to_global_randomness() -> None:
    condition, latent = draw(20, 8).float(), draw(20, 8, seed=1).float()
    first = trained(condition, latent)
    torch.manual_seed(99)
    second = trained(condition, latent)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("precondition", [True, False])
def test_generators_trained_together_are_those_trained_one_after_the_other(
    precondition: bool,
) -> None:
    options = replace(SMALL, width=16, diffusion_steps=100, precondition=precondition)
    lessons = [
        Lesson(draw(n, 16, seed=n).float(), draw(n, 16, seed=n + 1).float(), draw(16).float(), n)
        for n in (20, 33, 7)
    ]
    told: list[tuple[int, int]] = []
    alone, joint = (
        [LatentDiffusion(options, constants=1) for _ in lessons] for _ in ("alone", "joint")
    )
    for one, other in zip(alone, joint, strict=True):
        other.load_state_dict(one.state_dict())
    begun = [deepcopy(model.denoiser).state_dict() for model in alone]
    apart = train_denoisers(alone, lessons, options, together=False)
    together = train_denoisers(
        joint, lessons, options, together=True, report=lambda i, done, _: told.append((i, done))
    )
    torch.testing.assert_close(torch.tensor(together), torch.tensor(apart), atol=1e-4, rtol=0)
    assert told == [(0, 100), (1, 100), (2, 100)]
    for one, other, first in zip(alone, joint, begun, strict=True):
        assert not other.denoiser.training
        for name, value in one.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], value, atol=1e-4, rtol=0)
        moved = [(one.denoiser.state_dict()[n] - v).abs().max() for n, v in first.items()]
        assert float(max(moved)) > 2e-3


@pytest.mark.parametrize("kernel", packed.kernels())
@torch.no_grad()
def test_sampling_asks_the_denoiser_at_every_level(
    kernel: packed.Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "kernels", lambda: (kernel,))
    options = replace(SMALL, width=16, heads=4, denoiser_layers=3)
    torch.manual_seed(0)
    model = LatentDiffusion(options, constants=1)
    for name, value in model.state_dict().items():
        value.add_(draw(*value.shape, seed=len(name)) * 0.2)
    condition, constant, start = draw(3, 16).float(), draw(16, seed=1).float(), draw(2, 3, 16)
    token = model.tokens(condition, constant).repeat(2, 1, 1)

    def noise(state: Tensor, now: int) -> Tensor:
        time = model.denoiser.time_token(torch.tensor([now]))
        return model.noise(state, LEVEL[now : now + 1].float(), time, token)

    plain = ddim(noise, start.float().flatten(0, 1), model.level, model.times).view(2, 3, 16)
    expected = plain * model.get_buffer("latent_std") + model.get_buffer("latent_mean")
    found = model.sample(condition, constant, start.float())
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert float((found[0] - found[1]).abs().min()) > 1e-3


@torch.no_grad()
def unexplained(model: LatentDiffusion, condition: Tensor, true: Tensor, mean: Tensor) -> float:
    """Share of the variance around the training mean that five averaged samples miss."""
    start = draw(5, *true.shape, seed=6).float()
    found = model.sample(condition, torch.ones(8), start).mean(dim=0)
    return float((found - true).square().sum() / (true - mean).square().sum())


def test_generator_learns_latents_that_follow_from_the_condition() -> None:
    condition = draw(200, 8).float()
    latent = 3 * condition.flip(1) + 5  # another scale and place, which standardising takes out
    model = trained(condition, latent, diffusion_steps=600, diffusion_lr=1e-2, ema=0.99)
    fresh = draw(50, 8, seed=5).float()
    # 1 for the training mean, 1.2 for samples that do not see the condition
    assert unexplained(model, fresh, 3 * fresh.flip(1) + 5, latent.mean(dim=0)) < 0.6


@torch.no_grad()
def test_untrained_generator_makes_zeros() -> None:
    model = LatentDiffusion(SMALL)
    assert float(model.sample(torch.randn(3, 8), None, torch.randn(2, 3, 8)).abs().max()) == 0.0


@torch.no_grad()
def test_untrained_preconditioned_noise_is_what_standard_normal_latents_would_give() -> None:
    model, level = LatentDiffusion(SMALL), LEVEL[torch.tensor([1, 500, 1000])].float()
    state, condition = torch.randn(3, 8), torch.randn(3, 1, 8)
    time = model.denoiser.time_token(torch.tensor([1, 500, 1000]))
    # for z_0, eps ~ N(0, 1), E[eps | z_t] = cov(eps, z_t) z_t = sqrt(1 - a_t) z_t
    expected = (1 - level[:, None]).sqrt() * state
    torch.testing.assert_close(model.noise(state, level, time, condition), expected)
    literal = LatentDiffusion(replace(SMALL, precondition=False))
    assert float(literal.noise(state, level, time, condition).abs().max()) == 0.0


def test_a_constant_dimension_does_not_divide_by_zero() -> None:
    condition, latent = draw(20, 8).float(), draw(20, 8, seed=1).float()
    latent[:, 0] = 7.0
    made = sample(trained(condition, latent), condition, draw(2, 20, 8).float())
    assert bool(made.isfinite().all())
    torch.testing.assert_close(made[..., 0], torch.full((2, 20), 7.0), atol=0.02, rtol=0)
