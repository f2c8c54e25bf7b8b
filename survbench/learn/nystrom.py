"""Nystrom self-attention: softmax attention through landmark tokens, linear in the length.

Letters: B patients, L tokens of each, H token width, A heads, E width of a head, M landmarks.
"""

from dataclasses import dataclass
from typing import Literal, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.errors import InputError
from survbench.learn.dropout import Dropout

__all__ = [
    "AttentionKind",
    "LandmarkAttention",
    "NystromAttention",
    "NystromOptions",
    "pinv",
    "pinv_scale",
]

AttentionKind = Literal["nystrom", "exact", "auto"]
FEW = 40  # tokens up to which convolving them by a matrix is cheaper, at the papers' widths


class NystromOptions(TypedDict, total=False):
    """Keywords of `NystromAttention` that the layers around it hand on."""

    heads: int
    head_width: int | None
    landmarks: int | None
    iterations: int
    kernel: int | None
    dropout: float
    attention: AttentionKind
    mask_padding: bool


def pinv_scale(matrix: Tensor, *, over: Literal["patient", "batch"] = "patient") -> Tensor:
    """Largest row sum times largest column sum, (B, 1, 1, 1), of matrices (B, A, M, M).

    The reference takes both maxima `over` the whole batch, so that a patient's risk would depend
    on its company; ours are over the heads of one patient, which is the same for a batch of one.
    """
    size = matrix.abs()
    dims = (1, 2) if over == "patient" else (0, 1, 2)
    row = size.sum(dim=-1).amax(dim=dims, keepdim=True)  # (B or 1, 1, 1)
    column = size.sum(dim=-2).amax(dim=dims, keepdim=True)
    return (row * column)[..., None]


def pinv(matrix: Tensor, iterations: int = 6, *, scale: Tensor | None = None) -> Tensor:
    """Approximate inverses (B, A, M, M) of matrices (B, A, M, M), by a third-order iteration.

    Z <- Z (13 I - X (15 I - X (7 I - X))) / 4 with X = matrix Z, starting from
    matrix^T / scale; c I starts at, and keeps, I / c.
    """
    inverse = matrix.mT / (pinv_scale(matrix) if scale is None else scale)
    one = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    for _ in range(iterations):
        product = matrix @ inverse
        inner = 15 * one - product @ (7 * one - product)
        inverse = inverse @ (13 * one - product @ inner) / 4
    return inverse


@dataclass
class LandmarkAttention:
    """The three softmax kernels of one pass; their chain replaces softmax(q k^T)."""

    to_landmark: Tensor  # (B, A, L, M)
    between: Tensor  # (B, A, M, M)
    from_landmark: Tensor  # (B, A, M, L)


