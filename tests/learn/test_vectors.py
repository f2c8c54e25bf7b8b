import torch

from survbench.learn.vectors import GeneVector, VectorStems
from tests.parity.fixture import batch, widths

GENES = {"a": 3, "b": 2}


def patients(count: int = 5, scale: float = 100.0) -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    bags = [scale * torch.randn(i + 1, 4, generator=generator) for i in range(count)]
    return bags, scale * torch.randn(count, 5, generator=generator)


def test_bounded_vectors_keep_the_ranges_of_their_kind() -> None:
    stems = VectorStems(widths(patch=4, genes=GENES), 6, hidden=8, bounded=True).eval()
    vector, present = stems(batch(*patients()))
    assert vector.shape == (5, 2, 6)
    assert present.all()
    assert ((vector[:, 0] >= 0) & (vector[:, 0] <= 1)).all()
    assert (vector[:, 1].abs() <= 1).all()
    assert vector[:, 1].min() < 0


def test_unbounded_vectors_leave_them() -> None:
    stems = VectorStems(widths(patch=4, genes=GENES), 6, hidden=8).eval()
    vector, _ = stems(batch(*patients()))
    assert (vector.abs().amax(dim=(0, 2)) > 1).all()


def test_a_gene_vector_reads_its_columns_alone() -> None:
    net = GeneVector(torch.tensor([0, 2]), 3, 8).eval()
    _, values = patients()
    other = values.clone()
    other[:, [1, 3, 4]] = torch.nan
    torch.testing.assert_close(
        net(batch(genes=other).genes("G")), net(batch(genes=values).genes("G"))
    )


def test_sizes_by_hand() -> None:
    stems = VectorStems(widths(patch=4, genes=GENES), 6, hidden=8)
    bag = (4 * 8 + 8) + 2 * (8 * 8 + 8) + (8 + 1) + (8 * 6 + 6)
    genes = (5 * 8 + 8) + (8 * 6 + 6)
    assert sum(p.numel() for p in stems["P"].parameters()) == bag
    assert sum(p.numel() for p in stems["G"].parameters()) == genes
