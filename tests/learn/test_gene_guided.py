from typing import Any

import pytest
import torch
from torch import Tensor, nn

from survbench.errors import InputError
from survbench.learn import BagBatch, Batch
from survbench.learn.gene_guided import BagCoAttention, GeneGuided, TokenBranch
from tests.parity.fixture import batch, widths

SIZES = {"a": 3, "b": 2, "c": 4}
GROUPS = {"a": range(3), "b": range(3, 5), "c": range(5, 9)}
BLCA = dict(zip("abcdef", (94, 334, 521, 468, 1496, 479), strict=True))


def backbone(**options: Any) -> GeneGuided:
    """Backbone for patches 6 wide and three groups, eval mode."""
    torch.manual_seed(0)
    shape = {"width": 16, "heads": 4, "hidden": 32, **options}
    return GeneGuided(widths(patch=6, genes=SIZES), **shape).eval()


def patients(*lengths: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    bags = [torch.randn(length, 6, generator=generator) for length in lengths]
    genes = torch.randn(len(lengths), 9, generator=generator)
    return batch(bags, genes, GROUPS)


def test_parts_have_the_sizes_of_mcat() -> None:
    net = GeneGuided(widths(patch=1024, genes=BLCA))

    def size(part: nn.Module) -> int:
        return sum(p.numel() for p in part.parameters())

    assert size(net.embed) == 262_400
    assert size(net.genes) == 1_264_640
    assert size(net.guide) == 263_168
    for branch in net.branches.values():
        assert size(branch.get_submodule("encoder")) == 1_054_208
        assert size(branch.get_submodule("attend")) == 131_841
        assert size(branch.get_submodule("rho")) == 65_792
    assert size(net.fuse) == 197_120
    assert size(net) == 4_492_038


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(3, 1, 7, 50), (4, 4)])
def test_patients_together_equal_one_by_one(lengths: tuple[int, ...]) -> None:
    net, together = backbone(), patients(*lengths)
    bags, genes = together.bags("P"), together.genes("G").values
    first = [0, *bags.length.cumsum(0).tolist()]
    alone = [
        net(batch([bags.features[first[i] : first[i + 1]]], genes[i : i + 1], GROUPS))
        for i in range(len(lengths))
    ]
    torch.testing.assert_close(net(together), torch.cat(alone), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_concepts_are_what_torchs_attention_reads_of_the_own_bag() -> None:
    torch.manual_seed(0)
    guide, bags = BagCoAttention(8), patients(5, 2).bags("P")
    theirs = nn.MultiheadAttention(8, 1, batch_first=True)
    theirs.in_proj_weight.copy_(guide.attention.inward.weight)
    theirs.out_proj.load_state_dict(guide.attention.outward.state_dict())
    gene, token = torch.randn(2, 3, 8), torch.randn(7, 8)
    found = guide(gene, token, bags)
    for row, own in enumerate((token[:5], token[5:])):
        read, _ = theirs(gene[row : row + 1], own[None], own[None])
        torch.testing.assert_close(found[row], read[0])


@torch.no_grad()
def test_equal_patches_count_once() -> None:
    net = backbone()
    one, seven = (batch([torch.zeros(count, 6)], torch.ones(1, 9), GROUPS) for count in (1, 7))
    torch.testing.assert_close(net(one), net(seven))


@torch.no_grad()
def test_a_branch_does_not_see_the_order_of_its_tokens() -> None:
    torch.manual_seed(0)
    branch, token = TokenBranch(16, 4, 32, 2, 0.25).eval(), torch.randn(2, 6, 16)
    torch.testing.assert_close(branch(token.flip(1)), branch(token), atol=1e-6, rtol=1e-5)


class Mean(nn.Module):
    """Every gene token reads the mean patch."""

    def forward(self, gene: Tensor, token: Tensor, bags: BagBatch) -> Tensor:
        """Concepts (B, g, H)."""
        return bags.mean(token)[:, None].expand_as(gene)


class First(nn.Module):
    """The vector of the patches alone."""

    def forward(self, patch: Tensor, gene: Tensor) -> Tensor:
        """Fused vectors (B, H)."""
        del gene
        return patch


@torch.no_grad()
def test_guide_and_fusion_can_be_replaced() -> None:
    net, together = backbone(guide=Mean(), fusion=First()), patients(3, 5)
    bags = together.bags("P")
    concept = bags.mean(net.embed(bags.features))[:, None].expand(-1, 3, -1)
    torch.testing.assert_close(net(together), net.head(net.branches["P"](concept)))


def test_layers_and_sizes_are_options() -> None:
    net = backbone(layers=1, hidden=24)
    encoder = net.branches["P"].get_submodule("encoder")
    assert isinstance(encoder, nn.TransformerEncoder)
    assert len(encoder.layers) == 1
    assert encoder.layers[0].get_submodule("linear1").get_parameter("weight").shape == (24, 16)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(InputError, match="heads is 3"):
        backbone(heads=3)
