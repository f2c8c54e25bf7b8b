"""Floating-point operations of a call, and the operators that ran without being counted.

torch's counter knows matrix products and convolutions, and gives 0, silently, for fused attention
on a CPU, the fast path of its transformer layers, LSTM, bilinear layers, distances, decompositions
and sparse products. Here attention is computed by matrix products and the fast path is off while
counting; the others are counted by `FORMULAS`. One multiply-add is two operations. Sums,
activations, norms and softmax are not counted: `Flops.uncounted` tells which of them ran, and on
how many elements. What runs outside torch is neither counted nor seen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["CONVENTION", "FORMULAS", "Flops", "Uncounted", "counted"]

CONVENTION = (
    "2 per multiply-add of matrix products, convolutions, recurrent and bilinear layers, distances "
    "and decompositions; elementwise operations, sums, norms and softmax are not counted"
)
Shape = Sequence[int]


@dataclass(frozen=True)
class Uncounted:
    """An operator that ran without being counted.

    Parameters
    ----------
    operator : str
        torch's name of it, such as "softmax".
    calls : int
        How often it ran.
    elements : int
        Elements of the largest tensor of each call, summed over the calls.
    simple : bool
        Whether it does a few operations for each element at most.
    """

    operator: str
    calls: int
    elements: int
    simple: bool


@dataclass(frozen=True)
class Flops:
    """What one call computed.

    Parameters
    ----------
    total : int
        Operations, 2 per multiply-add.
    by_operator : mapping of name to int
        The same for each counted operator, largest first.
    uncounted : tuple of Uncounted
        What ran beside them, largest first; what only makes, moves or views data is left out.
    """

    total: int
    by_operator: Mapping[str, int]
    uncounted: tuple[Uncounted, ...]

    @property
    def macs(self) -> int:
        """Multiply-adds."""
        return self.total // 2


def counted(call: Callable[[], object]) -> Flops:
    """Operations of one call, which is carried out without gradients."""
    census = _Census()
    counter = FlopCounterMode(display=False, custom_mapping=dict(FORMULAS))
    with torch.no_grad(), _matrix_attention(), census, counter:
        call()
    everywhere = counter.get_flop_counts().get("Global", {})  # absent where nothing was counted
    by_operator = {_name(operator): count for operator, count in everywhere.items()}
    return Flops(
        total=counter.get_total_flops(),
        by_operator=dict(sorted(by_operator.items(), key=lambda item: -item[1])),
        uncounted=census.found(counter.flop_registry),
    )


@contextmanager
def _matrix_attention() -> Iterator[None]:
    """Attention by matrix products, without the fast path of torch's own layers."""
    before = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.callback(torch.backends.mha.set_fastpath_enabled, before)
        torch.backends.mha.set_fastpath_enabled(False)
        yield


