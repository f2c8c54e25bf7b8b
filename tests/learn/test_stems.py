import torch
from torch import nn

from survbench.learn.batch import BagBatch, Batch, GeneBatch
from survbench.learn.stems import Stems
from tests.parity.fixture import widths

GROUPS = {"a": 3, "b": 2}


def stems() -> Stems:
    torch.manual_seed(0)
    return Stems(widths(patch=4, genes=GROUPS), 8).eval()


def batch(bag_rows: list[int], gene_rows: list[int], size: int) -> Batch:
    """Patients who have a bag of 1 + row patches, or genes, by their place in the batch."""
    generator = torch.Generator().manual_seed(1)
    patches, genes = torch.randn(size, size, 4, generator=generator), torch.randn(size, 5)
    length = torch.tensor(bag_rows) + 1
    rows = [patches[row, : row + 1] for row in bag_rows]
    index = {"a": torch.tensor([0, 1, 2]), "b": torch.tensor([3, 4])}
    return Batch(
        tuple(map(str, range(size))),
        {
            "P": BagBatch(
                torch.cat([*rows, torch.zeros(0, 4)]), length.long(), torch.tensor(bag_rows).long()
            ),
            "G": GeneBatch(genes[gene_rows], torch.tensor(gene_rows).long(), index),
        },
    )


def test_absent_modalities_give_zero_and_are_told() -> None:
    vector, present = stems()(batch([0, 2], [1, 2], 3))
    assert present.tolist() == [[True, False], [False, True], [True, True]]
    assert vector.shape == (3, 2, 8)
    assert (vector[~present] == 0).all()
    assert (vector[present] != 0).any(dim=1).all()


def test_nobody_with_a_modality_is_a_batch_like_any_other() -> None:
    vector, present = stems()(batch([], [0, 1], 2))
    assert present.tolist() == [[False, True], [False, True]]
    assert (vector[:, 0] == 0).all()


def test_a_single_patch_is_its_own_vector() -> None:
    net, patients = stems(), batch([0], [], 1)
    vector, _ = net(patients)
    patch = patients.bags("P").features
    torch.testing.assert_close(vector[:, 0], net["P"].get_submodule("embed")(patch))


def test_sizes_by_hand() -> None:
    net = stems()
    bag = (4 * 8 + 8) + 2 * (8 * 8 + 8) + (8 + 1)
    genes = (3 * 8 + 8) + (2 * 8 + 8) + 2 * (8 * 8 + 8) + (2 * 8 * 8 + 8)
    assert sum(p.numel() for p in net["P"].parameters()) == bag
    assert sum(p.numel() for p in net["G"].parameters()) == genes


def test_stems_of_another_make_take_the_place_of_the_usual_ones() -> None:
    class Ones(nn.Module):
        def forward(self, modality: BagBatch | GeneBatch) -> torch.Tensor:
            return torch.ones(len(modality), 8)

    net = Stems(widths(patch=4, genes=GROUPS), 8, stem=lambda _: Ones())
    vector, present = net(batch([0, 2], [1, 2], 3))
    torch.testing.assert_close(vector, present[..., None].float().expand(-1, -1, 8))
