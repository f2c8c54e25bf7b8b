"""Nystrom attention for several lengths, with and without mask and value convolution."""

from typing import Any

import torch
from torch import Tensor

from survbench.learn.nystrom import NystromAttention, pinv, pinv_scale
from tests.parity.fixture import Fixture, Ours

RENAMES = (("to_qkv", "qkv"), (r"to_out\.0", "out"), ("res_conv", "residual"))


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs and softmax kernels of every sequence x_NAME; masked where mask_NAME is given."""
    ours: dict[str, Any] = {}
    attention = _attention(fixture)
    for suffix in fixture.suffixes("x"):
        masks: dict[str, Tensor | None] = {"": None}
        if f"mask{suffix}" in fixture.inputs:
            masks["_masked"] = fixture.tensor(f"mask{suffix}")
        for masked, mask in masks.items():
            token = fixture.tensor(f"x{suffix}")
            ours |= _of_sequence(attention, token, mask, f"{suffix}{masked}")
    if "test_matrix" in fixture.inputs:
        matrix = fixture.tensor("test_matrix")
        steps = fixture.config["pinv_iterations"]
        ours["pinv_of_test_matrix"] = pinv(matrix, steps, scale=pinv_scale(matrix, over="batch"))
    return ours


def _attention(fixture: Fixture) -> NystromAttention:
    config = fixture.config
    attention = NystromAttention(
        config["dim"],
        heads=config["heads"],
        head_width=config["dim_head"],
        landmarks=config["num_landmarks"],
        iterations=config["pinv_iterations"],
        kernel=config["residual_conv_kernel"] if config["residual"] else None,
        eps=config["eps"],
        attention="nystrom",
    )
    attention.scale_over = "batch"  # the reference's, which ours avoids
    fixture.load(attention, RENAMES)
    return attention


def _of_sequence(
    attention: NystromAttention, token: Tensor, mask: Tensor | None, suffix: str
) -> Ours:
    padded, real = attention.pad(token, mask)
    q, k, _ = attention.project(padded, real)
    kernel = attention.kernels(q, k, real)
    ours = {
        f"out{suffix}": attention(token, mask),
        f"attn1{suffix}": kernel.to_landmark,
        f"attn2{suffix}": kernel.between,
        f"attn3{suffix}": kernel.from_landmark,
    }
    residual, attention.residual = attention.residual, None
    ours[f"out{suffix}_noresidual"] = attention(token, mask)
    attention.residual = residual
    return ours
