import math
from collections.abc import Collection

import pytest
import torch
from torch import Tensor

from survbench.errors import InputError
from survbench.learn.batch import BagBatch, Batch, GeneBatch, Widths
from survbench.learn.latents import LatentEncoder, LatentOptions, Latents
from survbench.learn.snn import GroupSNN
from survbench.learn.subspace import inside, outside, own_shared

OPTIONS = LatentOptions(width=16, rank=4, heads=2, hidden=32, landmarks=17)
GROUPS = {"a": (0, 1, 2), "b": (2, 3), "c": (4,)}
WIDTHS = Widths(
    patch={"P": 6, "R": 3},
    columns={"G": 5},
    groups={"G": GROUPS},
    intervals=4,
    order=("G", "P", "R"),
)
PAIRED = Widths(
    patch={"P": 6}, columns={"G": 5}, groups={"G": GROUPS}, intervals=4, order=("P", "G")
)
BAGS = (3, 16, 7, 40, 1)  # the fourth does not fit the landmarks


def bag_batch(has: Collection[int], width: int, seed: int) -> BagBatch:
    bags = [
        torch.randn(length, width, generator=torch.Generator().manual_seed(seed + row))
        for row, length in enumerate(BAGS)
    ]
    rows = sorted(has)
    features = torch.cat([torch.empty(0, width), *(bags[row] for row in rows)])
    return BagBatch(
        features, torch.tensor([BAGS[row] for row in rows]).long(), torch.tensor(rows).long()
    )


def patients(
    *,
    p: Collection[int] = range(5),
    g: Collection[int] = range(5),
    r: Collection[int] | None = None,
) -> Batch:
    """Five patients, of whom those named have each modality; the same data whoever has them."""
    values = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor(sorted(g)).long()
    index = {name: torch.tensor(columns) for name, columns in GROUPS.items()}
    modalities: dict[str, BagBatch | GeneBatch] = {
        "G": GeneBatch(values[rows], rows, index),
        "P": bag_batch(p, 6, seed=10),
    }
    if r is not None:
        modalities["R"] = bag_batch(r, 3, seed=30)
    return Batch(tuple(f"case{i}" for i in range(5)), modalities)


def encoder(widths: Widths = PAIRED) -> LatentEncoder:
    torch.manual_seed(0)
    return LatentEncoder(OPTIONS, widths).eval()


def alone(batch: Batch, row: int) -> Batch:
    from survbench.learn.buckets import selected

    return selected(batch, torch.tensor([row]))


def same(ours: Latents, row: int, one: Latents) -> None:
    for name in ("whole", "specific", "shared", "present"):
        torch.testing.assert_close(
            getattr(ours, name)[row], getattr(one, name)[0], atol=1e-5, rtol=1e-5
        )


@torch.no_grad()
def test_patients_together_equal_one_by_one_whatever_each_lacks() -> None:
    net, batch = encoder(), patients(p=(0, 1, 3, 4), g=(0, 2, 3, 4))
    together = net(batch)
    for row in range(5):
        same(together, row, net(alone(batch, row)))


@torch.no_grad()
def test_three_modalities_of_two_kinds_in_one_batch() -> None:
    net, batch = encoder(WIDTHS), patients(p=(0, 1, 3, 4), g=(0, 1, 2, 4), r=(0, 2, 4))
    together = net(batch)
    assert net.names == ("P", "R", "G")  # bags first
    assert together.present.int().tolist() == [
        [1, 1, 1],
        [1, 0, 1],
        [0, 1, 1],
        [1, 0, 0],
        [1, 1, 1],
    ]
    for row in range(5):
        same(together, row, net(alone(batch, row)))
    off = ~torch.eye(3, dtype=torch.bool)
    norms = together.shared.norm(dim=-1)
    assert bool((norms[[0, 4]][:, off] > 0).all())
    assert float(norms[[1, 2, 3]].sum() + norms[:, ~off].sum()) == 0.0


