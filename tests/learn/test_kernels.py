import pytest
import torch
from torch import Tensor

from survbench.learn.kernels import ReferenceNorm, bandwidth, kernel, squared_distances


def vectors(count: int, width: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).double()


def test_distances_are_those_of_pairs() -> None:
    rows, columns = vectors(4), vectors(7, seed=1)
    by_pairs = (rows[:, None] - columns).square().sum(dim=2)
    torch.testing.assert_close(squared_distances(rows, columns), by_pairs)
    assert squared_distances(rows, columns[:0]).shape == (4, 0)


def test_distances_survive_a_common_shift_in_single_precision() -> None:
    rows, columns = vectors(4), vectors(7, seed=1)
    exact = squared_distances(rows, columns).float()
    moved = squared_distances(rows.float() + 1000, columns.float() + 1000)
    torch.testing.assert_close(moved, exact, atol=2e-3, rtol=0)


def test_the_bandwidth_is_the_mean_over_different_patients() -> None:
    reference = vectors(9)
    every_pair = squared_distances(reference, reference).sum() / (9 * 8)
    torch.testing.assert_close(bandwidth(reference), every_pair)
    assert not bandwidth(reference.requires_grad_()).requires_grad


@pytest.mark.parametrize("count", [0, 1, 4])
def test_equal_vectors_have_bandwidth_one(count: int) -> None:
    assert float(bandwidth(torch.full((count, 3), 0.1))) == 1.0


def test_the_kernel_is_a_mean_of_three_gaussians() -> None:
    everybody = vectors(8)
    squared = squared_distances(everybody, everybody[:5])
    width = bandwidth(everybody[:5])
    three = [(-squared / (width / 2 * 2**k)).exp() for k in range(3)]
    torch.testing.assert_close(kernel(everybody, 5), sum(three) / 3)


def test_the_kernel_is_symmetric_one_on_the_diagonal_and_positive() -> None:
    found = kernel(vectors(6), 6)
    torch.testing.assert_close(found, found.mT)
    torch.testing.assert_close(found.diagonal(), torch.ones(6).double())
    assert bool((found > 0).all())
    assert bool((found <= 1).all())


def test_statistics_are_those_of_the_reference_as_in_batch_norm() -> None:
    ours, theirs = ReferenceNorm(6).double(), torch.nn.BatchNorm1d(6).double()
    everybody = vectors(9)
    for norm in (ours, theirs):
        torch.nn.init.uniform_(norm.get_parameter("weight"), generator=torch.manual_seed(1))
    found = ours(everybody, 6)
    torch.testing.assert_close(found[:6], theirs(everybody[:6]))
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(ours.get_buffer(name), theirs.get_buffer(name))
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(everybody, 6), theirs(everybody))


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_references_leave_the_running_statistics(count: int) -> None:
    norm = ReferenceNorm(6).double()
    torch.testing.assert_close(norm(vectors(3), count), vectors(3), rtol=1e-5, atol=1e-5)
    assert bool((norm.running_mean == 0).all())
