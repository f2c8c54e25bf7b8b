"""FLOPs of each kind of layer against counts derived by hand, 2 per multiply-add."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.learn import diffusion, packed
from survbench.learn.experts import ConvExpert, ExpertLayer
from survbench.learn.fusion import KroneckerFusion
from survbench.learn.low_rank import LowRankFusion
from survbench.learn.nystrom import NystromAttention
from survbench.report.cost.flops import counted

B, L, H = 2, 50, 64  # patients, tokens, width


def tokens() -> Tensor:
    return torch.randn(B, L, H)


def flops(call: Callable[[], object]) -> int:
    return counted(call).total


def test_a_dense_layer_is_two_for_each_weight_and_token() -> None:
    assert flops(lambda: nn.Linear(H, 7)(tokens())) == 2 * B * L * H * 7


def test_macs_are_half_of_the_flops() -> None:
    assert counted(lambda: nn.Linear(3, 5)(torch.randn(1, 3))).macs == 3 * 5


@pytest.mark.parametrize("groups", [1, 4, 16])
def test_a_convolution_counts_the_channels_of_its_group_alone(groups: int) -> None:
    layer = nn.Conv2d(16, 32, 3, padding=1, groups=groups)
    image = torch.randn(B, 16, 10, 12)
    assert flops(lambda: layer(image)) == 2 * B * 10 * 12 * 32 * (16 // groups) * 9


def test_a_depthwise_convolution_of_stride_two_counts_its_outputs() -> None:
    layer = nn.Conv1d(8, 8, 5, stride=2, groups=8)
    assert flops(lambda: layer(torch.randn(1, 8, 21))) == 2 * 9 * 8 * 5


def test_attention_is_its_two_products_though_torch_fuses_them() -> None:
    q, k = torch.randn(B, 4, L, 16), torch.randn(B, 4, 30, 16)
    found = flops(lambda: functional.scaled_dot_product_attention(q, k, k))
    assert found == 2 * (2 * B * 4 * L * 30 * 16)


@pytest.mark.parametrize("weights", [True, False])
def test_multihead_attention_is_four_maps_and_two_products(weights: bool) -> None:
    layer = nn.MultiheadAttention(H, 4, batch_first=True).eval()
    token = tokens()
    expected = 2 * B * L * H * 4 * H + 2 * (2 * B * L * L * H)
    assert flops(lambda: layer(token, token, token, need_weights=weights)) == expected


def test_a_transformer_layer_is_counted_in_eval_mode_too() -> None:
    layer = nn.TransformerEncoderLayer(H, 4, 128, batch_first=True).eval()
    token = torch.randn(1, L, H)
    maps, products = 2 * L * H * 4 * H, 2 * (2 * L * L * H)
    assert flops(lambda: layer(token)) == maps + products + 2 * (2 * L * H * 128)


def test_the_fast_path_is_as_it_was_afterwards() -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(ZeroDivisionError):
        counted(lambda: 1 // 0)
    assert torch.backends.mha.get_fastpath_enabled() is before


def test_nystrom_attention_is_its_kernels_and_twenty_four_products_of_the_pseudo_inverse() -> None:
    heads, width, landmarks, padded = 4, 16, 20, 60
    layer = NystromAttention(H, heads=heads, head_width=width, landmarks=landmarks).eval()
    inner = heads * width
    expected = 2 * padded * H * 3 * inner  # queries, keys, values
    expected += 2 * 2 * inner * padded * landmarks + 2 * inner * landmarks**2  # three kernels
    expected += 6 * 4 * 2 * heads * landmarks**3  # six iterations of four products
    expected += 2 * heads * padded * landmarks**2 + 2 * 2 * inner * padded * landmarks  # the chain
    expected += 2 * inner * padded * 33  # value convolution
    expected += 2 * L * inner * H  # real tokens alone leave
    assert flops(lambda: layer(torch.randn(1, L, H))) == expected


@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (2, 1), (2, 2)])
def test_an_lstm_has_four_gates_that_read_input_and_state(layers: int, directions: int) -> None:
    hidden = 16
    model = nn.LSTM(H, hidden, layers, batch_first=True, bidirectional=directions == 2)
    inputs = H + (layers - 1) * directions * hidden
    expected = 2 * B * L * directions * 4 * hidden * (inputs + layers * hidden)
    assert flops(lambda: model(tokens())) == expected


def test_a_bilinear_layer_contracts_one_side_and_then_the_other() -> None:
    layer = nn.Bilinear(5, 6, 7)
    found = flops(lambda: layer(torch.randn(B, 5), torch.randn(B, 6)))
    assert found == 2 * B * 7 * (5 * 6 + 5)


@pytest.mark.parametrize("bilinear", [True, False])
def test_kronecker_fusion_is_its_gates_and_the_layer_on_the_product(bilinear: bool) -> None:
    short = H // 8
    layer = KroneckerFusion(H, bilinear_gate=bilinear).eval()
    gate = short * (H * H + H) if bilinear else 2 * H * short
    side = H * short + gate + short * short  # reduce, gate, out
    expected = 2 * B * (2 * side + (short + 1) ** 2 * H + H * H)
    assert flops(lambda: layer(torch.randn(B, H), torch.randn(B, H))) == expected


def test_low_rank_fusion_is_two_factors_for_each_rank() -> None:
    rank = 3
    layer = LowRankFusion(H, rank)
    expected = 2 * (2 * rank * B * (H + 1) * H) + 2 * rank * B * H  # factors, weighted sum
    assert flops(lambda: layer(torch.randn(B, H), torch.randn(B, H))) == expected


def test_only_the_expert_that_was_chosen_is_counted() -> None:
    experts = [nn.Linear(H, H, bias=False) for _ in range(4)]
    layer = ExpertLayer(H, experts)
    gate = 2 * (H * H + H * 4)
    assert flops(lambda: layer(torch.randn(1, L, H))) == gate + 2 * L * H * H


def test_a_class_token_meets_the_centre_of_a_convolution_expert() -> None:
    expert, tokens = ConvExpert(H), 20 * 20
    found = flops(lambda: expert(torch.randn(1, 1 + tokens, H)))
    assert found == 2 * (2 * tokens * H * H * 9 + 2 * H * H)


def test_a_class_token_beside_a_small_grid_meets_the_zeros_around_it_too() -> None:
    expert = ConvExpert(H)
    found = flops(lambda: expert(torch.randn(1, 1 + 49, H)))
    assert found == 2 * (2 * (1 + 49) * H * H * 9)


@pytest.mark.parametrize(("p", "rows"), [(2.0, 10), (2.0, 40), (1.0, 10)])
def test_distances_are_one_multiply_add_for_each_column_of_a_pair(p: float, rows: int) -> None:
    left, right = torch.randn(rows, 8), torch.randn(30, 8)
    assert flops(lambda: torch.cdist(left, right, p=p)) == 2 * rows * 30 * 8


@pytest.mark.parametrize("kernel", packed.kernels())
def test_sampling_is_its_steps_and_what_is_computed_once(
    kernel: packed.Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "kernels", lambda: (kernel,))
    layers, steps, width, rows, length = 4, 5, 32, 6, 4  # 2 patients by 3 samples; 4 tokens
    options = diffusion.DiffusionOptions(
        width=width, heads=2, denoiser_layers=layers, ddim_steps=steps
    )
    model = diffusion.LatentDiffusion(options, constants=1).eval()
    condition, constant, start = torch.randn(2, width), torch.randn(width), torch.randn(3, 2, width)
    square, whole = width**2, rows * length
    after = 1 + 8  # output projection and feed-forward block, in squares a token
    first = rows * 3 + whole * after
    middle = whole * (3 + after)
    last = rows * (1 + after) + whole * 2 + rows  # and the noise is read
    attention = 2 * whole * length * width * (layers - 1) + 2 * whole * width
    once = (2 + 3) * steps + 3 * rows * 2  # times and conditions
    shifts = 3 + 3 * (layers - 2) + 3 + 4 * layers + 1  # of the norms, through the maps behind them
    step = (first + middle * (layers - 2) + last) * square + attention
    found = flops(lambda: model.sample(condition, constant, start))
    assert found == 2 * (steps * step + (once + shifts) * square)


def test_decompositions_have_their_textbook_counts() -> None:
    tall = torch.randn(B, 40, 8)
    square = torch.eye(8)
    svd = 6 * 40 * 8**2 + 20 * 8**3
    assert flops(lambda: torch.linalg.svd(tall, full_matrices=False)) == B * svd
    assert flops(lambda: torch.linalg.pinv(tall)) == B * (svd + 2 * 40 * 8 * 8)
    assert flops(lambda: torch.linalg.qr(tall)) == round(B * 4 * (40 * 64 - 512 / 3))
    assert flops(lambda: torch.linalg.eigh(square)) == 9 * 512
    assert flops(lambda: torch.linalg.inv(square)) == 2 * 512
    assert flops(lambda: torch.linalg.cholesky(square)) == round(512 / 3)
    right = torch.randn(8, 3)
    solving = round(2 * 512 / 3 + 2 * 64 * 3)
    assert flops(lambda: torch.linalg.solve(square, right)) == solving


def test_of_a_sparse_matrix_only_what_is_stored_is_counted() -> None:
    dense = torch.zeros(30, 20)
    dense[::5, 3] = 1.0  # six entries
    right = torch.randn(20, 7)
    matrix = dense.to_sparse()
    assert flops(lambda: torch.sparse.mm(matrix, right)) == 2 * 6 * 7
    assert flops(lambda: matrix @ right) == 2 * 6 * 7


def test_vectors_are_counted_as_matrices_are() -> None:
    matrix, vector = torch.randn(9, 5), torch.randn(5)
    assert flops(lambda: matrix @ vector) == 2 * 9 * 5
    assert flops(lambda: vector @ vector) == 2 * 5
    assert flops(lambda: torch.einsum("ij,bj->bi", matrix, torch.randn(3, 5))) == 2 * 3 * 9 * 5


def test_counts_are_the_same_in_inference_mode() -> None:
    layer = nn.TransformerEncoderLayer(H, 4, 128, batch_first=True).eval()
    token = tokens()

    def inferred() -> None:
        with torch.inference_mode():
            layer(token)

    assert flops(inferred) == flops(lambda: layer(token)) > 0


def test_the_census_names_what_ran_uncounted_and_its_size() -> None:
    x = torch.randn(6, 10)
    found = counted(lambda: (x @ x.T).softmax(dim=1).exp())
    told = {each.operator: (each.calls, each.elements, each.simple) for each in found.uncounted}
    assert told == {"softmax": (1, 36, True), "exp": (1, 36, True)}
    assert found.by_operator == {"mm": 2 * 6 * 10 * 6}


def test_an_uncounted_operator_that_works_harder_stands_first() -> None:
    x = torch.randn(32)
    found = counted(lambda: (torch.fft.rfft(x), torch.exp(torch.randn(1000))))
    assert not found.uncounted[0].simple
    assert "fft" in found.uncounted[0].operator
    assert found.total == 0


def test_making_moving_and_viewing_data_is_no_arithmetic() -> None:
    x = torch.randn(4, 6)
    found = counted(lambda: torch.cat([x.T.reshape(4, 6).clone(), torch.zeros(2, 6)])[[0, 3]])
    assert found.uncounted == ()


def test_counting_changes_no_result() -> None:
    layer = nn.TransformerEncoderLayer(H, 4, 128, batch_first=True).eval()
    token = tokens()
    kept: list[Tensor] = []
    counted(lambda: kept.append(layer(token)))
    with torch.no_grad():
        torch.testing.assert_close(kept[0], layer(token), atol=1e-5, rtol=0)
