"""Positions by one depthwise convolution along the columns of the square grid of tokens.

Letters: B patients, s*s tokens of each behind the leading class tokens, H token width.
"""

import torch
from torch import Tensor, nn

from survbench.learn.transmil import square_side

__all__ = ["EPEG"]


class EPEG(nn.Module):
    """A tall convolution of each channel over the grid; class tokens pass unchanged.

    Parameters
    ----------
    width
        H, width of a token.
    kernel
        Height of the convolution.
    residual
        Add the tokens to what the convolution makes of them, instead of replacing them by it.
    """

    def __init__(self, width: int, kernel: int = 15, *, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.convolution = nn.Conv2d(
            width, width, (kernel, 1), padding=(kernel // 2, 0), groups=width
        )

    def forward(self, token: Tensor, leading: int = 1) -> Tensor:
        """Tokens (B, leading + s*s, H) of tokens of the same shape."""
        side = square_side(token.shape[1] - leading)
        grid = token[:, leading:].mT.reshape(len(token), -1, side, side)  # (B, H, s, s)
        placed = self.convolution(grid)
        if self.residual:
            placed = placed + grid
        return torch.cat([token[:, :leading], placed.flatten(2).mT], dim=1)
