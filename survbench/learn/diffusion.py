"""Denoising diffusion of latent vectors: schedule, DDIM sampling, a small denoiser.

Letters: B patients, D latent width, C conditions, T noise levels, S samples. Levels count from 1;
`level[t]` is the share of signal variance left at level t, and `level[0]` is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.errors import InputError
from survbench.learn.attention import EncoderLayer
from survbench.learn.packed import PackedLinear

__all__ = [
    "Denoiser",
    "DiffusionOptions",
    "LatentDiffusion",
    "NoiseModel",
    "ddim",
    "ddim_path",
    "ddim_times",
    "linear_betas",
    "noised",
    "signal_levels",
]

NoiseModel = Callable[[Tensor, int], Tensor]


def linear_betas(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """Variances (T,) added at each noise level, float64."""
    return torch.linspace(first, last, steps, dtype=torch.float64)


def signal_levels(betas: Tensor) -> Tensor:
    """Signal levels (T + 1,) of variances (T,): entry t is the product of 1 - beta up to t."""
    return torch.cat([betas.new_ones(1), (1 - betas).cumprod(dim=0)])


def noised(latent: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """Latents (B, D) drowned in `noise` (B, D) to signal levels (B,)."""
    level = level[:, None]
    return level.sqrt() * latent + (1 - level).sqrt() * noise


def ddim_times(levels: int, steps: int) -> list[int]:
    """Falling noise levels that a sampler of `steps` steps visits: T, ..., T / steps.

    Raises
    ------
    InputError
        If there are more steps than levels.
    """
    if not 1 <= steps <= levels:
        msg = f"ddim_steps is {steps}; it must be between 1 and the {levels} noise levels"
        raise InputError(msg)
    return [round(levels * step / steps) for step in range(steps, 0, -1)]


def ddim_path(
    noise_of: NoiseModel, start: Tensor, level: Tensor, times: Sequence[int]
) -> Iterator[Tensor]:
    """Every state (..., D) after `start` of deterministic DDIM (eta = 0); the last is the latent.

    Parameters
    ----------
    noise_of
        Noise (..., D) in a state (..., D) at a level t.
    start
        Noise to begin with.
    level
        Signal levels (T + 1,).
    times
        Falling levels to visit; after the last comes level 0.
    """
    share = level.double().tolist()
    state = start
    for now, then in zip(times, [*times[1:], 0], strict=True):
        noise = noise_of(state, now)
        latent = (state - math.sqrt(1 - share[now]) * noise) / math.sqrt(share[now])
        state = math.sqrt(share[then]) * latent + math.sqrt(1 - share[then]) * noise
        yield state


def ddim(noise_of: NoiseModel, start: Tensor, level: Tensor, times: Sequence[int]) -> Tensor:
    """Latents (..., D) that deterministic DDIM makes of `start`; see `ddim_path`."""
    state = start
    for state in ddim_path(noise_of, start, level, times):  # noqa: B007  (the last one is wanted)
        pass
    return state


class Denoiser(nn.Module):
    """Transformer over the tokens [state; time; conditions]; noise is read at the state.

    Parameters
    ----------
    width
        D, width of a latent and of a token.
    conditions
        C, number of condition tokens.
    layers, heads, hidden
        Of the pre-norm encoder layers; `hidden` is 4 D where not given.
    """

    def __init__(
        self,
        width: int,
        *,
        conditions: int = 2,
        layers: int = 4,
        heads: int = 8,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        self.kind = nn.Parameter(torch.randn(conditions + 2, width) * 0.02)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.layers = nn.ModuleList(
            EncoderLayer(width, heads=heads, hidden=hidden or 4 * width, activation=nn.GELU)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)  # the untrained denoiser predicts no noise at all
        nn.init.zeros_(self.out.bias)
        half = torch.arange(width // 2) / (width // 2)
        self.frequency: Tensor
        self.register_buffer("frequency", 1e4**-half, persistent=False)

    def forward(self, state: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """Noise (B, D) in states (B, D) at levels (B,), given conditions (B, C, D)."""
        return self.noise(state, self.time_token(time), condition)

    def time_token(self, time: Tensor) -> Tensor:
        """Tokens (n, D) of noise levels (n,)."""
        angle = time[:, None] * self.frequency
        wave = torch.cat([angle.sin(), angle.cos()], dim=1)
        token: Tensor = self.time(wave)
        return token

    def noise(self, state: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """Noise (B, D) in states (B, D), given time tokens (B or 1, D) and conditions (B, C, D)."""
        time = time.expand(state.shape)
        token = torch.cat([state[:, None], time[:, None], condition], dim=1) + self.kind
        for layer in self.layers[:-1]:
            token = layer(token)
        token = self.layers[-1](token, lead=1)  # only the state's token is read
        noise: Tensor = self.out(self.norm(token[:, 0]))
        return noise


class FrozenDenoiser:
    """A trained denoiser, asked for the noise at one level after the other of the same patients.

    It computes once what no state changes: the first layer's queries, keys and values of times and
    conditions, and weights laid out for products of few rows. The noise is `Denoiser.noise` up to
    rounding.

    Parameters
    ----------
    denoiser
        The denoiser; later changes of its weights are not seen.
    time
        Levels (T,) that will be asked for.
    condition
        Condition tokens (B, C, D).
    """

    def __init__(self, denoiser: Denoiser, time: Tensor, condition: Tensor) -> None:
        layers = [cast("EncoderLayer", layer) for layer in denoiser.layers]
        first, last = layers[0], layers[-1]
        self.patients, tokens, self.width = condition.shape
        rows, self.heads = self.patients * (tokens + 2), first.heads
        self.kind = denoiser.kind[0]
        self.first = _Affine(first.qkv, self.patients, first.norm_attention)
        self.qkv = [_Affine(layer.qkv, rows, layer.norm_attention) for layer in layers[1:-1]]
        self.query = _Affine(last.qkv, self.patients, last.norm_attention, slice(self.width))
        self.source = _Affine(last.qkv, rows, last.norm_attention, slice(self.width, None))
        self.after = [_After(layer, rows) for layer in layers[:-1]]
        self.last = _After(last, self.patients)
        self.read = _Affine(denoiser.out, self.patients, denoiser.norm)
        self.time = denoiser.time_token(time) + denoiser.kind[1]
        condition = condition + denoiser.kind[2:]
        self.token = functional.pad(condition, (0, 0, 2, 0))  # (B, 2 + C, D), two to be filled in
        self.seen_time = first.qkv(first.norm_attention(self.time))
        seen = first.qkv(first.norm_attention(condition))
        self.seen = functional.pad(seen, (0, 0, 2, 0))  # (B, 2 + C, 3 D)

    def noise(self, state: Tensor, step: int) -> Tensor:
        """Noise (B, D) in states (B, D) at the level that stands at place `step`."""
        state = state + self.kind
        self.token[:, 0], self.token[:, 1] = state, self.time[step]
        self.seen[:, 0], self.seen[:, 1] = self.first(state), self.seen_time[step]
        token, seen = self.token.flatten(0, 1), self.seen
        for number, after in enumerate(self.after):
            seen = self.qkv[number - 1](token) if number else seen
            token = after(token, self._mixed(*self._heads(seen, 3)))
        state = token.view(self.patients, -1, token.shape[1])[:, 0].contiguous()
        query = self._heads(self.query(state), 1)
        mixed = self._mixed(*query, *self._heads(self.source(token), 2))
        noise: Tensor = self.read(self.last(state, mixed))
        return noise

    def _heads(self, value: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Parts (B, A, L, E) of values (B L, parts A E)."""
        split = value.view(
            self.patients, -1, parts, self.heads, value.shape[-1] // parts // self.heads
        )
        return split.permute(2, 0, 3, 1, 4).unbind()

    @staticmethod
    def _mixed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Values (B Q, A E) read by queries (B, A, Q, E)."""
        weight = (q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1)
        mixed: Tensor = (weight @ v).transpose(1, 2).reshape(-1, q.shape[1] * q.shape[-1])
        return mixed


class _After:
    """What a frozen encoder layer does once its tokens have read one another."""

    def __init__(self, layer: EncoderLayer, rows: int) -> None:
        self.out = _Affine(layer.out, rows)
        self.up = _Affine(layer.up, rows, layer.norm_forward, activation=layer.activation)
        self.down = _Affine(layer.down, rows)

    def __call__(self, token: Tensor, mixed: Tensor) -> Tensor:
        """Tokens (rows, D) of tokens and what they read, (rows, D) each."""
        token = token + self.out(mixed)
        return token + self.down(self.up(token))


class _Affine:
    """A frozen linear map of `rows` vectors, normalised first where a norm stood in front of it.

    The norm's scale and shift are part of the map. `kept` are the outputs that are wanted, and an
    `activation` is what they go through.
    """

    def __init__(
        self,
        linear: nn.Linear,
        rows: int,
        norm: nn.Module | None = None,
        kept: slice = slice(None),
        activation: nn.Module | None = None,
    ) -> None:
        weight, bias = linear.weight[kept], linear.bias[kept]
        self.eps: float | None = None
        if isinstance(norm, nn.LayerNorm):
            self.eps = norm.eps
            bias = bias + weight @ norm.bias
            weight = weight * norm.weight
        self.product = PackedLinear(weight, bias, rows, activation)

    def __call__(self, value: Tensor) -> Tensor:
        """Vectors (rows, out) of vectors (rows, in)."""
        if self.eps is not None:
            value = functional.layer_norm(value, value.shape[-1:], eps=self.eps)
        return self.product(value)


@dataclass(frozen=True)
class DiffusionOptions:
    """Noise, denoiser, training (AdamW, weights averaged) and sampling of a `LatentDiffusion`.

    The defaults are those of MUST.
    """

    width: int = 256  # D
    heads: int = 8
    noise_levels: int = 1000  # T
    beta_first: float = 1e-4  # variances added, linear between the levels
    beta_last: float = 0.02
    denoiser_layers: int = 4
    denoiser_hidden: int | None = None  # 4 D where None
    precondition: bool = True  # the net only corrects the noise expected without a condition
    diffusion_steps: int = 2_000  # more memorise a few hundred latents, see methods/must.py
    diffusion_batch: int = 32  # drawn with replacement
    diffusion_lr: float = 1e-4
    diffusion_decay: float = 1e-5
    ema: float = 0.999  # 0 keeps the last weights
    ddim_steps: int = 50


class LatentDiffusion(nn.Module):
    """Generator of one modality's latents given a condition, both standardised inside.

    Before training it makes zeros.

    Parameters
    ----------
    options
        Sizes and noise.
    constants
        Number of constant tokens beside the condition.
    """

    def __init__(self, options: DiffusionOptions, constants: int = 0) -> None:
        super().__init__()
        self.times = ddim_times(options.noise_levels, options.ddim_steps)
        self.precondition = options.precondition
        self.denoiser = Denoiser(
            options.width,
            conditions=1 + constants,
            layers=options.denoiser_layers,
            heads=options.heads,
            hidden=options.denoiser_hidden,
        )
        betas = linear_betas(options.noise_levels, options.beta_first, options.beta_last)
        self.level: Tensor
        self.register_buffer("level", signal_levels(betas), persistent=False)
        for name, std in (("latent", 0.0), ("condition", 1.0)):
            self.register_buffer(f"{name}_mean", torch.zeros(options.width))
            self.register_buffer(f"{name}_std", torch.full((options.width,), std))

    def standardise(self, latent: Tensor, condition: Tensor) -> None:
        """Take the scale of training latents and conditions, (N, D) each."""
        for name, value in (("latent", latent), ("condition", condition)):
            std = value.std(dim=0, correction=0)
            self.get_buffer(f"{name}_mean").copy_(value.mean(dim=0))
            self.get_buffer(f"{name}_std").copy_(std.clamp(min=max(1e-3 * float(std.mean()), 1e-8)))

    def scaled(self, name: str, value: Tensor) -> Tensor:
        """Latents or conditions (..., D) on the standardised scale; `name` tells which."""
        return (value - self.get_buffer(f"{name}_mean")) / self.get_buffer(f"{name}_std")

    def tokens(self, condition: Tensor, constant: Tensor | None) -> Tensor:
        """Condition tokens (B, C, D) of conditions (B, D) and a constant token (D,) if there is."""
        token = self.scaled("condition", condition)[:, None]
        if constant is None:
            return token
        return torch.cat([token, constant.expand(len(token), 1, -1)], dim=1)

    def noise(self, state: Tensor, level: Tensor, time: Tensor, token: Tensor) -> Tensor:
        """Noise (B, D) in states (B, D) at signal levels (B or 1,).

        `time` are tokens (B or 1, D) of those levels and `token` (B, C, D) of the conditions.
        """
        return self.conditioned(self.denoiser.noise(state, time, token), state, level)

    def conditioned(self, found: Tensor, state: Tensor, level: Tensor) -> Tensor:
        """Noise (..., D), the net having found so much in states (..., D) at levels (...)."""
        if not self.precondition:
            return found
        level = level[..., None]
        return (1 - level).sqrt() * state + level.sqrt() * found

    def sample(self, condition: Tensor, constant: Tensor | None, start: Tensor) -> Tensor:
        """Latents (S, B, D) on their own scale, from noise (S, B, D) and conditions (B, D)."""
        token = self.tokens(condition, constant).repeat(len(start), 1, 1)  # (S B, C, D)
        frozen = FrozenDenoiser(self.denoiser, torch.tensor(self.times, device=start.device), token)
        level, step = self.level.to(start.dtype)[:, None], {t: n for n, t in enumerate(self.times)}
        latent = ddim(
            lambda state, now: self.conditioned(frozen.noise(state, step[now]), state, level[now]),
            start.flatten(0, 1),
            self.level,
            self.times,
        ).reshape(start.shape)
        return latent * self.get_buffer("latent_std") + self.get_buffer("latent_mean")
