from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from survbench.cohort.demo import simulate
from survbench.learn import nll_surv
from survbench.methods.cmta import CMTA, ClassTokens, CMTAConfig, CMTANet
from tests.methods.patients import BLCA, GROUPS, ROUND, SIZES, one_of, patients
from tests.parity.fixture import batch, widths

TINY: dict[str, Any] = {"width": 16, "gene_hidden": 8, "epochs": 1}


def small(**options: Any) -> CMTANet:
    """Net for patches 6 wide and three gene groups, fixed weights, eval mode."""
    torch.manual_seed(0)
    return CMTANet(CMTAConfig(**{**TINY, **options}), widths(patch=6, genes=SIZES)).eval()


PARTS = {
    "embed_gene": 5_053_952,
    "embed_patch": 328_192,
    "encode_patch": 549_136,
    "decode_patch": 549_136,
    "encode_gene": 527_120,
    "decode_gene": 527_120,
    "patch_reads": 263_168,
    "gene_reads": 263_168,
    "fuse": 197_120,
    "head": 1_028,
}


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("patch", "genes", "parameters"),
    [(1024, BLCA, 8_259_140), (1536, BLCA, 8_259_140 + 131_072), (1024, ROUND, 6_936_132)],
)
def test_reference_size(patch: int, genes: dict[str, int], parameters: int) -> None:
    assert size(CMTANet(CMTAConfig(), widths(patch=patch, genes=genes))) == parameters


def test_reference_size_of_each_part() -> None:
    net = CMTANet(CMTAConfig(), widths(patch=1024, genes=BLCA))
    assert {name: size(part) for name, part in net.named_children()} == PARTS


@pytest.mark.parametrize(
    "options",
    [{}, {"attention": "nystrom"}, {"attention": "nystrom", "mask_padding": True}],
)
def test_patients_together_equal_one_by_one(options: dict[str, Any]) -> None:
    net, whole = small(**options), patients(3, 10, 1, 16, 4, 13, 7)
    alone = torch.cat([net(one_of(whole, row)) for row in range(7)])
    torch.testing.assert_close(net(whole), alone, atol=1e-5, rtol=1e-5)
    method = CMTA(CMTAConfig(**TINY))
    loss = torch.cat([method.loss(net, one_of(whole, row)) for row in range(7)])
    torch.testing.assert_close(method.loss(net, whole), loss, atol=1e-5, rtol=1e-5)


def test_a_bag_with_its_first_patches_repeated_by_hand_is_the_same_bag() -> None:
    net, whole = small(), patients(7)
    bag, genes = whole.bags("P").features, whole.genes("G").values
    by_hand = torch.cat([bag, bag[:2]])  # 9 = 3 x 3 needs no repetition
    torch.testing.assert_close(net(batch([by_hand], genes, GROUPS)), net(whole))


def test_the_number_of_zero_patches_matters_so_that_one_stands_in() -> None:
    net, genes = small(), patients(1).genes("G").values
    one, nine, sixteen = (
        net(batch([torch.zeros(n, 6)], genes, GROUPS)).detach() for n in (1, 9, 16)
    )
    assert float((one - nine).abs().max()) > 1e-5
    assert float((nine - sixteen).abs().max()) > 1e-5


def test_genes_share_their_softmax_with_zero_rows_only_where_asked() -> None:
    token = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(1))

    def encoded(**options: Any) -> Tensor:
        found: Tensor = small(**options).encode_gene(token)
        return found

    exact = encoded(attention="exact")
    torch.testing.assert_close(encoded(), exact)  # 4 tokens fit the 8 landmarks
    assert not torch.allclose(encoded(attention="nystrom"), exact, atol=1e-4)
    # 4 landmarks for 4 tokens leave no zero rows, and the chain is A A^-1 A = A
    own = encoded(attention="nystrom", landmarks=4, iterations=30)
    torch.testing.assert_close(own, exact, atol=1e-3, rtol=1e-3)


