"""Plain attention layers: pre-norm encoder layer, class token, cross attention.

Letters: B patients, L tokens of each, H token width, A heads, E width of a head.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.errors import InputError
from survbench.learn.dropout import Dropout

__all__ = ["CrossAttention", "EncoderLayer", "with_token"]

FEW = 8  # up to here elementwise products beat batched matrix products on a CPU


def with_token(leading: Tensor, token: Tensor) -> Tensor:
    """Tokens (B, 1 + L, H): the vector `leading` (H,) in front of each sequence (B, L, H)."""
    return torch.cat([leading.expand(token.shape[0], 1, -1), token], dim=1)


class CrossAttention(nn.Module):
    """softmax(Q W_q (K W_k)^T / sqrt(H)) V W_v: one head, no bias, no output projection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)

    def forward(self, token: Tensor, source: Tensor, mask: Tensor | None = None) -> Tensor:
        """What tokens (B, L, H) read from `source` (B, S, H); `mask` (B, S) is True where real."""
        visible = None if mask is None else mask[:, None, :]
        return functional.scaled_dot_product_attention(
            self.query(token), self.key(source), self.value(source), attn_mask=visible
        )


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer: x + attention(norm(x)), then x + feed-forward(norm(x)).

    Parameters
    ----------
    width
        H, width of a token.
    heads
        A, number of heads of width H / A.
    hidden
        Width inside the feed-forward block.
    dropout
        On both residual branches and inside the feed-forward block.
    activation
        Between the two linear maps of the feed-forward block.
    norm
        Whether there are norms at all.
    forward_dropout
        Inside the feed-forward block, where it is not `dropout`.

    Raises
    ------
    InputError
        If the heads do not divide the width.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int = 8,
        hidden: int = 512,
        dropout: float = 0.0,
        activation: type[nn.Module] = nn.ReLU,
        norm: bool = True,
        forward_dropout: float | None = None,
    ) -> None:
        super().__init__()
        if width % heads:
            msg = f"heads is {heads}; it must divide the token width {width}"
            raise InputError(msg)
        self.heads = heads
        self.norm_attention: nn.Module = nn.LayerNorm(width) if norm else nn.Identity()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_forward: nn.Module = nn.LayerNorm(width) if norm else nn.Identity()
        self.up = nn.Linear(width, hidden)
        self.activation = activation()
        self.down = nn.Linear(hidden, width)
        self.drop = Dropout(dropout)
        self.drop_inside = Dropout(dropout if forward_dropout is None else forward_dropout)

    def forward(
        self, token: Tensor, mask: Tensor | None = None, *, lead: int | None = None
    ) -> Tensor:
        """Encoded tokens (B, L, H) of tokens (B, L, H); `mask` (B, L) is True at real tokens.

        With `lead`, only the first `lead` of them, (B, lead, H): nothing else is computed.
        """
        q, k, v = self._project(self.norm_attention(token), lead)
        few = mask is None and k.shape[1] <= FEW
        mixed = _mix_few(q, k, v) if few else _mix(q, k, v, mask)
        token = token[:, :lead] + self.drop(self.out(mixed))
        hidden = self.drop_inside(self.activation(self.up(self.norm_forward(token))))
        encoded: Tensor = token + self.drop(self.down(hidden))
        return encoded

    def _project(self, token: Tensor, lead: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, lead, A, E) of the leading tokens, keys and values (B, L, A, E) of all."""
        count, length, width = token.shape
        shape = (count, length, -1, self.heads, width // self.heads)
        if lead is None:
            q, k, v = self.qkv(token).reshape(shape).unbind(dim=2)
            return q, k, v
        weight, bias = self.qkv.weight, self.qkv.bias
        q = functional.linear(token[:, :lead], weight[:width], bias[:width])
        kv = functional.linear(token, weight[width:], bias[width:])
        k, v = kv.reshape(shape).unbind(dim=2)
        return q.reshape(count, lead, *shape[3:]), k, v


def _mix_few(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Values (B, Q, A E) of a handful of tokens, from q (B, Q, A, E) and k, v (B, L, A, E)."""
    score = (q.unsqueeze(2) * k.unsqueeze(1)).sum(dim=-1)  # (B, Q, L, A)
    weight = (score * q.shape[-1] ** -0.5).softmax(dim=2)
    mixed: Tensor = (weight.unsqueeze(-1) * v.unsqueeze(1)).sum(dim=2).flatten(2)
    return mixed


def _mix(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """The same for any number of tokens, and with a mask (B, L)."""
    visible = None if mask is None else mask[:, None, None, :]
    mixed = functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=visible
    )
    return mixed.transpose(1, 2).flatten(2)
