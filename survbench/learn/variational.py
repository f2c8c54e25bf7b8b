"""Variational autoencoders: normal posteriors, their product, encoders, a decoder, annealing.

Letters: B patients, E experts, L tokens, D patch width, H width of tokens and latents, S draws,
K intervals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from survbench.learn.batch import BagBatch
from survbench.learn.losses import survival_of
from survbench.learn.nystrom import AttentionKind
from survbench.learn.transmil import TransMILEncoder, in_order, square_groups

__all__ = [
    "BagPosterior",
    "Gaussian",
    "Ramp",
    "TokenDecoder",
    "TokenPosterior",
    "average_logits",
    "product_of_experts",
]

EPS = 1e-8  # under every precision, as in the public code of products of experts
QUERY_STD = 1e-6  # of a bag's queries at the start, as in LD-CVAE's code


@dataclass
class Gaussian:
    """Independent normal entries with `mean` and `logvar`, (..., H) each."""

    mean: Tensor
    logvar: Tensor

    @property
    def variance(self) -> Tensor:
        """Variances (..., H)."""
        return self.logvar.exp()

    def draw(self, noise: Tensor) -> Tensor:
        """Reparametrised draws (..., H) from standard normal noise (..., H); zero: the mean."""
        return self.mean + noise * (self.logvar / 2).exp()

    def divergence(self) -> Tensor:
        """Kullback-Leibler divergence (..., H) of each entry from N(0, 1)."""
        return (self.variance + self.mean.square() - 1 - self.logvar) / 2


def product_of_experts(mean: Tensor, logvar: Tensor, present: Tensor) -> Gaussian:
    """Product (B, H) of N(0, 1) and those experts, (B, E, H), that are `present` (B, E)."""
    precision = present[..., None] / (logvar.exp() + EPS)
    total = precision.sum(dim=1) + 1 / (1 + EPS)
    return Gaussian((precision * mean).sum(dim=1) / total, -total.log())


def average_logits(logits: Tensor) -> Tensor:
    """Hazard logits (B, K), float64, whose survival is the mean of that of S draws (S, B, K)."""
    survival = survival_of(logits.double())[1].mean(dim=0)  # (B, K)
    before = torch.cat([torch.ones_like(survival[:, :1]), survival[:, :-1]], dim=1)
    tiny = torch.finfo(survival.dtype).tiny
    return (before - survival).clamp(min=tiny).log() - survival.clamp(min=tiny).log()


class Ramp:
    """Weight of a term that rises from 0 to 1 along half a cosine, over a stage's optimiser steps.

    It counts patients, so that all parts of a step share one weight, however it is cut.

    Parameters
    ----------
    patients
        In an epoch.
    batch
        Patients of an optimiser step.
    epochs
        Of the stage.
    """

    def __init__(self, patients: int, batch: int, epochs: int) -> None:
        self.patients, self.batch, self.epochs = patients, batch, epochs
        self.seen = 0

    @property
    def epoch(self) -> int:
        """Epochs that are over."""
        return self.seen // self.patients

    @property
    def weight(self) -> float:
        """Weight in the current step, from 0 in the first to 1 after the last."""
        steps = math.ceil(self.patients / self.batch)
        done = self.epoch * steps + self.seen % self.patients // self.batch
        share = done / (steps * self.epochs) if done < steps * self.epochs else 1.0
        return (math.cos(math.pi * (share - 1)) + 1) / 2

    def advance(self, patients: int) -> None:
        """Count patients that were trained on."""
        self.seen += patients


class BagPosterior(nn.Module):
    """Bags to posteriors: two queries through TransMIL, then one linear map.

    Parameters
    ----------
    patch, width
        D and H.
    inner
        Width of the transformer; D, without a projection, if None.
    heads, landmarks, dropout, attention
        Of `NystromAttention`; landmarks are half the transformer's width where None.
    """

    def __init__(
        self,
        patch: int,
        width: int,
        *,
        inner: int | None = None,
        heads: int = 8,
        landmarks: int | None = None,
        dropout: float = 0.1,
        attention: AttentionKind = "nystrom",
    ) -> None:
        super().__init__()
        self.project = nn.Identity() if inner is None else nn.Linear(patch, inner)
        inner = inner or patch
        self.encoder = TransMILEncoder(
            inner,
            leading=2,
            class_std=QUERY_STD,
            heads=heads,
            head_width=max(1, inner // heads),
            landmarks=landmarks or max(1, inner // 2),
            dropout=dropout,
            attention=attention,
        )
        self.out = nn.Linear(inner, width)

    def forward(self, bags: BagBatch) -> Gaussian:
        """Posteriors (B, H) of B bags."""
        token, groups = self.project(bags.features), square_groups(bags.length)
        query = [self.encoder.classes(token[index]) for _, index in groups]  # each (b, 2, inner)
        mean, logvar = self.out(in_order(query, groups)).unbind(dim=1)
        return Gaussian(mean, logvar)


class TokenPosterior(nn.Module):
    """A few tokens to posteriors: two queries through one post-norm transformer layer."""

    def __init__(self, width: int, *, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(2, width))
        self.layer = nn.TransformerEncoderLayer(
            width, heads, hidden, dropout, activation="gelu", batch_first=True
        )

    def forward(self, token: Tensor) -> Gaussian:
        """Posteriors (B, H) of tokens (B, L, H)."""
        query = self.query.expand(len(token), -1, -1)
        encoded = self.layer(torch.cat([query, token], dim=1))
        return Gaussian(encoded[:, 0], encoded[:, 1])


class TokenDecoder(nn.Module):
    """A latent to tokens, by a dense network each, which reads a condition too.

    Parameters
    ----------
    tokens
        L, number of tokens.
    width, hidden
        H, and the width inside the networks.
    own
        Whether every token has a latent of its own, drawn given the common one.
    """

    def __init__(self, tokens: int, width: int, hidden: int, *, own: bool = True) -> None:
        super().__init__()
        self.part = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(tokens if own else 0))
        self.token = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * width, hidden), nn.ELU(), nn.Linear(hidden, width))
            for _ in range(tokens)
        )

    def forward(
        self, latent: Tensor, condition: Tensor, noise: Tensor
    ) -> tuple[Tensor, Gaussian | None]:
        """Tokens (B, L, H), and the posteriors of their own latents, (B, L, H), if they have any.

        Of latents and conditions, (B, H) each; own latents are drawn from noise (B, L, H).
        """
        own, parts = latent[:, None].expand(-1, len(self.token), -1), None
        if len(self.part):
            both = torch.stack([part(latent) for part in self.part], dim=1)  # (B, L, 2 H)
            mean, logvar = both.chunk(2, dim=2)
            parts = Gaussian(mean, logvar)
            own = parts.draw(noise)
        read = torch.cat([own, condition[:, None].expand_as(own)], dim=2)
        token = [decode(read[:, place]) for place, decode in enumerate(self.token)]
        return torch.stack(token, dim=1), parts
