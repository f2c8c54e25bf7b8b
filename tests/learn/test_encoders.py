import pytest
import torch
from torch import Tensor

from survbench.learn.attention import EncoderLayer
from survbench.learn.encoders import BagEncoder, GeneEncoder, Reader, Tokens
from survbench.learn.nystrom import NystromOptions
from tests.parity.fixture import batch

OPTIONS = NystromOptions(heads=2, landmarks=26, attention="auto")


def bags(*lengths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, 6, generator=generator) for length in lengths]


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(3, 10, 1, 16), (30, 30), (40,)])
def test_bags_together_equal_bags_one_by_one(lengths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    encoder = BagEncoder(6, 16, OPTIONS).eval()
    read = encoder.reader().eval()
    patients = bags(*lengths)
    latent, tokens = encoder(batch(patients).bags("P"))
    latents = read(tokens)
    for row, bag in enumerate(patients):
        one, alone = encoder(batch([bag]).bags("P"))
        torch.testing.assert_close(latent[row], one[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(tokens.value[row, : len(bag)], alone.value[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(latents[row], read(alone)[0], atol=1e-5, rtol=1e-5)
        assert float(tokens.value[row, len(bag) :].abs().sum()) == 0.0


@torch.no_grad()
def test_permuted_gene_groups_change_no_latent() -> None:
    torch.manual_seed(0)
    encoder = GeneEncoder({"a": range(3), "b": range(4), "c": range(5)}, 16, heads=2).eval()
    read = encoder.reader().eval()
    token = torch.randn(2, 3, 16)
    other = token[:, [2, 0, 1]]
    torch.testing.assert_close(read(Tokens(token)), read(Tokens(other)))
    whole = encoder.layer(torch.cat([token[:, :1] * 0, token], dim=1))
    moved = encoder.layer(torch.cat([token[:, :1] * 0, other], dim=1))
    torch.testing.assert_close(whole[:, 0], moved[:, 0])
    torch.testing.assert_close(whole[:, 1:][:, [2, 0, 1]], moved[:, 1:])


@torch.no_grad()
def test_each_gene_group_makes_one_token_of_its_own_columns() -> None:
    torch.manual_seed(0)
    groups = {"a": (0, 1, 2), "b": (2, 3), "c": (4,)}
    encoder = GeneEncoder(groups, 16, heads=2).eval()
    encoder.layer = EncoderLayer(16, heads=2).eval()
    for parameter in (encoder.layer.out, encoder.layer.down):
        torch.nn.init.zeros_(parameter.weight)  # the layer now hands its tokens on
        torch.nn.init.zeros_(parameter.bias)
    values = torch.randn(2, 5)
    _, tokens = encoder(batch(genes=values, groups=groups).genes("G"))
    assert tokens.value.shape == (2, 3, 16)
    torch.testing.assert_close(tokens.value[:, 1], encoder.embed[1](values[:, [2, 3]]))


def test_sizes_of_musts_layers() -> None:
    def size(net: torch.nn.Module) -> int:
        return sum(p.numel() for p in net.parameters())

    encoder = BagEncoder(1536, 256, NystromOptions(heads=8, landmarks=128))
    class_token, norm = 256, 512
    assert size(encoder.embed) == 393_472
    assert size(encoder.layer) == 2 * 263_176 + 22_016 + norm + class_token
    assert size(encoder.reader()) == 263_176 + norm + class_token
    genes = GeneEncoder({"a": range(3)}, 256)
    assert size(genes.layer) == 527_104
    assert size(genes.reader()) == 527_104 + class_token
    assert isinstance(genes.reader(), Reader)
