"""Fusion of the vectors of two modalities into one: side by side, or by their outer product.

Letters: B patients, H width of a vector, h of a reduced one.
"""

from __future__ import annotations

from typing import Literal, TypedDict, Unpack

import torch
from torch import Tensor, nn

from survbench.errors import InputError
from survbench.learn.dropout import Dropout
from survbench.learn.snn import dense_block

__all__ = ["ConcatFusion", "FusionKind", "KroneckerFusion", "KroneckerOptions", "fusion_of"]

FusionKind = Literal["concat", "bilinear"]


class KroneckerOptions(TypedDict, total=False):
    """Keywords of `KroneckerFusion`."""

    gates: tuple[bool, bool]
    skip: bool
    scales: tuple[int, int]
    dropout: float
    encoder_dropout: float
    bilinear_gate: bool


def fusion_of(
    kind: FusionKind, width: int, **options: Unpack[KroneckerOptions]
) -> ConcatFusion | KroneckerFusion:
    """Fusion (B, H), (B, H) -> (B, H) of vectors `width` wide; `options` concern 'bilinear' alone.

    Raises
    ------
    InputError
        If `kind` is neither 'concat' nor 'bilinear'.
    """
    if kind not in ("concat", "bilinear"):
        msg = f"fusion is {kind!r}; it must be 'concat' or 'bilinear'"
        raise InputError(msg)
    return ConcatFusion(width) if kind == "concat" else KroneckerFusion(width, **options)


class ConcatFusion(nn.Module):
    """Both vectors side by side through two dense ReLU layers, without dropout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Vectors (B, H) of two vectors (B, H) of each patient."""
        fused: Tensor = self.layers(torch.cat([first, second], dim=1))
        return fused


class GatedReduction(nn.Module):
    """One vector made shorter, and weighed entry by entry by what both vectors say.

    The gate has its weights also where it is off, as in the reference.
    """

    def __init__(
        self, width: int, reduced: int, *, gated: bool, bilinear: bool, dropout: float
    ) -> None:
        super().__init__()
        self.gated = gated
        self.reduce = nn.Sequential(nn.Linear(width, reduced), nn.ReLU())
        self.gate = (
            nn.Bilinear(width, width, reduced) if bilinear else nn.Linear(2 * width, reduced)
        )
        self.out = dense_block(reduced, reduced, dropout)

    def forward(self, own: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Reduced (B, h) of `own` (B, H), one of the patient's two vectors (B, H)."""
        short = self.reduce(own)
        if self.gated:
            bilinear = isinstance(self.gate, nn.Bilinear)
            both = (first, second) if bilinear else (torch.cat([first, second], dim=1),)
            short = self.gate(*both).sigmoid() * short
        reduced: Tensor = self.out(short)
        return reduced


class KroneckerFusion(nn.Module):
    """Outer product of two gated, reduced vectors, each with a 1 behind, through two dense layers.

    The appended ones keep both vectors themselves beside their products.

    Parameters
    ----------
    width
        H, of the vectors that come in and of the one that goes out.
    gates
        Whether the first and the second vector are gated.
    skip
        Put the two vectors beside the encoded product, before the last layer.
    scales
        What the width is divided by for the reduced vectors.
    dropout
        On each reduced vector and on their product.
    encoder_dropout
        After each of the two dense layers; PORPOISE has none, MCAT and CMTA 0.25.
    bilinear_gate
        Gate by a bilinear form of both vectors instead of a linear map of them side by side.

    Raises
    ------
    InputError
        If a scale is below 1 or above the width.
    """

    def __init__(
        self,
        width: int,
        *,
        gates: tuple[bool, bool] = (True, True),
        skip: bool = False,
        scales: tuple[int, int] = (8, 8),
        dropout: float = 0.25,
        encoder_dropout: float = 0.25,
        bilinear_gate: bool = False,
    ) -> None:
        super().__init__()
        wrong = [scale for scale in scales if not 1 <= scale <= width]
        if wrong:
            msg = f"a fusion scale is {wrong[0]}; it must be between 1 and the width {width}"
            raise InputError(msg)
        self.skip = skip
        reduced = [width // scale for scale in scales]
        self.first, self.second = (
            GatedReduction(width, short, gated=gated, bilinear=bilinear_gate, dropout=dropout)
            for short, gated in zip(reduced, gates, strict=True)
        )
        self.drop = Dropout(dropout)
        self.encode = dense_block((reduced[0] + 1) * (reduced[1] + 1), width, encoder_dropout)
        self.merge = dense_block(3 * width if skip else width, width, encoder_dropout)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Vectors (B, H) of two vectors (B, H) of each patient."""
        encoded = self.encode(self.drop(self.product(first, second)))
        parts = [encoded, first, second] if self.skip else [encoded]
        fused: Tensor = self.merge(torch.cat(parts, dim=1))
        return fused

    def product(self, first: Tensor, second: Tensor) -> Tensor:
        """Outer products (B, (h1 + 1)(h2 + 1)), the entries of the first vector moving slowly."""
        one = first.new_ones(len(first), 1)
        left = torch.cat([self.first(first, first, second), one], dim=1)  # (B, h1 + 1)
        right = torch.cat([self.second(second, first, second), one], dim=1)  # (B, h2 + 1)
        return (left[:, :, None] * right[:, None, :]).flatten(1)
