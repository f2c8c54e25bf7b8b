import pytest
import torch
from torch import Tensor

from survbench.errors import InputError
from survbench.learn.subspace import (
    Decomposition,
    Subspace,
    cosine,
    inside,
    orthonormal,
    outside,
    own_shared,
    projector,
)

B, D, R = 5, 12, 4


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def basis(generator: torch.Generator) -> Tensor:
    return orthonormal(torch.randn(D, R, generator=generator, dtype=torch.float64))


def decomposition(generator: torch.Generator, basis: Tensor, modalities: int = 2) -> Decomposition:
    """Random latents, specific and shared ones projected; the diagonal of `shared` is zero."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(B, *shape, D, generator=generator, dtype=torch.float64)

    off = ~torch.eye(modalities, dtype=torch.bool)
    shared = inside(draw(modalities, modalities), basis) * off[..., None]
    return Decomposition(draw(modalities), outside(draw(modalities), basis), shared)


def swapped(split: Decomposition) -> Decomposition:
    """The two modalities in the other order."""
    return Decomposition(split.whole.flip(1), split.specific.flip(1), split.shared.flip(1).flip(2))


def test_projector_is_orthogonal_with_rank_r(basis: Tensor) -> None:
    p, one = projector(basis), torch.eye(D, dtype=torch.float64)
    torch.testing.assert_close(basis.mT @ basis, torch.eye(R, dtype=torch.float64))
    torch.testing.assert_close(p, p.mT)
    torch.testing.assert_close(p @ p, p)
    assert float(p.trace()) == pytest.approx(R)
    torch.testing.assert_close(
        torch.linalg.eigvalsh(p), (torch.arange(D) >= D - R).to(torch.float64)
    )
    torch.testing.assert_close((one - p) @ p, torch.zeros_like(p))


def test_basis_stays_orthonormal_after_every_optimiser_step() -> None:
    torch.manual_seed(0)
    space = Subspace(D, R)
    optimiser = torch.optim.AdamW(space.parameters(), lr=0.3)
    before = space().detach()
    for _ in range(5):
        optimiser.zero_grad()
        (space() * torch.randn(D, R)).sum().backward()
        optimiser.step()
        basis = space().detach()
        torch.testing.assert_close(basis.mT @ basis, torch.eye(R), atol=1e-5, rtol=0)
    assert not torch.allclose(before, basis)


def test_basis_of_orthonormal_columns_is_itself_whatever_signs_qr_gives(basis: Tensor) -> None:
    torch.testing.assert_close(orthonormal(basis), basis)
    torch.testing.assert_close(orthonormal(-basis), -basis)


def test_parts_lie_in_the_span_and_in_its_complement(
    generator: torch.Generator, basis: Tensor
) -> None:
    vector = torch.randn(B, D, generator=generator, dtype=torch.float64)
    p, inner, outer = projector(basis), inside(vector, basis), outside(vector, basis)
    torch.testing.assert_close(inner @ p, inner)
    torch.testing.assert_close(outer @ p, torch.zeros_like(outer))
    torch.testing.assert_close(inner + outer, vector)
    # every specific latent is orthogonal to every shared one, for any weights
    torch.testing.assert_close(outer @ inner.mT, torch.zeros(B, B, dtype=torch.float64))


def test_residual_obeys_pythagoras(generator: torch.Generator, basis: Tensor) -> None:
    split = decomposition(generator, basis)
    own = own_shared(split.shared)
    outer = outside(split.whole - split.specific, basis).square().sum(dim=2)
    inner = inside(split.whole - own, basis).square().sum(dim=2)
    torch.testing.assert_close(split.residual(), outer + inner)


def test_residual_vanishes_for_the_two_projections_of_the_whole(
    generator: torch.Generator, basis: Tensor
) -> None:
    whole = decomposition(generator, basis).whole
    inner, nothing = inside(whole, basis), torch.zeros_like(whole[:, 0])
    # values of G (entry 1) are read by P (entry 0), and the other way round
    shared = torch.stack([nothing, inner[:, 1], inner[:, 0], nothing], dim=1)
    split = Decomposition(whole, outside(whole, basis), shared.reshape(B, 2, 2, D))
    assert float(split.residual().max()) < 1e-20
    apart = (inner[:, 0] - inner[:, 1]).square().sum(dim=1)
    torch.testing.assert_close(split.disagreement(), apart)


def test_surrogate_shared_latent_completes_the_whole(
    generator: torch.Generator, basis: Tensor
) -> None:
    split = decomposition(generator, basis)
    surrogate = split.whole - split.specific
    torch.testing.assert_close(surrogate + split.specific, split.whole)
    apart = (surrogate - own_shared(split.shared)).square().sum(dim=2)
    torch.testing.assert_close(apart, split.residual())
    torch.testing.assert_close(inside(surrogate, basis), inside(split.whole, basis))


def test_terms_keep_their_bounds_and_their_symmetry(
    generator: torch.Generator, basis: Tensor
) -> None:
    split = decomposition(generator, basis)
    other = swapped(split)
    assert bool((split.residual() >= 0).all())
    assert bool((split.disagreement() >= 0).all())
    assert bool(((split.overlap() >= 0) & (split.overlap() <= 3)).all())
    torch.testing.assert_close(split.residual(), other.residual().flip(1))
    torch.testing.assert_close(split.disagreement(), other.disagreement())
    torch.testing.assert_close(split.overlap(), other.overlap())


def test_terms_do_not_change_when_the_basis_turns_in_its_span(
    generator: torch.Generator, basis: Tensor
) -> None:
    turn = orthonormal(torch.randn(R, R, generator=generator, dtype=torch.float64))
    vector = torch.randn(B, D, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(inside(vector, basis @ turn), inside(vector, basis))
    torch.testing.assert_close(outside(vector, basis @ turn), outside(vector, basis))


def test_specific_and_shared_latents_overlap_in_nothing_and_push_nothing(
    generator: torch.Generator, basis: Tensor
) -> None:
    unique = torch.randn(B, D, generator=generator, dtype=torch.float64, requires_grad=True)
    raw = torch.randn(B, D, generator=generator, dtype=torch.float64, requires_grad=True)
    overlap = cosine(outside(unique, basis), inside(raw, basis)).abs()
    assert float(overlap.max().detach()) < 1e-6
    overlap.sum().backward()
    for vector in (unique, raw):
        assert vector.grad is not None
        assert float(vector.grad.abs().max()) < 1e-6


def test_cosine_with_a_zero_vector_is_zero() -> None:
    assert float(cosine(torch.zeros(D), torch.ones(D))) == 0.0


def test_three_modalities_average_over_the_others(
    generator: torch.Generator, basis: Tensor
) -> None:
    split = decomposition(generator, basis, modalities=3)
    c = split.shared
    torch.testing.assert_close(own_shared(c)[:, 0], (c[:, 1, 0] + c[:, 2, 0]) / 2)
    pairs = [(c[:, m, n] - c[:, n, m]).square().sum(dim=1) for m, n in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(split.disagreement(), (pairs[0] + pairs[1] + pairs[2]) / 3)
    u = split.specific
    between = sum(cosine(u[:, m], u[:, n]).abs() for m, n in ((0, 1), (0, 2), (1, 2)))
    torch.testing.assert_close(split.overlap(), between)  # what is within is zero


@pytest.mark.parametrize("rank", [0, D])
def test_a_rank_that_leaves_no_room_is_refused(rank: int) -> None:
    with pytest.raises(InputError, match=f"rank is {rank}"):
        Subspace(D, rank)
