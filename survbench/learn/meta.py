"""Learning to adapt: a gradient step on some parameters that later losses see through."""

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["inner_step"]


def inner_step(
    loss: Tensor, parameters: Mapping[str, Tensor], lr: float, *, second_order: bool = True
) -> dict[str, Tensor]:
    """Parameters after one step of gradient descent on `loss`, under the same names.

    They stay functions of `parameters` and of all else that `loss` depends on: with `second_order`
    in full, without only through the identity, which costs no gradient of a gradient. What `loss`
    does not depend on is as it was.
    """
    gradients = torch.autograd.grad(
        loss, list(parameters.values()), create_graph=second_order, retain_graph=True,
        allow_unused=True,
    )  # fmt: skip
    return {
        name: value if gradient is None else value - lr * gradient
        for (name, value), gradient in zip(parameters.items(), gradients, strict=True)
    }
