"""Training of denoisers on frozen latents: one after the other, or several as one computation.

Letters: B patients of an update, N training patients, D latent width, C conditions, M generators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from survbench.learn.diffusion import DiffusionOptions, LatentDiffusion, noised

__all__ = ["Lesson", "train_denoisers"]

EMA_EVERY = 10  # updates between two averagings: the same average at a tenth of the traffic
BLOCK = 200  # updates whose random numbers are drawn at once


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one generator learns from.

    Parameters
    ----------
    latent, condition : Tensor (N, D)
        One row per training patient.
    constant : Tensor (D,) or None
        The constant token.
    seed : int
        Of patients, levels and noise.
    """

    latent: Tensor
    condition: Tensor
    constant: Tensor | None
    seed: int


Report = Callable[[int, int, float], None]  # number of the generator, updates done, last loss


def train_denoisers(
    models: Sequence[LatentDiffusion],
    lessons: Sequence[Lesson],
    options: DiffusionOptions,
    *,
    together: bool | None = None,
    report: Report | None = None,
) -> list[list[float]]:
    """Train generators of one size; of each the mean noise error of each block of updates.

    Parameters
    ----------
    models
        Their scales are set here, and their denoisers end with the averaged weights.
    lessons
        One for each.
    options
        How long, how fast.
    together
        Whether all take each update as one batched computation, with the same random numbers as
        one after the other. None: on a GPU, where an update waits for the launch of its kernels;
        on a CPU it gains nothing.
    report
        Told once a block.
    """
    if together is None:
        together = len(models) > 1 and models[0].level.is_cuda
    groups = [range(len(models))] if together else [range(i, i + 1) for i in range(len(models))]
    losses: list[list[float]] = []
    for group in groups:
        chosen = [models[i] for i in group]
        draws = [_draws(model, lessons[i], options) for i, model in zip(group, chosen, strict=True)]
        pupils = _Together(chosen) if together else _Alone(*chosen)
        losses += _train(pupils, draws, options, list(group), report)
    return losses


@dataclass
class _Draw:
    """One training batch: states (B, D), levels and times (B,), tokens (B, C, D), noise (B, D)."""

    state: Tensor
    level: Tensor
    time: Tensor
    token: Tensor
    noise: Tensor


class _Alone:
    """One generator in training."""

    def __init__(self, model: LatentDiffusion) -> None:
        self.model = model
        self.parameters = list(model.denoiser.parameters())
        model.denoiser.train()

    def errors(self, draws: Sequence[_Draw]) -> Tensor:
        """Noise error (1,) in its batch."""
        (draw,) = draws
        time = self.model.denoiser.time_token(draw.time)
        found = self.model.noise(draw.state, draw.level, time, draw.token)
        return (found - draw.noise).square().mean()[None]

    def end(self) -> None:
        """The parameters are the model's own."""
        self.model.denoiser.eval()


class _Together:
    """Several generators in training, the parameters (M, ...) of each kind in one tensor."""

    def __init__(self, models: Sequence[LatentDiffusion]) -> None:
        self.models = models
        nets: list[nn.Module] = [model.denoiser.train() for model in models]
        self.stacked, self.buffers = stack_module_state(nets)
        self.parameters = list(self.stacked.values())
        skeleton = deepcopy(nets[0]).to("meta")
        self.found = vmap(
            lambda one, buffers, given: functional_call(skeleton, (one, buffers), given)
        )

    def errors(self, draws: Sequence[_Draw]) -> Tensor:
        """Noise errors (M,), each in its own batch."""
        state, level, time, token, noise = (
            torch.stack([getattr(draw, name) for draw in draws])
            for name in ("state", "level", "time", "token", "noise")
        )
        found = self.found(self.stacked, self.buffers, (state, time, token))
        return (self.models[0].conditioned(found, state, level) - noise).square().mean(dim=(1, 2))

    @torch.no_grad()
    def end(self) -> None:
        """Give each generator its own."""
        for number, model in enumerate(self.models):
            for name, parameter in model.denoiser.named_parameters():
                parameter.copy_(self.stacked[name][number])
            model.denoiser.eval()


def _train(
    pupils: _Alone | _Together,
    draws: Sequence[Iterator[_Draw]],
    options: DiffusionOptions,
    numbers: Sequence[int],
    report: Report | None,
) -> list[list[float]]:
    """Take all updates; of each generator the mean error of each block."""
    optimiser = torch.optim.AdamW(
        pupils.parameters,
        lr=options.diffusion_lr,
        weight_decay=options.diffusion_decay,
        fused=True,
    )
    mean = [parameter.detach().clone() for parameter in pupils.parameters]
    losses: list[list[float]] = [[] for _ in numbers]
    total = pupils.parameters[0].new_zeros(len(numbers))
    for done, batch in enumerate(zip(*draws, strict=True), 1):
        optimiser.zero_grad(set_to_none=True)
        errors = pupils.errors(batch)
        errors.sum().backward()
        optimiser.step()
        total += errors.detach()
        last = done == options.diffusion_steps
        if done % EMA_EVERY == 0 or last:
            _average(mean, pupils.parameters, _decay(options.ema, done))
        if done % BLOCK == 0 or last:
            count = (done - 1) % BLOCK + 1
            for number, found, error in zip(numbers, losses, total.tolist(), strict=True):
                found.append(error / count)
                if report is not None:
                    report(number, done, found[-1])
            total.zero_()
    _average(pupils.parameters, mean, 0.0)
    pupils.end()
    return losses


def _draws(model: LatentDiffusion, lesson: Lesson, options: DiffusionOptions) -> Iterator[_Draw]:
    """Random batches for all updates, the numbers of a block drawn at once."""
    model.standardise(lesson.latent, lesson.condition)
    latent = model.scaled("latent", lesson.latent)
    token = model.tokens(lesson.condition, lesson.constant)
    device, generator = latent.device, torch.Generator().manual_seed(lesson.seed)
    for begin in range(0, options.diffusion_steps, BLOCK):
        shape = (min(BLOCK, options.diffusion_steps - begin), options.diffusion_batch)
        row = torch.randint(len(latent), shape, generator=generator).to(device)
        time = torch.randint(1, len(model.level), shape, generator=generator).to(device)
        noise = torch.randn(*shape, latent.shape[1], generator=generator).to(device)
        level = model.level.float()[time]
        for step in range(shape[0]):
            state = noised(latent[row[step]], noise[step], level[step])
            yield _Draw(state, level[step], time[step], token[row[step]], noise[step])


def _decay(ema: float, done: int) -> float:
    """Weight of the old average, over EMA_EVERY updates; shorter memory in the first updates."""
    return min(ema, (1 + done) / (10 + done)) ** EMA_EVERY


@torch.no_grad()
def _average(mean: Sequence[Tensor], now: Sequence[Tensor], decay: float) -> None:
    """Move `mean` to decay mean + (1 - decay) now, in place."""
    for old, new in zip(mean, now, strict=True):
        old.lerp_(new, 1 - decay)
