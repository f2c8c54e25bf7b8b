import pytest
import torch

from survbench.learn.bilinear import FactorisedProduct, OuterProduct


def test_outer_products_are_those_of_numpy_first_vector_slow() -> None:
    layer = OuterProduct(4, 3)
    first, second = torch.randn(5, 4), torch.randn(5, 4)
    outer = torch.stack([torch.outer(a, b).reshape(-1) for a, b in zip(first, second, strict=True)])
    torch.testing.assert_close(layer(first, second), layer.dense(outer).clamp(min=0))


@pytest.mark.parametrize("place", [0, 1])
def test_a_zero_vector_silences_its_outer_products(place: int) -> None:
    layer = OuterProduct(4, 3)
    vectors = [torch.randn(5, 4), torch.randn(5, 4)]
    vectors[place] = torch.zeros(5, 4)
    torch.testing.assert_close(layer(*vectors), layer.dense.bias.relu().expand(5, 3))


def test_factorised_product_is_a_bilinear_form_of_low_rank() -> None:
    torch.manual_seed(0)
    outputs, rank = 3, 2
    left, right = torch.randn(outputs * rank, 5), torch.randn(outputs * rank, 4)
    a, b = torch.randn(5), torch.randn(4)
    form = torch.stack(
        [a @ (u.mT @ v) @ b for u, v in zip(left.split(2), right.split(2), strict=True)]
    )
    rooted = form.sign() * form.abs().sqrt()
    layer = FactorisedProduct(outputs, rank).eval()
    torch.testing.assert_close(layer(left @ a, right @ b), rooted / rooted.norm())


def test_a_product_with_itself_has_length_one_and_no_negative_entry() -> None:
    layer, projected = FactorisedProduct(6, 4).eval(), torch.randn(7, 2, 24)
    product = layer(projected, projected)
    torch.testing.assert_close(product.norm(dim=-1), torch.ones(7, 2))
    assert (product >= 0).all()


def test_a_product_that_is_zero_has_a_finite_gradient() -> None:
    layer = FactorisedProduct(2, 2, dropout=0.0)
    first = torch.tensor([[0.0, 0.0, 1.0, 2.0], [0.0] * 4], requires_grad=True)
    product = layer(first, torch.ones(2, 4))
    torch.testing.assert_close(product, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    product.sum().backward()
    assert first.grad is not None
    assert first.grad.isfinite().all()


def test_dropout_takes_factors_not_outputs() -> None:
    torch.manual_seed(0)
    layer = FactorisedProduct(200, 50, dropout=0.5)
    ones = torch.ones(1, 10_000)
    assert (layer(ones, ones) > 0).all()