@torch.no_grad()
def test_specific_latents_leave_the_subspace_and_shared_ones_fill_it() -> None:
    net = encoder()
    basis, found = net.subspace(), net(patients())
    torch.testing.assert_close(found.specific, outside(found.specific, basis))
    torch.testing.assert_close(found.shared, inside(found.shared, basis))


@torch.no_grad()
@pytest.mark.parametrize("gone", ["P", "G"])
def test_an_absent_modality_is_not_read(gone: str) -> None:
    """NaN in all patients' values of a modality reach nobody who lacks it."""
    net, batch = encoder(), patients(p=(0, 1), g=(0, 1)) if gone == "P" else patients()
    lacking = patients(p=(0, 1)) if gone == "P" else patients(g=(0, 1))
    clean = net(lacking)
    modality = lacking.modalities[gone]
    (modality.features if isinstance(modality, BagBatch) else modality.values).fill_(math.nan)
    found = net(lacking)
    for row in (2, 3, 4):
        for name in ("whole", "specific", "shared"):
            assert torch.equal(getattr(found, name)[row], getattr(clean, name)[row])
    assert bool(found.whole[:2].isnan().any())
    assert len(batch) == 5


@torch.no_grad()
def test_permuted_gene_groups_change_no_gene_latent() -> None:
    net, batch = encoder(), patients()
    before = net(batch)
    order = [2, 0, 1]
    embed = net.whole["G"].get_submodule("embed")
    assert isinstance(embed, GroupSNN)
    blocks = list(embed)
    for place, i in enumerate(order):
        embed[place] = blocks[i]
    embed.groups = tuple(list(GROUPS)[i] for i in order)
    after = net(batch)
    torch.testing.assert_close(after.whole, before.whole)
    torch.testing.assert_close(after.specific, before.specific)
    torch.testing.assert_close(after.shared, before.shared)


@torch.no_grad()
def test_the_place_of_a_patch_matters() -> None:
    net, batch = encoder(), alone(patients(), 1)
    before = net(batch).whole
    batch.bags("P").features = batch.bags("P").features.flip(0)
    assert float((net(batch).whole - before)[:, 0].abs().max()) > 1e-4


@torch.no_grad()
def test_whole_latents_alone_are_the_same() -> None:
    net, batch = encoder(), patients(p=(0, 1, 3), g=(0, 2, 4, 3))
    whole, present = net.whole_latents(batch)
    found = net(batch)
    assert torch.equal(whole, found.whole)
    assert torch.equal(present, found.present)


@torch.no_grad()
def test_rest_is_the_mean_over_the_modalities_asked_for() -> None:
    found = encoder()(patients())
    gap = found.whole - found.specific
    both = found.rest(found.present)
    torch.testing.assert_close(both, gap.mean(dim=1))
    only = torch.tensor([[True, False]]).expand(5, 2)
    torch.testing.assert_close(found.rest(only), gap[:, 0])
    # with equal shared latents and an exact split, every surrogate is that shared latent
    exact = Latents(
        found.specific + own_shared(found.shared)[:, :1],
        found.specific,
        found.shared,
        found.present,
    )
    torch.testing.assert_close(exact.rest(only), exact.rest(~only), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_cosines_are_told_of_complete_patients_only() -> None:
    found = encoder()(patients(p=(0, 1), g=(1, 2, 3, 4))).cosines(("P", "G"))
    assert set(found) == {
        "cos_sum_P",
        "cos_sum_G",
        "cos_shared_P_G",
        "cos_specific_P_G",
        "cos_whole_P_G",
    }
    for value in found.values():
        assert value.isnan().tolist() == [True, False, True, True, True]
        assert float(value[1].abs()) <= 1 + 1e-6


def test_one_modality_is_refused() -> None:
    widths = Widths(patch={"P": 6}, columns={}, groups={}, intervals=4, order=("P",))
    with pytest.raises(InputError, match="two modalities"):
        LatentEncoder(OPTIONS, widths)


def test_every_parameter_learns_from_complete_patients() -> None:
    net = encoder()
    found = net(patients())
    total: Tensor = found.whole.square().sum() + found.specific[..., 0].square().sum()
    (total + found.shared[..., 1].square().sum()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name
