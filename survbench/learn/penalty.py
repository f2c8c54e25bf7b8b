"""The L1 term that some papers add to the loss of an optimiser step."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from survbench.learn.trainer import Stage

__all__ = ["l1_norm", "with_l1"]


def l1_norm(net: nn.Module) -> Tensor:
    """Sum () of the sizes of all parameters of `net`, biases included."""
    return torch.stack([parameter.abs().sum() for parameter in net.parameters()]).sum()


def with_l1(
    stages: Sequence[Stage],
    weight: float,
    part: Callable[[nn.Module], nn.Module] = lambda net: net,
) -> list[Stage]:
    """Stages whose every optimiser step adds `weight` times the L1 norm of a part of the net.

    Parameters
    ----------
    stages
        What to add it to; they come back as they are where `weight` is 0.
    weight
        Per optimiser step.
    part
        Which part of the net it counts; all of it unless given.
    """
    if weight == 0:
        return list(stages)

    def penalty(net: nn.Module) -> Tensor:
        return weight * l1_norm(part(net))

    return [replace(stage, penalty=penalty) for stage in stages]
