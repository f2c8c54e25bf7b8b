"""One-head attention between two sets of tokens, as the survival transformers write it.

Letters: B patients, Q queries and S source tokens of each, H token width.
"""

import math

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CoAttention"]


class CoAttention(nn.Module):
    """softmax(q k^T / sqrt(H)) v with one head, biases everywhere and an output projection.

    What torch's MultiheadAttention computes with one head; it can also give the raw scores, which
    the multimodal networks show as their co-attention.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.inward.weight)
        nn.init.zeros_(self.inward.bias)
        nn.init.zeros_(self.outward.bias)

    def forward(self, query: Tensor, source: Tensor, mask: Tensor | None = None) -> Tensor:
        """What queries (B, Q, H) read from `source` (B, S, H); `mask` (B, S) is True where real."""
        q, k, v = self._project(query, source)
        visible = None if mask is None else mask[:, None, :]
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        read: Tensor = self.outward(mixed)
        return read

    def scores(self, query: Tensor, source: Tensor) -> Tensor:
        """Scaled scores (B, Q, S) before the softmax."""
        q, k, _ = self._project(query, source)
        return q @ k.mT / math.sqrt(q.shape[-1])

    def _project(self, query: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        width = query.shape[-1]
        weight, bias = self.inward.weight, self.inward.bias
        q = functional.linear(query, weight[:width], bias[:width])
        k, v = functional.linear(source, weight[width:], bias[width:]).chunk(2, dim=-1)
        return q, k, v
