"""Frozen linear maps give what torch's own layer gives, whoever lays their weights out."""

import pytest
import torch
from torch import nn

from survbench.learn import packed
from survbench.learn.packed import PackedLinear


@pytest.fixture(params=packed.kernels())
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The one kernel there is."""
    monkeypatch.setattr(packed, "kernels", lambda: (request.param,))
    return str(request.param)


def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(24, 40)


@torch.no_grad()
@pytest.mark.parametrize(
    "activation", [None, nn.GELU(), nn.GELU(approximate="tanh"), nn.ReLU()], ids=str
)
@pytest.mark.parametrize("rows", [1, 5, 20])
def test_outputs_are_those_of_the_plain_layer(
    kernel: str, rows: int, activation: nn.Module | None
) -> None:
    linear, value = layer(), torch.randn(rows, 24)
    expected = linear(value) if activation is None else activation(linear(value))
    found = PackedLinear(linear.weight, linear.bias, rows, activation)
    assert found.kernel == kernel
    torch.testing.assert_close(found(value), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_part_of_a_weight_is_packed_as_it_stands(kernel: str) -> None:
    linear, value = layer(), torch.randn(3, 12)
    weight = linear.weight.T[12:, ::2].T  # not contiguous
    found = PackedLinear(weight, linear.bias[::2], 3)(value)
    expected = value @ weight.T + linear.bias[::2]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_float64_takes_the_plain_product() -> None:
    linear, value = layer().double(), torch.randn(3, 24, dtype=torch.float64)
    found = PackedLinear(linear.weight, linear.bias, 3)
    assert found.kernel == "plain"
    torch.testing.assert_close(found(value), linear(value))


@pytest.mark.parametrize(
    ("maker", "first"), [("Intel(R) Xeon(R) Processor", "mkl"), ("AMD EPYC", "onednn")]
)
@pytest.mark.skipif(len(packed.kernels()) < 3, reason="this torch was built without MKL or oneDNN")
def test_mkl_comes_first_on_intel_alone(
    maker: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": maker}, raising=False)
    assert packed.kernels.__wrapped__()[0] == first
