"""A bank of training patients' vectors that others are compared with.

Letters: N patients in the bank, M modalities, H width of a vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Bank", "Nodes"]


@dataclass
class Nodes:
    """Vectors (n, M, H) of n patients, zero where absent, and who has which, (n, M)."""

    vector: Tensor
    present: Tensor

    def __len__(self) -> int:
        return len(self.present)

    def of(self, rows: Tensor) -> Nodes:
        """The patients `rows`, positions or a mask."""
        return Nodes(self.vector[rows], self.present[rows])


class Bank(nn.Module):
    """Vectors of `size` training patients, without gradients, saved with the net.

    Parameters
    ----------
    size, modalities, width
        N, M and H.
    """

    vector: Tensor
    present: Tensor

    def __init__(self, size: int, modalities: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vector", torch.zeros(size, modalities, width))
        self.register_buffer("present", torch.zeros(size, modalities, dtype=torch.bool))

    def __len__(self) -> int:
        return len(self.present)

    def put(self, rows: Tensor, nodes: Nodes) -> None:
        """Replace the patients at `rows` (n,); those at rows below 0 have no place here."""
        kept = rows >= 0
        self.vector[rows[kept]] = nodes.vector.detach()[kept]
        self.present[rows[kept]] = nodes.present[kept]

    def nodes(self, rows: Tensor | None = None) -> Nodes:
        """All patients, or those at `rows`; later changes of the bank do not reach them."""
        chosen = torch.arange(len(self), device=self.present.device) if rows is None else rows
        return Nodes(self.vector[chosen], self.present[chosen])
