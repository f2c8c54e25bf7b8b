import torch
from torch import Tensor

from survbench.learn.low_rank import LowRankFusion, OuterFusion


def pair(width: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 3, width, generator=generator)
    return x, y


def with_one(vector: Tensor) -> Tensor:
    return torch.cat([torch.ones(len(vector), 1), vector], dim=1)


@torch.no_grad()
def test_low_rank_is_the_outer_product_contracted_with_a_tensor_of_that_rank() -> None:
    torch.manual_seed(0)
    layer = LowRankFusion(5, rank=4)
    layer.bias.normal_()
    tensor = torch.einsum("r,rih,rjh->ijh", layer.weight[0], layer.first, layer.second)
    x, y = pair()
    outer = torch.einsum("bi,bj->bij", with_one(x), with_one(y))
    expected = torch.einsum("bij,ijh->bh", outer, tensor) + layer.bias
    torch.testing.assert_close(layer(x, y), expected)


@torch.no_grad()
def test_the_whole_outer_product_can_be_any_low_rank_one() -> None:
    low, whole = LowRankFusion(5, rank=2), OuterFusion(5)
    tensor = torch.einsum("r,rih,rjh->hij", low.weight[0], low.first, low.second)
    whole.dense.weight.copy_(tensor.flatten(1))
    whole.dense.bias.copy_(low.bias[0])
    torch.testing.assert_close(whole(*pair()), low(*pair()))


def test_nothing_on_one_side_leaves_a_linear_map_of_the_other() -> None:
    layer, (x, y) = LowRankFusion(5), pair()
    nothing = torch.zeros_like(y)
    torch.testing.assert_close(
        layer(2 * x, nothing) - layer(x, nothing), layer(x, nothing) - layer(0 * x, nothing)
    )


def test_size() -> None:
    assert sum(p.numel() for p in LowRankFusion(256, 4).parameters()) == 526_596
