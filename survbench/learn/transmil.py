"""TransMIL's parts: square padding, positions by convolution, Nystrom layers, the encoder.

Letters: B patients, N tokens of each, s = ceil(sqrt(N)), H token width.
"""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.learn.nystrom import NystromAttention, NystromOptions

__all__ = [
    "PPEG",
    "NystromLayer",
    "TransMILEncoder",
    "equal_groups",
    "in_order",
    "square",
    "square_groups",
]


def square_side(length: int) -> int:
    """Side of the smallest square that holds `length` tokens, 0 for none."""
    return math.isqrt(length - 1) + 1 if length > 0 else 0


def square(token: Tensor) -> Tensor:
    """Tokens (B, s*s, H): the tokens (B, N, H) and then the first of them again."""
    missing = square_side(token.shape[1]) ** 2 - token.shape[1]
    return torch.cat([token, token[:, :missing]], dim=1)


def square_groups(length: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Bags of equal square side together, as (which bags (b,), rows of their tokens (b, s*s)).

    `length` (n,) are the sizes of ragged bags that lie one behind the other. A bag that does not
    fill its square repeats its first rows, so equal sides make equal lengths and no mask is needed.
    """
    side = torch.tensor([square_side(size) for size in length.tolist()], device=length.device)
    return _groups(length, side**2)


def equal_groups(length: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Bags of equal length together, as (which bags (b,), rows of their tokens (b, length))."""
    return _groups(length, length)


def in_order(part: Sequence[Tensor], groups: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Rows (n, ...) in the bags' order, of the parts (b, ...) computed group by group."""
    which = torch.cat([which for which, _ in groups])
    return torch.cat(list(part))[which.argsort()]


def _groups(length: Tensor, size: Tensor) -> list[tuple[Tensor, Tensor]]:
    start = length.cumsum(0) - length
    groups = []
    for tokens in sorted(set(size.tolist())):
        if tokens == 0:
            continue
        which = (size == tokens).nonzero()[:, 0]
        step = torch.arange(tokens, device=length.device) % length[which, None]
        groups.append((which, start[which, None] + step))
    return groups


class NystromLayer(nn.Module):
    """Token + NystromAttention(LayerNorm(token)); there is no feed-forward block."""

    def __init__(self, width: int, **attention: Unpack[NystromOptions]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = NystromAttention(width, **attention)

    def forward(
        self, token: Tensor, mask: Tensor | None = None, *, lead: int | None = None
    ) -> Tensor:
        """Tokens (B, L, H) of tokens (B, L, H); `mask` (B, L) is True at real tokens.

        With `lead`, only the first `lead` of them, (B, lead, H).
        """
        update: Tensor = self.attention(self.norm(token), mask, lead=lead)
        return token[:, :lead] + update


class PPEG(nn.Module):
    """Positions by depthwise convolutions over the square grid of the tokens.

    Their sum, with the grid itself, is computed as one convolution with the sum of their kernels.
    """

    def __init__(self, width: int, kernels: Sequence[int] = (7, 5, 3)) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width) for kernel in kernels
        )

    def forward(self, token: Tensor, leading: int = 1) -> Tensor:
        """Tokens (B, leading + s*s, H); the `leading` class tokens pass unchanged."""
        side = square_side(token.shape[1] - leading)
        grid = token[:, leading:].mT.reshape(len(token), -1, side, side)  # (B, H, s, s)
        kernel, bias = self._merged()
        placed = functional.conv2d(
            grid, kernel, bias, padding=kernel.shape[-1] // 2, groups=len(kernel)
        )
        return torch.cat([token[:, :leading], placed.flatten(2).mT], dim=1)

    def _merged(self) -> tuple[Tensor, Tensor]:
        """Kernel (H, 1, k, k), k the largest, and bias (H,) of grid + all convolutions of it."""
        kernels = [each.get_parameter("weight") for each in self.convolutions]
        largest = max(each.shape[-1] for each in kernels)
        borders = [(largest - each.shape[-1]) // 2 for each in kernels]
        padded = [functional.pad(w, [b] * 4) for w, b in zip(kernels, borders, strict=True)]
        # added one by one: the gradients of a stack's parts may share memory, and accumulate twice
        kernel = reduce(torch.add, padded)
        identity = torch.zeros_like(kernel)
        identity[..., largest // 2, largest // 2] = 1.0
        biases: list[Tensor] = [each.get_parameter("bias") for each in self.convolutions]
        return kernel + identity, reduce(torch.add, biases)


class TransMILEncoder(nn.Module):
    """Class tokens and N tokens to contextual tokens: layer, PPEG, layer, LayerNorm.

    Parameters
    ----------
    width
        H, width of a token.
    leading
        Number of class tokens.
    class_std
        Standard deviation of the class tokens at the start: 1 in TransMIL, 1e-6 in CMTA.
    ppeg_kernels
        Sizes of the position convolutions; without any, tokens need not fill a square.
    attention
        Keywords of `NystromAttention`.
    """

    def __init__(
        self,
        width: int,
        *,
        leading: int = 1,
        class_std: float = 1.0,
        ppeg_kernels: Sequence[int] = (7, 5, 3),
        **attention: Unpack[NystromOptions],
    ) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.randn(1, leading, width) * class_std)
        self.first = NystromLayer(width, **attention)
        self.ppeg = PPEG(width, ppeg_kernels) if ppeg_kernels else None
        self.second = NystromLayer(width, **attention)
        self.norm = nn.LayerNorm(width)

    def forward(self, token: Tensor) -> Tensor:
        """Tokens (B, leading + s*s, H), class tokens first, of tokens (B, s*s, H) of a square."""
        encoded: Tensor = self.norm(self.second(self._placed(token)))
        return encoded

    def classes(self, token: Tensor) -> Tensor:
        """The class tokens (B, leading, H) alone, at less cost; dropout is drawn for them only."""
        lead = self.class_token.shape[1]
        encoded: Tensor = self.norm(self.second(self._placed(token), lead=lead))
        return encoded

    def _placed(self, token: Tensor) -> Tensor:
        """What the second layer reads."""
        leading = self.class_token.expand(token.shape[0], -1, -1)
        token = self.first(torch.cat([leading, token], dim=1))
        return token if self.ppeg is None else self.ppeg(token, leading.shape[1])