def test_misalignment_is_the_mean_distance_to_the_own_encoding() -> None:
    one = torch.ones(2, 4)
    tokens = ClassTokens(one, one + torch.tensor([[1.0], [-3.0]]), one, one - 0.5)
    torch.testing.assert_close(tokens.misalignment(), torch.tensor([1.5, 3.5]))


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_alignment_is_weighed_in_the_loss(weight: float) -> None:
    net, whole = small(), patients(3, 10)
    loss = CMTA(CMTAConfig(**TINY, weight_alignment=weight)).loss(net, whole)
    expected = nll_surv(net(whole), *whole.outcome) + weight * net.tokens(whole).misalignment()
    torch.testing.assert_close(loss, expected)


def test_what_is_encoded_stays_put_while_the_translation_learns() -> None:
    net, whole = small(), patients(3, 10)
    net.tokens(whole).misalignment().sum().backward()
    moved = {
        name.split(".")[0]
        for name, parameter in net.named_parameters()
        if parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
    }
    # through queries, keys and values of the cross attention both encoders learn, the head nothing
    assert moved == {
        "embed_patch",
        "embed_gene",
        "encode_patch",
        "encode_gene",
        "patch_reads",
        "gene_reads",
        "decode_patch",
        "decode_gene",
    }


def test_an_encoding_is_no_target_that_moves() -> None:
    tokens = ClassTokens(*torch.randn(4, 2, 16).requires_grad_().unbind())
    made = torch.autograd.grad(
        tokens.misalignment().sum(),
        [tokens.patch, tokens.patch_made, tokens.gene, tokens.gene_made],
        allow_unused=True,
    )
    assert [grad is None for grad in made] == [True, False, True, False]
    for grad in (made[1], made[3]):
        torch.testing.assert_close(grad.abs(), torch.full((2, 16), 1 / 16))


def test_the_head_reads_the_mean_of_each_pair() -> None:
    net, pair = small(), torch.randn(4, 2, 16)
    tokens = ClassTokens(*pair)
    expected = net.head(net.fuse((pair[0] + pair[1]) / 2, (pair[2] + pair[3]) / 2))
    torch.testing.assert_close(net.logits(tokens), expected)


def test_weights_at_the_start() -> None:
    torch.manual_seed(0)
    net = CMTANet(CMTAConfig(), widths(patch=1024, genes=SIZES)).requires_grad_(False)
    dense = net.embed_patch[0][0].weight  # type: ignore[index]
    assert float(dense.std()) == pytest.approx((2 / (1024 + 256)) ** 0.5, rel=0.02)
    packed, limit = net.patch_reads.inward.weight, (6 / (768 + 256)) ** 0.5
    assert float(packed.abs().max()) <= limit
    assert float(packed.std()) == pytest.approx(limit / 3**0.5, rel=0.02)
    assert float(net.encode_gene.class_token.abs().max()) < 1e-5
    assert float(net.patch_reads.inward.bias.abs().max()) == 0


def test_gradients_reach_every_parameter() -> None:
    net, whole = small(), patients(5, 20)
    CMTA(CMTAConfig(**TINY)).loss(net, whole).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("fusion", ["concat", "bilinear"])
@pytest.mark.parametrize("missing", ["P@0.4", "G@0.4"])
def test_patients_may_lack_either_modality(fusion: str, missing: str) -> None:
    data = simulate(n=30, seed=3, patches=(2, 9))
    method = CMTA(CMTAConfig(**TINY, batch=8, fusion=fusion))  # type: ignore[arg-type]
    method.fit(data, missing=missing)
    assert method.record["train_cases"] == 30
    assert method.filled(data, missing=missing)
    assert bool(np.isfinite(method.predict(data, missing=missing).risk).all())


@pytest.mark.parametrize("preset", ["standard", *CMTA.presets])
def test_every_preset_builds(preset: str) -> None:
    net = CMTA(CMTA.preset(preset)).build(widths(patch=6, genes=SIZES)).eval()
    assert net(patients(2, 5)).shape == (2, 4)
