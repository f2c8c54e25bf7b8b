import pytest
import torch
from torch import Tensor, nn

from survbench.learn.epeg import EPEG


def tokens(count: int = 1 + 16) -> Tensor:
    return torch.randn(2, count, 3, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_a_kernel_that_is_one_in_the_middle_changes_nothing() -> None:
    layer = EPEG(3, kernel=5)
    nn.init.zeros_(layer.convolution.weight)
    nn.init.zeros_(layer.get_parameter("convolution.bias"))
    layer.convolution.weight[:, :, 2] = 1
    torch.testing.assert_close(layer(tokens()), tokens())


@torch.no_grad()
def test_class_tokens_pass_unchanged() -> None:
    torch.testing.assert_close(EPEG(3)(tokens())[:, 0], tokens()[:, 0], atol=0, rtol=0)
    two = EPEG(3)(tokens(2 + 9), leading=2)
    torch.testing.assert_close(two[:, :2], tokens(2 + 9)[:, :2], atol=0, rtol=0)


@torch.no_grad()
def test_a_token_reaches_its_own_column_alone() -> None:
    layer, changed = EPEG(3, kernel=15), tokens()
    changed[:, 1 + 4 * 2 + 1] += 1  # row 2, column 1 of the 4 x 4 grid
    moved = (layer(changed) - layer(tokens())).abs().sum(dim=(0, 2)) > 0
    assert moved[1:].reshape(4, 4).nonzero()[:, 1].unique().tolist() == [1]


@torch.no_grad()
def test_ones_count_the_rows_within_reach() -> None:
    layer = EPEG(1, kernel=3)
    nn.init.ones_(layer.convolution.weight)
    nn.init.zeros_(layer.get_parameter("convolution.bias"))
    found = layer(torch.ones(1, 9, 1), leading=0)[0, :, 0]
    assert found.reshape(3, 3).tolist() == [[2] * 3, [3] * 3, [2] * 3]


@torch.no_grad()
@pytest.mark.parametrize("side", [1, 4])
def test_residual_adds_the_tokens(side: int) -> None:
    plain, residual = EPEG(3), EPEG(3, residual=True)
    residual.load_state_dict(plain.state_dict())
    token = tokens(1 + side**2)
    torch.testing.assert_close(residual(token)[:, 1:], plain(token)[:, 1:] + token[:, 1:])
