from typing import Any

import pytest
import torch
from torch import Tensor

from survbench.methods.gpdbn import GPDBN, BilinearFusion, GPDBNConfig, GPDBNNet
from tests.parity.fixture import batch, widths
from tests.parity.gpdbn import CoxForm

GENES = {"a": 3, "b": 2}
GROUPS = {"a": range(3), "b": range(3, 5)}


def small(**options: Any) -> GPDBNNet:
    """Net for patches 6 wide and two gene groups, fixed weights, eval mode."""
    torch.manual_seed(0)
    config = GPDBNConfig(hidden=8, vector=4, bilinear=3, mlp=(7, 5), **options)
    return GPDBNNet(config, widths(patch=6, genes=GENES)).eval()


def patients(*lengths: int) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    bags = [torch.randn(length, 6, generator=generator) for length in lengths]
    return bags, torch.randn(len(lengths), 5, generator=generator)


def test_reference_size_of_the_original_form() -> None:
    net = CoxForm(BilinearFusion(GPDBNConfig()), code=32)
    assert sum(p.numel() for p in net.parameters()) == 289_315
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 289_313
    products = (net.get_submodule(f"fusion.{n}") for n in ("inter", "intra_gene", "intra_path"))
    assert sum(p.numel() for part in products for p in part.parameters()) == 61_500


def test_size_around_the_original_form_by_hand() -> None:
    net = GPDBNNet(GPDBNConfig(), widths(patch=1024, genes=3280))
    bag = (1024 * 256 + 256) + 2 * (256 * 256 + 256) + (256 + 1) + (256 * 32 + 32)
    genes = (3280 * 256 + 256) + (256 * 32 + 32)
    fusion, head = 289_313 - (32 + 1), 32 * 4 + 4
    assert sum(p.numel() for p in net.parameters()) == bag + genes + fusion + head


def test_a_zero_gene_vector_leaves_its_products_at_their_biases() -> None:
    fusion = small().fusion
    path = torch.rand(5, 4)
    joined = fusion.join(torch.zeros(5, 4), path)
    torch.testing.assert_close(joined[:, 4:8], path)
    torch.testing.assert_close(joined[:, 8:11], fusion.inter.dense.bias.relu().expand(5, 3))
    torch.testing.assert_close(joined[:, 11:14], fusion.intra_gene.dense.bias.relu().expand(5, 3))
    assert not torch.allclose(joined[:1, 14:], joined[1:, 14:])


def test_patients_together_equal_one_by_one() -> None:
    net, (bags, genes) = small(), patients(3, 50, 1, 7, 7)
    alone = [net(batch([bag], row[None], GROUPS)) for bag, row in zip(bags, genes, strict=True)]
    together = net(batch(bags, genes, GROUPS))
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=1e-6)


def test_order_and_duplication_of_patches_change_nothing() -> None:
    net, ((bag,), gene) = small(), patients(13)
    expected = net(batch([bag], gene, GROUPS))
    torch.testing.assert_close(net(batch([bag.flip(0)], gene, GROUPS)), expected)
    torch.testing.assert_close(net(batch([bag.repeat(3, 1)], gene, GROUPS)), expected)


def test_the_order_of_a_cohorts_modalities_does_not_swap_their_roles() -> None:
    sizes = widths(patch=6, genes=GENES)
    turned = type(sizes)(**{**sizes.__dict__, "order": ("G", "P")})
    net, other = small(), GPDBNNet(GPDBNConfig(hidden=8, vector=4, bilinear=3, mlp=(7, 5)), turned)
    other.load_state_dict(net.state_dict())
    bags, genes = patients(3, 4)
    expected = net(batch(bags, genes, GROUPS))
    torch.testing.assert_close(other.eval()(batch(bags, genes, GROUPS)), expected)


def test_the_l1_term_counts_every_parameter() -> None:
    (stage,) = GPDBN(GPDBNConfig(l1=3e-4)).stages()
    net = small()
    total = sum(float(parameter.detach().abs().sum()) for parameter in net.parameters())
    assert stage.penalty is not None
    assert stage.penalty(net).item() == pytest.approx(3e-4 * total)
    assert GPDBN().stages()[0].penalty is None


@pytest.mark.parametrize("preset", ["standard", *GPDBN.presets])
def test_every_preset_builds(preset: str) -> None:
    net = GPDBN(GPDBN.preset(preset)).build(widths(patch=6, genes=GENES)).eval()
    assert net(batch(*patients(2, 5), GROUPS)).shape == (2, 4)
