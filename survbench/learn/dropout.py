"""Dropout whose large masks do not take longer than the products around them."""

import torch
from torch import Tensor, nn

__all__ = ["LARGE", "Dropout"]

LARGE = 2**21  # elements of a mask; 4,096 patches of width 512
_VALUES = 2**16  # of two random bytes


class Dropout(nn.Dropout):
    """torch's Dropout; a large mask on a CPU is drawn as two random bytes for each element.

    torch calls its generator for every element, at some 24 ns; these take 2. The share that is
    dropped is then `p` rounded to 1/65536, and what remains is scaled by it.
    """

    def forward(self, value: Tensor) -> Tensor:
        """Values of the same shape; in training some are zero and the others larger."""
        few = value.numel() < LARGE or value.device.type != "cpu"
        if few or not self.training or self.p in (0.0, 1.0):
            return super().forward(value)
        dropped = round(self.p * _VALUES)
        words = torch.empty(-(-value.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        lots = words.view(torch.int16)[: value.numel()].view(value.shape)
        kept = (lots >= dropped - _VALUES // 2).to(value.dtype)
        return value * kept.mul_(_VALUES / (_VALUES - dropped))