class NystromAttention(nn.Module):
    """Multi-head self-attention through landmarks, with a convolution of the values added.

    softmax(q k~^T) pinv(softmax(q~ k~^T)) softmax(q~ k^T) v + conv(v), where q~ and k~ are means of
    consecutive groups of tokens. Sequences that are no multiple of the landmarks get zero rows in
    front, which (as in the reference) take part in every softmax unless masked.

    Parameters
    ----------
    width
        H, width of a token.
    heads, head_width
        A and E; E is H / A where not given.
    landmarks
        M, number of landmark tokens; H / 2 where not given.
    iterations
        Steps of the pseudo-inverse.
    kernel
        Length of the value convolution along the tokens; None leaves it out.
    dropout
        After the output projection.
    attention
        'nystrom' always; 'exact' is plain softmax attention with the same weights; 'auto' is
        exact where a sequence has no more tokens than landmarks, where landmarks save nothing.
    mask_padding
        Keep the zero rows in front out of every softmax (the reference does not).

    Raises
    ------
    InputError
        If `attention` is none of the three kinds.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int = 8,
        head_width: int | None = None,
        landmarks: int | None = None,
        iterations: int = 6,
        kernel: int | None = 33,
        dropout: float = 0.1,
        attention: AttentionKind = "nystrom",
        mask_padding: bool = False,
        eps: float = 1e-8,
    ) -> None:
        super().__init__()
        if attention not in ("nystrom", "exact", "auto"):
            msg = f"attention is {attention!r}; it must be 'nystrom', 'exact' or 'auto'"
            raise InputError(msg)
        self.heads = heads
        self.head_width = head_width or width // heads
        self.landmarks = landmarks or width // 2
        self.iterations = iterations
        self.attention = attention
        self.mask_padding = mask_padding
        self.eps = eps
        self.scale_over: Literal["patient", "batch"] = "patient"
        inner = heads * self.head_width
        self.qkv = nn.Linear(width, 3 * inner, bias=False)
        self.out = nn.Linear(inner, width)
        self.drop = Dropout(dropout)
        self.residual = None if kernel is None else self._value_convolution(kernel)

    def _value_convolution(self, kernel: int) -> nn.Conv2d:
        return nn.Conv2d(
            self.heads,
            self.heads,
            (kernel, 1),
            padding=(kernel // 2, 0),
            groups=self.heads,
            bias=False,
        )

    def forward(
        self, token: Tensor, mask: Tensor | None = None, *, lead: int | None = None
    ) -> Tensor:
        """Attended tokens (B, L, H) of tokens (B, L, H); `mask` (B, L) is True at real tokens.

        With `lead`, only the first `lead` of them, (B, lead, H): where attention is exact, nothing
        else is computed; landmarks need all.
        """
        length = token.shape[1]
        if self.exact(length):
            mixed = self._attend(token, mask, lead)
            return self._out(mixed)
        token, mask = self.pad(token, mask)
        q, k, v = self.project(token, mask)
        mixed = self.chain(self.kernels(q, k, mask), v)
        if self.residual is not None:
            mixed = mixed + self.residual(v)
        return self._out(mixed[:, :, -length:])[:, :lead]

    def exact(self, length: int) -> bool:
        """Whether sequences of `length` tokens get plain softmax attention."""
        fits = self.attention == "auto" and length <= self.landmarks
        return fits or self.attention == "exact"

    def _attend(self, token: Tensor, mask: Tensor | None, lead: int | None) -> Tensor:
        """Values (B, A, lead or L, E) by plain softmax attention, and the value convolution."""
        q, k, v = self.project(token, mask, lead)
        visible = None if mask is None else mask[:, None, None, :]
        if self.residual is not None and v.shape[2] <= FEW:
            score = q @ k.mT
            if visible is not None:
                score = score.masked_fill(~visible, torch.finfo(score.dtype).min)
            kernel = self.residual.weight.flatten(1)
            return (score.softmax(dim=-1) + convolving(kernel, q.shape[2], v.shape[2])) @ v
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=1.0)
        if self.residual is not None:
            reach = None if lead is None else self.residual.kernel_size[0] // 2 + lead
            mixed = mixed + self.residual(v[:, :, :reach])[:, :, :lead]
        return mixed

    def _out(self, mixed: Tensor) -> Tensor:
        """Tokens (B, L, H) of mixed values (B, A, L, E)."""
        attended: Tensor = self.drop(self.out(mixed.transpose(1, 2).flatten(2)))
        return attended

    def pad(self, token: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Tokens (B, L', H), zero rows in front up to a multiple of the landmarks, and mask."""
        short = -token.shape[1] % self.landmarks
        if mask is None and self.mask_padding and short:
            mask = token.new_ones(token.shape[:2], dtype=torch.bool)
        if mask is not None:
            mask = functional.pad(mask, (short, 0), value=False)
        return functional.pad(token, (0, 0, short, 0)), mask

    def project(
        self, token: Tensor, mask: Tensor | None, lead: int | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (scaled by E^-1/2), keys and values, each (B, A, L, E), zero where masked.

        With `lead`, queries of the first `lead` tokens alone, (B, A, lead, E).
        """
        weight, inner = self.qkv.weight, self.heads * self.head_width
        if lead is None:
            q, k, v = self.qkv(token).chunk(3, dim=-1)  # (B, L, A E) each
        else:
            q = functional.linear(token[:, :lead], weight[:inner])
            k, v = functional.linear(token, weight[inner:]).chunk(2, dim=-1)
        if mask is not None:
            real = mask[..., None]
            q, k, v = q * real[:, :lead], k * real, v * real
        q, k, v = (self._by_head(each) for each in (q, k, v))
        return q * self.head_width**-0.5, k, v

    def _by_head(self, value: Tensor) -> Tensor:
        """Values (B, A, L, E) of values (B, L, A E)."""
        split: Tensor = value.unflatten(-1, (self.heads, self.head_width))
        return split.transpose(1, 2)

    def kernels(self, q: Tensor, k: Tensor, mask: Tensor | None = None) -> LandmarkAttention:
        """The three softmax kernels of queries and keys (B, A, L, E), L a multiple of M."""
        group = q.shape[2] // self.landmarks
        grouped = (*q.shape[:2], self.landmarks, group, self.head_width)
        q_mark = q.reshape(grouped).sum(dim=3)  # (B, A, M, E)
        k_mark = k.reshape(grouped).sum(dim=3)
        real = mark = None
        size: Tensor | int = group
        if mask is not None:
            real = mask[:, None, :]  # (B, 1, L)
            count = mask.reshape(-1, 1, self.landmarks, group).sum(dim=3)  # (B, 1, M)
            mark = count > 0
            size = count[..., None] + self.eps
        q_mark, k_mark = q_mark / size, k_mark / size
        return LandmarkAttention(
            _softmax(q @ k_mark.mT, real, mark),
            _softmax(q_mark @ k_mark.mT, mark, mark),
            _softmax(q_mark @ k.mT, mark, real),
        )

    def chain(self, kernel: LandmarkAttention, v: Tensor) -> Tensor:
        """Values (B, A, L, E) mixed by the three kernels, the middle one inverted."""
        between = kernel.between
        # half precision loses the pseudo-inverse, whose entries are of order ten
        with torch.autocast(between.device.type, enabled=False):
            between = between.to(torch.promote_types(between.dtype, torch.float32))
            scale = pinv_scale(between, over=self.scale_over)
            inverse = pinv(between, self.iterations, scale=scale)
        return (kernel.to_landmark @ inverse.to(v.dtype)) @ (kernel.from_landmark @ v)


def convolving(kernel: Tensor, rows: int, length: int) -> Tensor:
    """Matrices (A, rows, L) that convolve L values with kernels (A, K), K odd.

    The first `rows` of what `torch.nn.functional.conv1d` gives with padding K // 2.
    """
    beyond = length - 1 - kernel.shape[1] // 2  # below 0 where its ends meet no value at all
    offset = functional.pad(kernel, (beyond, beyond))  # (A, 2 L - 1), of L - 1 to the left first
    return offset.unfold(1, length, 1).flip(1)[:, :rows]


def _softmax(score: Tensor, row: Tensor | None, column: Tensor | None) -> Tensor:
    """Softmax over the last axis; a row without a valid entry becomes uniform."""
    if row is not None and column is not None:
        valid = row[..., :, None] & column[..., None, :]
        score = score.masked_fill(~valid, -torch.finfo(score.dtype).max)
    return score.softmax(dim=-1)
