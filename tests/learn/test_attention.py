import math

import pytest
import torch
from torch import nn

from survbench.errors import InputError
from survbench.learn.attention import FEW, CrossAttention, EncoderLayer, with_token

H = 16


def torchs(layer: EncoderLayer, activation: str) -> nn.TransformerEncoderLayer:
    """PyTorch's own pre-norm layer with the same weights."""
    theirs = nn.TransformerEncoderLayer(
        H, layer.heads, 32, dropout=0.0, activation=activation, batch_first=True, norm_first=True
    )
    ours = layer.state_dict()
    names = {
        "self_attn.in_proj_": "qkv.",
        "self_attn.out_proj.": "out.",
        "linear1.": "up.",
        "linear2.": "down.",
        "norm1.": "norm_attention.",
        "norm2.": "norm_forward.",
    }
    theirs.load_state_dict(
        {
            their + part: ours[our + part]
            for their, our in names.items()
            for part in ("weight", "bias")
        }
    )
    return theirs.eval()


@pytest.mark.parametrize("length", [4, FEW, FEW + 5])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_encoder_layer_equals_pytorchs(length: int, activation: str) -> None:
    torch.manual_seed(0)
    kind = {"relu": nn.ReLU, "gelu": nn.GELU}[activation]
    layer = EncoderLayer(H, heads=4, hidden=32, activation=kind).eval()
    token = torch.randn(3, length, H)
    torch.testing.assert_close(layer(token), torchs(layer, activation)(token))


@pytest.mark.parametrize("length", [4, FEW + 5])
@pytest.mark.parametrize("lead", [1, 2])
def test_leading_tokens_alone_are_those_of_the_whole_sequence(length: int, lead: int) -> None:
    torch.manual_seed(0)
    layer = EncoderLayer(H, heads=4, hidden=32).eval()
    token = torch.randn(3, length, H)
    torch.testing.assert_close(layer(token, lead=lead), layer(token)[:, :lead])


def test_padded_tokens_change_no_real_one() -> None:
    torch.manual_seed(0)
    layer = EncoderLayer(H, heads=4, hidden=32).eval()
    token = torch.randn(2, 5, H)
    mask = torch.tensor([[True] * 5 + [False] * 2] * 2)
    padded = torch.cat([token, torch.randn(2, 2, H)], dim=1)
    torch.testing.assert_close(layer(padded, mask)[:, :5], layer(token))


def test_cross_attention_is_the_printed_formula() -> None:
    torch.manual_seed(0)
    layer, token, source = CrossAttention(H), torch.randn(2, 3, H), torch.randn(2, 5, H)
    q, k, v = layer.query(token), layer.key(source), layer.value(source)
    weight = (q @ k.mT / math.sqrt(H)).softmax(dim=-1)
    torch.testing.assert_close(layer(token, source), weight @ v)
    assert sum(p.numel() for p in layer.parameters()) == 3 * H * H


def test_cross_attention_reads_no_padded_value() -> None:
    torch.manual_seed(0)
    layer, token, source = CrossAttention(H), torch.randn(2, 3, H), torch.randn(2, 5, H)
    padded = torch.cat([source, torch.randn(2, 2, H)], dim=1)
    mask = torch.tensor([[True] * 5 + [False] * 2] * 2)
    torch.testing.assert_close(layer(token, padded, mask), layer(token, source))


def test_class_token_comes_first() -> None:
    token = torch.randn(2, 3, H)
    longer = with_token(torch.ones(H), token)
    torch.testing.assert_close(longer[:, 0], torch.ones(2, H))
    torch.testing.assert_close(longer[:, 1:], token)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(InputError, match="heads is 3"):
        EncoderLayer(H, heads=3)


def test_sizes_of_musts_layers() -> None:
    def size(hidden: int) -> int:
        return sum(p.numel() for p in EncoderLayer(256, hidden=hidden).parameters())

    assert size(512) == 527_104
    assert 4 * size(1024) == 3_159_040
