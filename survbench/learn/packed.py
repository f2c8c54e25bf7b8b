"""Frozen linear maps whose weight is laid out once, as the fastest product of few rows reads it.

A product of a few rows takes about as long as reading its weight. MKL and oneDNN both read one that
they have laid out themselves faster than a plain one, MKL on Intel's processors and oneDNN on
others: 20 rows of 256 columns to 1024 took 138 us against 220 on a Xeon, and 99 against 67 on an
AMD EPYC, on two threads.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

Kernel = Literal["mkl", "onednn", "plain"]


@cache
def kernels() -> tuple[Kernel, ...]:
    """Whose products of few float32 rows there are here, the fastest one first."""
    capabilities: Any = getattr(torch.cpu, "get_capabilities", dict)  # torch 2.6 has none
    intel = "Intel" in capabilities().get("cpu_name", "Intel")
    there: dict[Kernel, bool] = {
        "mkl": hasattr(torch.ops.mkl, "_mkl_linear"),
        "onednn": torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise"),
        "plain": True,
    }
    fastest: list[Kernel] = ["mkl", "onednn"] if intel else ["onednn", "mkl"]
    return tuple(kernel for kernel in (*fastest, "plain") if there[kernel])


class PackedLinear:
    """A frozen linear map of `rows` vectors, and the activation behind it if there is one.

    Parameters
    ----------
    weight, bias
        (out, in) and (out,); later changes of them are not seen.
    rows
        How many vectors come at a time.
    activation
        What the outputs go through.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, rows: int, activation: nn.Module | None = None
    ) -> None:
        self.rows, self.activation = rows, activation
        self.bias = bias.contiguous()  # oneDNN does not look at strides
        fits = weight.device.type == "cpu" and weight.dtype == torch.float32
        self.kernel = kernels()[0] if fits else "plain"
        self.post = "none"
        if self.kernel == "mkl":
            self.weight = weight.contiguous()  # its product asks for the plain one too
            self.pack = torch.ops.mkl._mkl_reorder_linear_weight(self.weight, rows)
        elif self.kernel == "onednn":
            self.pack = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
            if isinstance(activation, nn.GELU) and activation.approximate == "none":
                self.post, self.activation = "gelu", None
        else:
            self.pack = weight.T.contiguous()

    def __call__(self, value: Tensor) -> Tensor:
        """Vectors (rows, out) of vectors (rows, in)."""
        made = self._product(value)
        return made if self.activation is None else self.activation(made)

    def _product(self, value: Tensor) -> Tensor:
        if self.kernel == "mkl":
            made: Tensor = torch.ops.mkl._mkl_linear(
                value, self.pack, self.weight, self.bias, self.rows
            )
        elif self.kernel == "onednn":
            made = torch.ops.mkldnn._linear_pointwise(
                value, self.pack, self.bias, self.post, [], "none"
            )
        else:
            made = torch.addmm(self.bias, value, self.pack)
        return made
