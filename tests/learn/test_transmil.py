import pytest
import torch
from torch import nn

from survbench.learn.nystrom import AttentionKind
from survbench.learn.transmil import (
    PPEG,
    NystromLayer,
    TransMILEncoder,
    equal_groups,
    square,
    square_groups,
    square_side,
)


def one_weight(convolution: nn.Module, row: int, column: int) -> None:
    """Make every weight and bias 0, and one place of each kernel 1."""
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    nn.init.zeros_(convolution.weight)
    with torch.no_grad():
        convolution.weight[:, 0, row, column] = 1


@pytest.mark.parametrize(
    ("length", "order"),
    [(1, [0]), (2, [0, 1, 0, 1]), (4, [0, 1, 2, 3]), (5, [0, 1, 2, 3, 4, 0, 1, 2, 3])],
)
def test_a_bag_fills_its_square_with_its_first_tokens(length: int, order: list[int]) -> None:
    token = torch.randn(2, length, 3)
    torch.testing.assert_close(square(token), token[:, order], atol=0, rtol=0)


def test_sides_are_exact_for_large_squares() -> None:
    assert [square_side(n) for n in (1, 2, 10**10, 10**10 + 1)] == [1, 2, 10**5, 10**5 + 1]


def test_groups_hold_every_bag_once_and_square_it() -> None:
    length = torch.tensor([5, 1, 7, 16, 9, 2, 1])
    token = torch.randn(int(length.sum()), 3)
    bags = torch.tensor_split(token, length.cumsum(0)[:-1])
    seen = []
    for which, index in square_groups(length):
        for bag, rows in zip(which.tolist(), index, strict=True):
            torch.testing.assert_close(token[rows], square(bags[bag][None])[0], atol=0, rtol=0)
            seen.append(bag)
    assert sorted(seen) == list(range(7))


def test_equal_groups_hold_the_bags_as_they_are() -> None:
    length = torch.tensor([3, 1, 3])
    token = torch.arange(7)
    groups = {index.shape[1]: (which, token[index]) for which, index in equal_groups(length)}
    assert groups[3][0].tolist() == [0, 2]
    assert groups[3][1].tolist() == [[0, 1, 2], [4, 5, 6]]
    assert groups[1][1].tolist() == [[3]]


def test_positions_leave_class_tokens_and_add_to_the_grid() -> None:
    ppeg = PPEG(4)
    for parameter in ppeg.parameters():
        nn.init.zeros_(parameter)
    token = torch.randn(2, 2 + 9, 4)
    torch.testing.assert_close(ppeg(token, leading=2), token)
    for convolution, centre in zip(ppeg.convolutions, (3, 2, 1), strict=True):
        one_weight(convolution, centre, centre)
    placed = ppeg(token, leading=2)
    torch.testing.assert_close(placed[:, :2], token[:, :2])
    torch.testing.assert_close(placed[:, 2:], 4 * token[:, 2:])


def test_tokens_lie_row_by_row_on_the_grid() -> None:
    ppeg = PPEG(1, kernels=(3,))
    one_weight(ppeg.convolutions[0], 0, 1)
    grid = torch.arange(1.0, 10.0).reshape(1, 9, 1)  # the convolution adds the token above
    placed = ppeg(torch.cat([torch.zeros(1, 1, 1), grid], dim=1))[0, 1:, 0]
    torch.testing.assert_close(placed, torch.tensor([1.0, 2, 3, 5, 7, 9, 11, 13, 15]))


def test_gradients_of_positions_accumulate_over_backward_passes() -> None:
    ppeg, token = PPEG(4), torch.randn(2, 10, 4)
    ppeg(token).sum().backward()
    once = {name: parameter.grad.clone() for name, parameter in ppeg.named_parameters()}  # type: ignore[union-attr]
    ppeg(token).sum().backward()
    for name, parameter in ppeg.named_parameters():
        torch.testing.assert_close(parameter.grad, 2 * once[name])


def test_a_layer_without_output_passes_its_tokens() -> None:
    layer = NystromLayer(8, heads=2).eval()
    nn.init.zeros_(layer.attention.out.weight)
    nn.init.zeros_(layer.attention.out.bias)
    token = torch.randn(2, 5, 8)
    torch.testing.assert_close(layer(token), token, atol=0, rtol=0)


@pytest.mark.parametrize("attention", ["nystrom", "exact", "auto"])
def test_an_encoded_bag_does_not_depend_on_company(attention: str) -> None:
    torch.manual_seed(0)
    encoder = TransMILEncoder(16, heads=4, attention=attention).eval()  # type: ignore[arg-type]
    token = torch.randn(4, 9, 16) * torch.tensor([0.1, 1, 5, 20])[:, None, None]
    together = encoder(token)
    for patient in range(4):
        alone = encoder(token[patient : patient + 1])
        torch.testing.assert_close(together[patient : patient + 1], alone, atol=1e-5, rtol=1e-5)


def test_sizes_are_the_references() -> None:
    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    assert count(NystromLayer(256)) == 263_176
    assert count(PPEG(256)) == 22_016
    assert count(TransMILEncoder(256)) == 549_136


@torch.no_grad()
@pytest.mark.parametrize("lead", [1, 2])
@pytest.mark.parametrize("length", [5, 25, 40])
@pytest.mark.parametrize("attention", ["auto", "exact", "nystrom"])
def test_leading_tokens_are_those_of_the_whole_layer(
    lead: int, length: int, attention: AttentionKind
) -> None:
    torch.manual_seed(0)
    layer = NystromLayer(16, heads=2, landmarks=26, attention=attention).eval()
    token, mask = torch.randn(3, length, 16), torch.arange(length).expand(3, -1) < length - 1
    torch.testing.assert_close(layer(token, lead=lead), layer(token)[:, :lead])
    torch.testing.assert_close(layer(token, mask, lead=lead), layer(token, mask)[:, :lead])


@torch.no_grad()
@pytest.mark.parametrize("kernels", [(7, 5, 3), ()])
def test_class_tokens_are_those_of_the_whole_encoder(kernels: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    encoder = TransMILEncoder(16, leading=2, ppeg_kernels=kernels, heads=2, attention="auto").eval()
    token = torch.randn(3, 4, 16)
    torch.testing.assert_close(encoder.classes(token), encoder(token)[:, :2])