class _Census(TorchDispatchMode):
    """Notes every operator that runs; entered before the counter, it sees what that takes apart."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self.calls: Counter[Any] = Counter()
        self.elements: Counter[Any] = Counter()
        self.simple: dict[Any, bool] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        """Carry out an operator and note it."""
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if not getattr(func, "is_view", False) and _name(packet) not in _MOVES:
            tensors = [leaf for leaf in tree_leaves((args, out)) if isinstance(leaf, Tensor)]
            self.calls[packet] += 1
            self.elements[packet] += max((each.numel() for each in tensors), default=0)
            self.simple[packet] = bool(_SIMPLE_TAGS & set(func.tags)) or _name(packet) in _SIMPLE
        return out

    def found(self, registry: Mapping[Any, object]) -> tuple[Uncounted, ...]:
        """Operators that are in no registry, those that are not simple first."""
        rows = [
            Uncounted(_name(packet), calls, self.elements[packet], self.simple[packet])
            for packet, calls in self.calls.items()
            if packet not in registry
        ]
        return tuple(sorted(rows, key=lambda row: (row.simple, -row.elements)))


_SIMPLE_TAGS = {
    tag for name in ("pointwise", "reduction") if (tag := getattr(torch.Tag, name, None))
}
_SIMPLE = frozenset(
    {
        *("softmax", "log_softmax", "safe_softmax", "logsumexp", "linalg_vector_norm"),
        *("native_layer_norm", "native_batch_norm", "native_group_norm", "cudnn_batch_norm"),
        *("index_add", "scatter_reduce", "scatter_add", "cumsum", "cumprod", "bincount"),
        *("avg_pool2d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "max_pool2d_with_indices"),
        *(
            "floor_divide",
            "unique2",
            "argmax",
            "argmin",
            "max",
            "min",
            "topk",
            "sort",
            "native_dropout",
        ),
        *("uniform_", "normal_", "randn", "rand"),
    }
)
_MOVES = frozenset(
    {
        *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "eye"),
        *("zeros", "zeros_like", "new_zeros", "ones", "ones_like", "new_ones", "zero_"),
        *("full", "full_like", "new_full", "fill", "fill_", "scalar_tensor", "arange"),
        *("mkl_reorder_linear_weight",),
        *("clone", "copy_", "to_copy", "contiguous", "lift_fresh", "lift_fresh_copy", "detach_"),
        *("cat", "stack", "repeat", "repeat_interleave", "constant_pad_nd", "roll", "flip"),
        *("index", "index_select", "index_put", "index_put_", "index_copy", "gather", "scatter"),
        *("slice_scatter", "select_scatter", "masked_scatter", "nonzero", "tril_indices"),
        *("set_", "resize_", "unsafe_view", "reshape_alias", "pixel_shuffle", "im2col"),
        *("local_scalar_dense", "is_nonzero", "equal", "linalg_check_errors", "detach"),
    }
)


def _name(operator: Any) -> str:
    """Plain name of an operator: aten._softmax is softmax."""
    return str(operator).rpartition(".")[2].lstrip("_")


# -- what torch's counter does not know: from shapes of arguments to operations


def _leading(shape: Shape) -> int:
    """Matrices in a batch of them."""
    return math.prod(shape[:-2])


def _mv(matrix: Shape, vector: Shape, **_: Any) -> int:
    del vector
    return 2 * math.prod(matrix)


def _addmv(bias: Shape, matrix: Shape, vector: Shape, **_: Any) -> int:
    del bias
    return _mv(matrix, vector)


def _dot(left: Shape, right: Shape, **_: Any) -> int:
    del right
    return 2 * math.prod(left)


def _rnn_layer(source: Shape, of_input: Shape, of_state: Shape, *_: Any, **__: Any) -> int:
    """One layer of one direction: two products for each token (T, B)."""
    return 2 * math.prod(source[:-1]) * (math.prod(of_input) + math.prod(of_state))


def _cudnn_rnn(source: Shape, weights: Sequence[Shape], *_: Any, **__: Any) -> int:
    """All layers and directions at once; biases have one dimension."""
    size = sum(math.prod(weight) for weight in weights if len(weight) == 2)
    return 2 * math.prod(source[:-1]) * size


def _bilinear(left: Shape, weight: Shape, right: Shape, *_: Any, **__: Any) -> int:
    """Of x^T W_o y for (B, I), (O, I, J), (B, J): W_o y first, then x^T of that."""
    del right
    out, rows, columns = weight[-3:]
    return 2 * math.prod(left[:-1]) * out * rows * (columns + 1)


def _distances(left: Shape, right: Shape, *_: Any, **__: Any) -> int:
    """As the product of (m, d) and (d, n): one multiply-add for each column of each pair."""
    return 2 * _leading(left) * left[-2] * right[-2] * left[-1]


def _svd(matrix: Shape, *_: Any, **__: Any) -> int:
    """Nominal, for both sides of a thin decomposition: Golub & Van Loan, 8.6.4."""
    n, m = sorted(matrix[-2:])
    return _leading(matrix) * min(14 * m * n**2 + 8 * n**3, 6 * m * n**2 + 20 * n**3)


def _pinv(matrix: Shape, *_: Any, **__: Any) -> int:
    """The decomposition, and the product of its two sides."""
    n, m = sorted(matrix[-2:])
    return _svd(matrix) + 2 * _leading(matrix) * m * n * n


def _eigh(matrix: Shape, *_: Any, **__: Any) -> int:
    """Nominal, with vectors: Golub & Van Loan, 8.3."""
    return _leading(matrix) * 9 * matrix[-1] ** 3


def _qr(matrix: Shape, *_: Any, **__: Any) -> int:
    """Householder's, the thin Q written out: twice 2 m n^2 - 2/3 n^3 for m >= n."""
    m, n = matrix[-2], min(matrix[-2:])
    return round(_leading(matrix) * 4 * (m * n**2 - n**3 / 3))


def _solve(matrix: Shape, right: Shape, **_: Any) -> int:
    n = matrix[-1]
    columns = right[-1] if len(right) == len(matrix) else 1
    return round(_leading(matrix) * (2 * n**3 / 3 + 2 * n**2 * columns))


def _inverse(matrix: Shape, *_: Any, **__: Any) -> int:
    return _leading(matrix) * 2 * matrix[-1] ** 3


def _cholesky(matrix: Shape, *_: Any, **__: Any) -> int:
    return round(_leading(matrix) * matrix[-1] ** 3 / 3)


def _mm(left: Tensor, right: Tensor, **_: Any) -> int:
    """Of a sparse matrix only what is stored takes part."""
    if _is_sparse(left):
        return 2 * _stored(left) * right.shape[1]
    if _is_sparse(right):
        return 2 * _stored(right) * left.shape[0]
    return 2 * left.shape[0] * left.shape[1] * right.shape[1]


def _addmm(bias: Tensor, left: Tensor, right: Tensor, **_: Any) -> int:
    del bias
    return _mm(left, right)


def _packed_linear(value: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    """A dense layer whose weights a library has laid out for itself."""
    return 2 * math.prod(value) * out_shape[-1]


def _is_sparse(matrix: Tensor) -> bool:
    return matrix.layout != torch.strided


def _stored(matrix: Tensor) -> int:
    return int(matrix._nnz())


_mm._get_raw = _addmm._get_raw = True  # type: ignore[attr-defined]  # torch: tensors, not shapes

_aten = torch.ops.aten
FORMULAS: dict[Any, Callable[..., int]] = {
    _aten.mm: _mm,
    _aten.addmm: _addmm,
    _aten._sparse_addmm: _addmm,
    _aten.mv: _mv,
    _aten.addmv: _addmv,
    _aten.dot: _dot,
    _aten.vdot: _dot,
    _aten.mkldnn_rnn_layer: _rnn_layer,
    _aten._cudnn_rnn: _cudnn_rnn,
    _aten._trilinear: _bilinear,
    _aten._cdist_forward: _distances,
    _aten._euclidean_dist: _distances,
    _aten._linalg_svd: _svd,
    _aten.linalg_pinv: _pinv,
    _aten._linalg_eigh: _eigh,
    _aten.linalg_qr: _qr,
    _aten._linalg_solve_ex: _solve,
    _aten.linalg_inv_ex: _inverse,
    _aten.linalg_cholesky_ex: _cholesky,
}
for _library, _linear in ((torch.ops.mkl, "_mkl_linear"), (torch.ops.mkldnn, "_linear_pointwise")):
    if hasattr(_library, _linear):  # not in every build of torch
        FORMULAS[getattr(_library, _linear)] = _packed_linear
