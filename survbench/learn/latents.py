"""Latents of each modality: the whole, what is specific to it, and what it shares with others.

Letters: B patients, b of them computed together, M modalities, D latent width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations, permutations, product
from math import isqrt
from typing import Self

import torch
from torch import Tensor, nn

from survbench.errors import InputError
from survbench.learn.attention import CrossAttention
from survbench.learn.batch import Batch, Widths
from survbench.learn.buckets import buckets
from survbench.learn.encoders import BagEncoder, GeneEncoder, Tokens
from survbench.learn.hide import present_in
from survbench.learn.nystrom import AttentionKind, NystromOptions
from survbench.learn.subspace import Decomposition, Subspace, cosine, inside, outside, own_shared

__all__ = ["LatentEncoder", "LatentOptions", "Latents"]


@dataclass(frozen=True)
class LatentOptions:
    """Sizes of a `LatentEncoder`; the defaults are those of MUST."""

    width: int = 256  # D, width of tokens and latents
    rank: int = 64  # r, of the shared subspace
    heads: int = 8  # of every layer but the cross attention
    hidden: int = 512  # feed-forward width of the gene layers
    dropout: float = 0.1  # of the layers over tokens
    gene_dropout: float = 0.25  # of the gene groups' SNNs
    attention: AttentionKind = "auto"  # of bags: exact where they fit the landmarks
    landmarks: int = 128  # D / 2, as TransMIL


@dataclass
class Latents:
    """Latents of B patients and M modalities, zero where absent.

    `whole` g and `specific` u_hat are (B, M, D); `shared` c_hat is (B, M, M, D), entry m, n read by
    queries of m from values of n, only of complete patients; `present` is (B, M).
    """

    whole: Tensor
    specific: Tensor
    shared: Tensor
    present: Tensor

    @property
    def complete(self) -> Tensor:
        """Who has every modality, (B,)."""
        return self.present.all(dim=1)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Latents of all parts one behind the other, in new tensors."""
        return cls(
            *(
                torch.cat([getattr(part, entry.name) for part in parts]).clone()
                for entry in fields(cls)
            )
        )

    def of(self, rows: Tensor) -> Latents:
        """Latents of the patients `rows`, positions or a mask."""
        return Latents(*(getattr(self, entry.name)[rows] for entry in fields(self)))

    def split(self, rows: Tensor) -> Decomposition:
        """Decomposition of the patients `rows`, all of them complete."""
        return Decomposition(self.whole[rows], self.specific[rows], self.shared[rows])

    def rest(self, of: Tensor) -> Tensor:
        """Mean (B, D) of whole - specific over the modalities `of` (B, M) (eq. 20)."""
        rest = (self.whole - self.specific).masked_fill(~of[..., None], 0.0)
        return rest.sum(dim=1) / of.sum(dim=1, keepdim=True).clamp(min=1)

    def cosines(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Cosines (B,) of complete patients (NaN for others) that tell how well latents split.

        Of each whole with the sum of its parts, and of the shared, specific and whole latents of
        each pair of modalities.
        """
        parts = self.specific + own_shared(self.shared)
        found = {
            f"cos_sum_{name}": cosine(self.whole[:, m], parts[:, m]) for m, name in enumerate(names)
        }
        for (m, first), (n, second) in combinations(enumerate(names), 2):
            pair = f"{first}_{second}"
            found[f"cos_shared_{pair}"] = cosine(self.shared[:, m, n], self.shared[:, n, m])
            found[f"cos_specific_{pair}"] = cosine(self.specific[:, m], self.specific[:, n])
            found[f"cos_whole_{pair}"] = cosine(self.whole[:, m], self.whole[:, n])
        return {name: value.masked_fill(~self.complete, torch.nan) for name, value in found.items()}


class LatentEncoder(nn.Module):
    """Self-attention in each modality, cross attention between them, projection on a subspace.

    Parameters
    ----------
    options
        Sizes.
    widths
        Of the cohort's modalities: bags come first, then genes, whatever the cohort's order.

    Raises
    ------
    InputError
        If there are fewer than two modalities.
    """

    def __init__(self, options: LatentOptions, widths: Widths) -> None:
        super().__init__()
        self.options, self.names = options, (*widths.patch, *widths.groups)
        if len(self.names) < 2:
            msg = f"two modalities or more are needed; the cohort has {', '.join(self.names)}"
            raise InputError(msg)
        encoders = {name: _encoder(options, widths, name) for name in self.names}
        self.whole = nn.ModuleDict(encoders)
        self.specific = nn.ModuleDict({name: encoders[name].reader() for name in self.names})
        self.shared = nn.ModuleDict({name: encoders[name].reader() for name in self.names})
        self.cross = nn.ModuleDict(
            {f"{m}<-{n}": CrossAttention(options.width) for m, n in permutations(self.names, 2)}
        )
        self.subspace = Subspace(options.width, options.rank)
        side = isqrt(options.landmarks - 1)  # of the largest square that attention takes exactly
        self.longest = {"auto": side**2, "exact": 2**62, "nystrom": 0}[options.attention]

    def forward(self, batch: Batch) -> Latents:
        """All latents of a batch."""
        parts, basis = buckets(batch, self.longest), self.subspace()
        done = zip(*(self._split(part) for _, part in parts), strict=True)
        whole, unique, shared = (_in_order(list(each), parts) for each in done)
        present = present_in(batch, self.names)
        return Latents(whole, outside(unique, basis), inside(shared, basis), present)

    def whole_latents(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Whole latents (B, M, D), zero where absent, and who has them, (B, M)."""
        parts = buckets(batch, self.longest)
        whole = [
            self._stacked(part, {n: z for n, (z, _) in self._encode(part).items()})
            for _, part in parts
        ]
        return _in_order(whole, parts), present_in(batch, self.names)

    def _encode(self, part: Batch) -> dict[str, tuple[Tensor, Tokens]]:
        """Whole latents and tokens of what the patients of a part have."""
        has = [name for name in self.names if len(part.modalities[name])]
        return {name: self.whole[name](part.modalities[name]) for name in has}

    def _split(self, part: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Latents of patients who all have the same modalities, before projection."""
        encoded = self._encode(part)
        whole = self._stacked(part, {name: latent for name, (latent, _) in encoded.items()})
        token = {name: tokens for name, (_, tokens) in encoded.items()}
        unique = {name: self.specific[name](tokens) for name, tokens in token.items()}
        nothing = whole.new_zeros(len(part), whole.shape[2])
        shared = dict.fromkeys(product(self.names, repeat=2), nothing)
        if len(token) == len(self.names):
            for m, n in permutations(self.names, 2):
                values = self.cross[f"{m}<-{n}"](token[m].value, token[n].value, token[n].mask)
                shared[m, n] = self.shared[m](replace(token[m], value=values))
        square = torch.stack(list(shared.values()), dim=1)  # (b, M M, D)
        count = len(self.names)
        square = square.reshape(len(part), count, count, -1)
        return whole, self._stacked(part, unique), square

    def _stacked(self, part: Batch, latent: Mapping[str, Tensor]) -> Tensor:
        """Latents (b, M, D) of all modalities, zero for those not given."""
        nothing = next(iter(latent.values())).new_zeros(len(part), self.options.width)
        return torch.stack([latent.get(name, nothing) for name in self.names], dim=1)


def _encoder(options: LatentOptions, widths: Widths, name: str) -> BagEncoder | GeneEncoder:
    """Encoder of modality `name`, by its kind."""
    if name in widths.groups:
        return GeneEncoder(
            widths.groups[name],
            options.width,
            heads=options.heads,
            hidden=options.hidden,
            dropout=options.dropout,
            gene_dropout=options.gene_dropout,
        )
    attention = NystromOptions(
        heads=options.heads,
        landmarks=options.landmarks,
        dropout=options.dropout,
        attention=options.attention,
    )
    return BagEncoder(widths.patch[name], options.width, attention)


def _in_order(values: list[Tensor], parts: list[tuple[Tensor, Batch]]) -> Tensor:
    """Rows (B, ...) in the batch's order, of the parts (b, ...) they were computed in."""
    rows = torch.cat([row for row, _ in parts])
    return torch.cat(values)[rows.argsort()]
