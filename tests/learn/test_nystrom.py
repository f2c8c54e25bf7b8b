import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.errors import InputError
from survbench.learn import nystrom
from survbench.learn.nystrom import AttentionKind, NystromAttention, convolving, pinv, pinv_scale


def attention(
    kind: AttentionKind = "nystrom",
    *,
    landmarks: int = 4,
    kernel: int | None = 33,
    mask_padding: bool = False,
    iterations: int = 6,
) -> NystromAttention:
    """Attention of 2 heads on tokens 8 wide, with fixed weights, in eval mode."""
    torch.manual_seed(3)
    return NystromAttention(
        8,
        heads=2,
        landmarks=landmarks,
        kernel=kernel,
        attention=kind,
        mask_padding=mask_padding,
        iterations=iterations,
    ).eval()


def tokens(batch: int, length: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, length, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", [0, 1, 6])
def test_inverse_of_a_multiple_of_one_is_exact_from_the_start(steps: int) -> None:
    one = torch.eye(5).expand(2, 3, 5, 5)
    torch.testing.assert_close(pinv(2.5 * one, steps), one / 2.5)


def test_six_steps_invert_a_well_conditioned_matrix() -> None:
    noise = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = torch.eye(6, dtype=torch.float64) + 0.05 * noise
    torch.testing.assert_close(matrix @ pinv(matrix) @ matrix, matrix, atol=1e-12, rtol=0)


def test_scale_is_taken_over_the_heads_of_one_patient() -> None:
    matrix = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    scale = pinv_scale(matrix)
    for patient in range(3):
        alone = pinv_scale(matrix[patient : patient + 1], over="batch")
        torch.testing.assert_close(scale[patient : patient + 1], alone)
    together = pinv_scale(matrix, over="batch")
    assert together.shape == (1, 1, 1, 1)
    row, column = matrix.sum(-1).max(), matrix.sum(-2).max()
    torch.testing.assert_close(together[0, 0, 0, 0], row * column)


@pytest.mark.parametrize("kind", ["nystrom", "exact"])
def test_zero_values_leave_the_bias_of_the_output(kind: AttentionKind) -> None:
    layer = attention(kind)
    nn.init.zeros_(layer.qkv.weight[2 * 8 :])
    out = layer(tokens(2, 7))
    torch.testing.assert_close(out, layer.out.bias.expand(2, 7, 8))


@pytest.mark.parametrize("length", [1, 3, 4, 8, 10])
def test_a_patient_alone_has_the_same_tokens_as_in_company(length: int) -> None:
    layer, token = attention(), tokens(5, length) * torch.tensor([0.1, 1, 3, 10, 30])[:, None, None]
    together = layer(token)
    for patient in range(5):
        alone = layer(token[patient : patient + 1])
        torch.testing.assert_close(together[patient : patient + 1], alone, atol=1e-5, rtol=1e-5)


def test_zero_rows_in_front_dilute_attention_unless_masked() -> None:
    plain, masked = attention(), attention(mask_padding=True)
    ragged, whole = tokens(1, 6), tokens(1, 8)
    assert (plain(ragged) - masked(ragged)).abs().max() > 1e-3
    torch.testing.assert_close(plain(whole), masked(whole), atol=0, rtol=0)


def test_masked_padding_equals_padding_by_hand() -> None:
    token = tokens(2, 6)
    by_hand = torch.cat([torch.full((2, 2, 8), 7.0), token], dim=1)
    mask = torch.tensor([[False] * 2 + [True] * 6]).expand(2, 8)
    out = attention()(by_hand, mask)[:, 2:]
    torch.testing.assert_close(out, attention(mask_padding=True)(token))


def test_what_a_mask_hides_has_no_influence() -> None:
    layer, token = attention(), tokens(1, 11)
    mask = torch.tensor([[True] * 7 + [False] * 4])
    other = torch.where(mask[..., None], token, torch.tensor(50.0))
    torch.testing.assert_close(layer(token, mask)[:, :7], layer(other, mask)[:, :7])


def test_one_token_per_landmark_converges_to_exact_attention() -> None:
    token = tokens(2, 6) * 3
    nystrom = attention(landmarks=6, iterations=40).double()
    exact = attention("exact").double()
    exact.load_state_dict(nystrom.state_dict())
    torch.testing.assert_close(nystrom(token.double()), exact(token.double()), atol=1e-8, rtol=0)


def test_exact_attention_is_torchs_multi_head_attention() -> None:
    layer = attention("exact", kernel=None)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(layer.qkv.weight)
        theirs.in_proj_bias.zero_()
        theirs.out_proj.weight.copy_(layer.out.weight)
        theirs.out_proj.bias.copy_(layer.out.bias)
    token = tokens(2, 7)
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    expected = theirs(token, token, token, key_padding_mask=~mask)[0]
    torch.testing.assert_close(layer(token, mask)[mask], expected[mask])


def test_exact_attention_masked_equals_unpadded() -> None:
    layer, token = attention("exact"), tokens(1, 9)
    mask = torch.tensor([[True] * 5 + [False] * 4])
    torch.testing.assert_close(layer(token, mask)[:, :5], layer(token[:, :5]))


@pytest.mark.parametrize("size", [1, 5, 33])
@pytest.mark.parametrize("length", [1, 2, 7, 40])
def test_a_convolution_as_a_matrix_is_torchs(length: int, size: int) -> None:
    draw = torch.Generator().manual_seed(0)
    kernel = torch.randn(2, size, generator=draw, dtype=torch.float64)
    value = torch.randn(1, 2, length, generator=draw, dtype=torch.float64)
    expected = functional.conv1d(value, kernel[:, None], padding=size // 2, groups=2)[0]
    for rows in (1, length):
        found = (convolving(kernel, rows, length) @ value[0, ..., None])[..., 0]
        torch.testing.assert_close(found, expected[:, :rows])


@pytest.mark.parametrize("lead", [None, 2])
def test_a_handful_of_tokens_gets_what_many_get(
    lead: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, token = attention("exact"), tokens(2, 9)
    mask = torch.tensor([[True] * 9, [True] * 5 + [False] * 4])
    few = layer(token, mask, lead=lead)
    monkeypatch.setattr(nystrom, "FEW", 0)
    torch.testing.assert_close(few, layer(token, mask, lead=lead))


@pytest.mark.parametrize(("length", "kind"), [(4, "exact"), (5, "nystrom")])
def test_auto_is_exact_within_the_landmarks(length: int, kind: AttentionKind) -> None:
    token = tokens(1, length)
    torch.testing.assert_close(attention("auto")(token), attention(kind)(token), atol=0, rtol=0)
    other: AttentionKind = "nystrom" if kind == "exact" else "exact"
    assert (attention("auto")(token) - attention(other)(token)).abs().max() > 1e-4


def test_half_precision_keeps_the_pseudo_inverse_in_full() -> None:
    layer, token = attention(kernel=None), tokens(1, 16)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(token)
    torch.testing.assert_close(half.float(), layer(token), atol=0.05, rtol=0.05)


def test_an_unknown_kind_of_attention_is_an_error() -> None:
    with pytest.raises(InputError, match="attention is 'fast'"):
        NystromAttention(8, attention="fast")  # type: ignore[arg-type]
