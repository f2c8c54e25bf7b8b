import numpy as np
import ot
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from survbench.errors import InputError
from survbench.learn.transport import (
    TransportGuide,
    TransportKernel,
    balanced_plan,
    shifted,
    transport_cost,
    unbalanced_plan,
)
from tests.parity.fixture import batch

KERNELS: list[TransportKernel] = ["entropy", "kl"]


def tokens(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)).double()


def costs(rows: int, columns: int = 3) -> NDArray[np.float64]:
    cost: NDArray[np.float64] = transport_cost(tokens(rows), tokens(columns, seed=1)).numpy()
    return cost


def written_out(cost: NDArray[np.float64], eps: float, tau: float) -> NDArray[np.float64]:
    """The loop of POT 0.9.3 as MOTCat's dossier gives it."""
    kernel, power = np.exp(-cost / cost.max() / eps), tau / (tau + eps)
    a, b = np.full(len(cost), 1 / len(cost)), np.full(cost.shape[1], 1 / cost.shape[1])
    u, v = np.ones_like(a), np.ones_like(b)
    for _ in range(1000):
        old_u, old_v = u, v
        u = (a / (kernel @ v)) ** power
        v = (b / (kernel.T @ u)) ** power
        moved = [
            np.abs(new - old).max() / max(new.max(), old.max(), 1.0)
            for new, old in ((u, old_u), (v, old_v))
        ]
        if np.mean(moved) < 1e-6:
            break
    plan: NDArray[np.float64] = u[:, None] * kernel * v
    return plan


def test_costs_are_squared_distances_of_shifted_tokens() -> None:
    patch, gene = tokens(4), tokens(3, seed=1)
    low = [each - each.min(dim=1, keepdim=True).values for each in (patch, gene)]
    expected = ot.dist(low[0].numpy(), low[1].numpy(), metric="sqeuclidean")
    np.testing.assert_allclose(transport_cost(patch, gene).numpy(), expected)
    torch.testing.assert_close(transport_cost(patch + 7, gene), transport_cost(patch, gene))


@pytest.mark.filterwarnings("ignore:If reg_type = entropy")
@pytest.mark.parametrize("rows", [1, 2, 40])
@pytest.mark.parametrize(("eps", "tau"), [(0.1, 0.5), (0.05, 0.5), (0.3, 2.0)])
def test_the_unbalanced_plan_is_that_of_the_loop_written_out(
    rows: int, eps: float, tau: float
) -> None:
    plan = unbalanced_plan(costs(rows), eps=eps, tau=tau)
    np.testing.assert_allclose(plan, written_out(costs(rows), eps, tau), atol=1e-12)


@pytest.mark.filterwarnings("ignore:If reg_type = entropy")
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_unbalanced_plan_solves_its_problem(kernel: TransportKernel) -> None:
    cost, eps, tau = costs(5), 0.1, 0.5
    plan = unbalanced_plan(cost, eps=eps, tau=tau, kernel=kernel)
    # first-order condition: M + eps log(T / c) + tau log(T1 / a) + tau log(T'1 / b) = 0
    reference = 1.0 if kernel == "entropy" else 1 / cost.size
    slope = (
        cost / cost.max()
        + eps * np.log(plan / reference)
        + tau * np.log(plan.sum(axis=1, keepdims=True) * 5)
        + tau * np.log(plan.sum(axis=0, keepdims=True) * 3)
    )
    np.testing.assert_allclose(slope, 0, atol=1e-4)


@pytest.mark.filterwarnings("ignore:If reg_type = entropy")
def test_only_under_the_entropy_kernel_mass_grows_with_the_bag() -> None:
    # equal costs c: a plan of mass m solves 1 + eps log(m / n) + 2 tau log m = 0, n entries
    eps, tau = 0.1, 0.5
    for rows in (4, 64):
        flat = np.full((rows, 3), 2.0)
        mass = np.exp((-1 + eps * np.log(3 * rows)) / (eps + 2 * tau))
        found = unbalanced_plan(flat, eps=eps, tau=tau)
        assert found.sum() == pytest.approx(mass, abs=1e-5)
        found = unbalanced_plan(flat, eps=eps, tau=tau, kernel="kl")
        assert found.sum() == pytest.approx(np.exp(-1 / (eps + 2 * tau)), abs=1e-5)


def test_the_balanced_plan_has_the_marginals_it_is_given() -> None:
    rows, columns = np.array([1.0, 2.0, 3.0, 2.0]), np.array([3.0, 1.0, 0.0])
    plan = balanced_plan(costs(4), rows, columns, eps=0.1)
    np.testing.assert_allclose(plan.sum(axis=1), rows / 8, atol=1e-8)
    np.testing.assert_allclose(plan.sum(axis=0), columns / 4, atol=1e-8)
    without = balanced_plan(costs(4), 0 * rows, 0 * columns, eps=0.1)
    np.testing.assert_allclose(without.sum(axis=1), 1 / 4, atol=1e-8)


@pytest.mark.parametrize("kind", ["unbalanced", "balanced"])
def test_equal_tokens_cost_nothing_and_share_alike(kind: str) -> None:
    guide = TransportGuide(kind=kind)  # type: ignore[arg-type]
    bags = batch([torch.ones(4, 8)]).bags("P")
    plan = guide.plans(torch.ones(1, 3, 8), bags.features, bags)
    assert bool(torch.isfinite(plan).all())
    torch.testing.assert_close(plan, plan[:1, :1].expand(4, 3))


@pytest.mark.filterwarnings("ignore:If reg_type = entropy")
@pytest.mark.parametrize("kind", ["unbalanced", "balanced"])
@pytest.mark.parametrize("lengths", [(5, 1, 9, 2), (4, 4)])
def test_concepts_are_transported_patches_of_the_own_bag(
    kind: str, lengths: tuple[int, ...]
) -> None:
    guide = TransportGuide(kind=kind)  # type: ignore[arg-type]
    own = [tokens(length, seed=length).float() for length in lengths]
    gene = tokens(3 * len(lengths), seed=1).float().reshape(-1, 3, 8)
    bags = batch(own).bags("P")
    found = guide(gene, bags.features, bags)
    for row, bag in enumerate(own):
        plan = torch.from_numpy(guide.plan(bag.double(), gene[row].double())).float()
        torch.testing.assert_close(found[row], plan.T @ bag)  # the tokens as they are, unshifted


def test_balanced_marginals_are_row_sums_of_shifted_tokens() -> None:
    patch, gene = tokens(5), tokens(3, seed=1)
    plan = TransportGuide(kind="balanced").plan(patch, gene)
    weight = shifted(patch).sum(dim=1)
    np.testing.assert_allclose(plan.sum(axis=1), (weight / weight.sum()).numpy(), atol=1e-8)


def test_the_plan_is_a_constant_to_the_gradient() -> None:
    patch = tokens(5).float().requires_grad_()
    gene = tokens(3, seed=1).float().requires_grad_()
    bags, guide = batch([patch.detach()]).bags("P"), TransportGuide()
    concept = guide(gene[None], patch, bags)
    by_patch, by_gene = torch.autograd.grad(concept.sum(), [patch, gene], allow_unused=True)
    assert by_gene is None
    mass = guide.plans(gene[None], patch, bags).sum(dim=1, keepdim=True)
    torch.testing.assert_close(by_patch, mass.expand(5, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "partial"}, "transport 'partial' is not known"),
        ({"kernel": "l2"}, "kernel 'l2' is not known"),
        ({"eps": 0.0}, "eps is 0.0"),
        ({"tau": -1.0}, "tau is -1.0"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TransportGuide(**options)  # type: ignore[arg-type]
