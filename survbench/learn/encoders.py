"""Encoders of one modality into tokens and a latent, and class tokens that read them again.

Letters: n patients, L tokens of each, D token width, T patches of all patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.learn.attention import EncoderLayer, with_token
from survbench.learn.batch import BagBatch, GeneBatch
from survbench.learn.nystrom import NystromOptions
from survbench.learn.snn import GroupSNN
from survbench.learn.transmil import NystromLayer, TransMILEncoder, square_groups

__all__ = ["BagEncoder", "GeneEncoder", "Reader", "Tokens"]

CLASS_STD = 0.02


@dataclass
class Tokens:
    """Tokens (n, L, D) of n patients; `mask` (n, L) is True at real ones, None if all are."""

    value: Tensor
    mask: Tensor | None = None


class Reader(nn.Module):
    """Class token that reads tokens through one self-attention layer; nothing else is computed."""

    def __init__(self, layer: EncoderLayer | NystromLayer, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(width) * CLASS_STD)
        self.layer = layer
        self.norm = nn.LayerNorm(width) if isinstance(layer, NystromLayer) else nn.Identity()

    def forward(self, tokens: Tokens) -> Tensor:
        """Latents (n, D) of tokens (n, L, D)."""
        mask = None if tokens.mask is None else functional.pad(tokens.mask, (1, 0), value=True)
        token = with_token(self.token, tokens.value)
        read = self.layer(token, mask, lead=1)[:, 0]
        latent: Tensor = self.norm(read)
        return latent


class BagEncoder(nn.Module):
    """Patches to tokens and a latent by TransMIL; readers of it are one Nystrom layer.

    Parameters
    ----------
    patch
        Width of a patch.
    width
        D, width of a token.
    attention
        Keywords of `NystromAttention`.
    """

    def __init__(self, patch: int, width: int, attention: NystromOptions) -> None:
        super().__init__()
        self.width, self.attention = width, attention
        self.embed = nn.Linear(patch, width)
        self.layer = TransMILEncoder(width, class_std=CLASS_STD, **attention)

    def reader(self) -> Reader:
        """A new class token and layer for tokens of this kind."""
        return Reader(NystromLayer(self.width, **self.attention), self.width)

    def forward(self, bags: BagBatch) -> tuple[Tensor, Tokens]:
        """Latents (n, D) and contextual tokens of n bags."""
        token = self.embed(bags.features)  # (T, D)
        latent = token.new_zeros(len(bags), self.width)
        updated = torch.zeros_like(token)
        for which, index in square_groups(bags.length):
            encoded = self.layer(token[index])  # (b, 1 + s*s, D)
            place = torch.arange(index.shape[1], device=index.device)
            real = place < bags.length[which, None]  # (b, s*s), False where rows are repeated
            latent = latent.index_put((which,), encoded[:, 0])
            updated = updated.index_put((index[real],), encoded[:, 1:][real])
        value, mask = bags.padded(updated)
        return latent, Tokens(value, None if bags.even else mask)


class GeneEncoder(nn.Module):
    """Gene groups to tokens and a latent by SNNs and one encoder layer, without positions.

    Parameters
    ----------
    groups
        Column indices of each group.
    width
        D, width of a token.
    heads, hidden, dropout
        Of the encoder layers.
    gene_dropout
        Of the SNN blocks.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[int]],
        width: int,
        *,
        heads: int = 8,
        hidden: int = 512,
        dropout: float = 0.1,
        gene_dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.width, self.heads, self.hidden, self.dropout = width, heads, hidden, dropout
        self.embed = GroupSNN(groups, (width, width), dropout=gene_dropout)
        self.token = nn.Parameter(torch.randn(width) * CLASS_STD)
        self.layer = self._layer()

    def _layer(self) -> EncoderLayer:
        return EncoderLayer(self.width, heads=self.heads, hidden=self.hidden, dropout=self.dropout)

    def reader(self) -> Reader:
        """A new class token and layer for tokens of this kind."""
        return Reader(self._layer(), self.width)

    def forward(self, genes: GeneBatch) -> tuple[Tensor, Tokens]:
        """Latents (n, D) and contextual tokens, one per group, of n patients."""
        encoded = self.layer(with_token(self.token, self.embed(genes)))
        return encoded[:, 0], Tokens(encoded[:, 1:])
