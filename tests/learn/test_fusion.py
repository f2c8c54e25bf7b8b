from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from survbench.errors import InputError
from survbench.learn.fusion import ConcatFusion, GatedReduction, KroneckerFusion, fusion_of


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def vectors(width: int = 16, count: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, count, width, generator=generator)
    return first, second


# Sizes stand in the dossiers of the networks: MCAT's bilinear form has 199,104 more than its
# concat form of 197,120, PORPOISE's (with skip) 527,296 in all.
def test_reference_sizes() -> None:
    assert size(fusion_of("concat", 256)) == 197_120
    assert size(fusion_of("bilinear", 256)) == 197_120 + 199_104
    assert size(fusion_of("bilinear", 256, skip=True)) == 527_296
    assert size(fusion_of("bilinear", 256, skip=True, gates=(False, False))) == 527_296


def test_numbers_of_porpoise(shared: Path) -> None:
    with np.load(shared / "reference/parity/porpoise.npz") as stored:
        arrays = {name: torch.as_tensor(stored[name]) for name in stored.files if name != "meta"}
    net = KroneckerFusion(32, skip=True, encoder_dropout=0.0).eval()
    sides = {"1": "first", "2": "second"}
    parts = {"h": "reduce.0", "z": "gate", "o": "out.0"}
    state = {}
    for name, value in arrays.items():
        if name.startswith("state/mm."):
            layer, *_, kind = name.removeprefix("state/mm.").split(".")
            if layer.startswith("encoder"):
                state[f"{'encode' if layer == 'encoder1' else 'merge'}.0.{kind}"] = value
            else:
                ours = f"{sides[layer[-1]]}.{parts[layer[-2]]}"
                state[f"{ours}.{kind}"] = value
    net.load_state_dict(state)
    first, second = arrays["output/h_path"], arrays["output/h_omic"]
    torch.testing.assert_close(
        net.first(first, first, second), arrays["output/gated_path"], atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(
        net.second(second, first, second), arrays["output/gated_omic"], atol=1e-5, rtol=1e-5
    )
    encoded = net.encode(net.product(first, second))
    torch.testing.assert_close(encoded, arrays["output/kron_encoded"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net(first, second), arrays["output/fused"], atol=1e-5, rtol=1e-5)


def test_the_product_holds_both_vectors_and_their_products() -> None:
    net = KroneckerFusion(16, scales=(8, 4)).eval()
    first, second = vectors()
    left, right = net.first(first, first, second), net.second(second, first, second)  # 2 and 4 wide
    table = net.product(first, second).reshape(3, 3, 5)  # the ones are last
    for row in range(3):
        torch.testing.assert_close(table[row, :2, :4], torch.outer(left[row], right[row]))
    torch.testing.assert_close(table[:, :2, 4], left)
    torch.testing.assert_close(table[:, 2, :4], right)
    torch.testing.assert_close(table[:, 2, 4], torch.ones(3))


@pytest.mark.parametrize("bilinear", [False, True])
def test_an_open_gate_is_no_gate(bilinear: bool) -> None:
    torch.manual_seed(0)
    options = {"bilinear": bilinear, "dropout": 0.0}
    gated = GatedReduction(16, 4, gated=True, **options)  # type: ignore[arg-type]
    plain = GatedReduction(16, 4, gated=False, **options)  # type: ignore[arg-type]
    plain.load_state_dict(gated.state_dict())
    first, second = vectors()
    assert not torch.allclose(gated(second, first, second), plain(second, first, second))
    nn.init.constant_(gated.gate.bias, 1e4)
    torch.testing.assert_close(gated(second, first, second), plain(second, first, second))


def test_gates_are_chosen_for_each_side() -> None:
    net = KroneckerFusion(16, gates=(True, False)).eval()
    first, second = vectors()
    other = second + 1
    # the first side's gate reads the second vector, the second side reads its own alone
    before, after = net.first(first, first, second), net.first(first, first, other)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(
        net.second(second, first, second), net.second(second, first + 1, second)
    )


def test_a_bilinear_gate_is_a_bilinear_form() -> None:
    net = GatedReduction(5, 2, gated=True, bilinear=True, dropout=0.0)
    first, second = vectors(width=5)
    form = torch.einsum("bi,hij,bj->bh", first, net.gate.weight, second) + net.gate.bias
    expected = net.out(form.sigmoid() * net.reduce(first))
    torch.testing.assert_close(net(first, first, second), expected)


def test_skip_hands_the_vectors_to_the_last_layer() -> None:
    first, second = vectors()
    with_skip, without = (KroneckerFusion(16, skip=skip).eval() for skip in (True, False))
    for net in (with_skip, without):
        nn.init.zeros_(net.encode[0].get_parameter("weight"))  # the product says nothing
    assert not torch.allclose(*with_skip(first, second)[:2])
    torch.testing.assert_close(*without(first, second)[:2])


def test_dropout_is_where_the_networks_have_it() -> None:
    mcat = KroneckerFusion(16)
    rates = [each.p for each in mcat.modules() if isinstance(each, nn.Dropout)]
    assert rates == [0.25] * 5  # each vector, the product, both layers
    porpoise = KroneckerFusion(16, encoder_dropout=0.0)
    layers = [each.p for each in (porpoise.encode[2], porpoise.merge[2])]
    assert layers == [0.0, 0.0]
    assert not any(isinstance(each, nn.Dropout) for each in ConcatFusion(16).modules())


def test_concat_reads_the_first_vector_first() -> None:
    net = ConcatFusion(4)
    first, second = vectors(width=4)
    net.layers.load_state_dict(
        {
            "0.weight": torch.cat([torch.eye(4), torch.zeros(4, 4)], dim=1),
            "0.bias": torch.zeros(4),
            "2.weight": torch.eye(4),
            "2.bias": torch.zeros(4),
        }
    )
    torch.testing.assert_close(net(first, second), first.relu())


@pytest.mark.parametrize("kind", ["concat", "bilinear"])
def test_patients_together_equal_one_by_one(kind: str) -> None:
    net = fusion_of(kind, 16).eval()  # type: ignore[arg-type]
    first, second = vectors()
    alone = torch.cat([net(first[i : i + 1], second[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(net(first, second), alone)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="fusion is 'lrb'"):
        fusion_of("lrb", 16)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="scale is 32"):
        KroneckerFusion(16, scales=(8, 32))
