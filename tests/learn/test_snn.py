import pytest
import torch

from survbench.errors import InputError
from survbench.learn import Widths
from survbench.learn.snn import (
    gene_columns,
    lecun_normal_,
    mlp_blocks,
    snn_blocks,
    xavier_normal_,
)


def test_selu_blocks_keep_mean_and_variance_through_many_layers() -> None:
    torch.manual_seed(0)
    blocks = snn_blocks(512, [512] * 12, activation="selu", dropout=0.1)
    lecun_normal_(blocks)
    with torch.no_grad():
        out = blocks.train()(torch.randn(512, 512))
    assert abs(out.mean()) < 0.1
    assert 0.8 < out.var() < 1.2


def test_lecun_weights_have_variance_one_over_fan_in_and_no_bias() -> None:
    torch.manual_seed(0)
    blocks = snn_blocks(400, [600])
    lecun_normal_(blocks)
    linear = blocks[0][0]  # type: ignore[index]
    torch.testing.assert_close(linear.weight.std() * 20, torch.tensor(1.0), atol=0.01, rtol=0)
    assert (linear.bias == 0).all()


def test_xavier_weights_have_variance_two_over_fan_in_and_fan_out_and_no_bias() -> None:
    torch.manual_seed(0)
    blocks = snn_blocks(300, [500])
    xavier_normal_(blocks)
    linear = blocks[0][0]  # type: ignore[index]
    torch.testing.assert_close(linear.weight.std() * 20, torch.tensor(1.0), atol=0.01, rtol=0)
    assert (linear.bias == 0).all()


def test_the_public_code_uses_elu() -> None:
    block = snn_blocks(1, [1])
    linear = block[0][0]  # type: ignore[index]
    torch.nn.init.ones_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    out = block.eval()(torch.tensor([[-1.0], [2.0]]))
    torch.testing.assert_close(out, torch.tensor([[torch.e**-1 - 1], [2.0]]))


def test_mlp_blocks_are_rectified_after_every_layer() -> None:
    blocks = mlp_blocks(5, [7, 3]).eval()
    out = blocks(torch.randn(50, 5))
    assert out.shape == (50, 3)
    assert (out >= 0).all()


def test_an_unknown_activation_is_an_error() -> None:
    with pytest.raises(InputError, match="activation is 'tanh'"):
        snn_blocks(1, [1], activation="tanh")  # type: ignore[arg-type]


def test_a_gene_of_two_groups_is_read_once() -> None:
    groups = {"G": {"first": (4, 0, 2), "second": (2, 3)}}
    widths = Widths(patch={}, columns={"G": 6}, groups=groups, intervals=4, order=("G",))
    assert gene_columns(widths, "G").tolist() == [0, 2, 3, 4]
    assert gene_columns(widths, "G", ungrouped=True).tolist() == [0, 1, 2, 3, 4, 5]
