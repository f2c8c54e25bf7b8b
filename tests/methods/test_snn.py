import pytest
import torch

from survbench.methods.snn import SNN, SNNConfig, SNNNet
from tests.parity.fixture import batch, widths

BIG = (1024, 1024, 1024, 256)


@pytest.mark.parametrize(
    ("hidden", "parameters"),
    [((256,) * 4, 1_038_340), (BIG, 5_722_372), ((256, 256), 906_756)],
)
def test_reference_sizes(hidden: tuple[int, ...], parameters: int) -> None:
    net = SNNNet(SNNConfig(hidden=hidden), widths(genes=3280))
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_defaults_are_the_small_network_of_porpoise() -> None:
    assert SNNConfig().hidden == (256,) * 4
    assert SNNConfig().activation == "elu"


def test_reordered_genes_with_reordered_weights_give_the_same_logits() -> None:
    net = SNNNet(SNNConfig(hidden=(8, 8)), widths(genes=12)).eval()
    gene = torch.randn(5, 12)
    expected = net(batch(genes=gene))
    order = torch.randperm(12)
    first = net.blocks[0][0]  # type: ignore[index]
    first.weight.data = first.weight.data[:, order]
    torch.testing.assert_close(net(batch(genes=gene[:, order])), expected)


def test_genes_outside_the_groups_are_not_read_unless_asked_for() -> None:
    sizes = widths(genes=4)
    sizes = type(sizes)(**{**sizes.__dict__, "columns": {"G": 6}})
    net = SNNNet(SNNConfig(hidden=(8,)), sizes).eval()
    gene = torch.randn(3, 6)
    other = gene.clone()
    other[:, 4:] = torch.nan
    torch.testing.assert_close(net(batch(genes=gene)), net(batch(genes=other)))
    assert len(SNNNet(SNNConfig(hidden=(8,), ungrouped=True), sizes).columns) == 6


def test_l1_penalty_is_that_of_the_blocks_without_the_head() -> None:
    method = SNN(SNNConfig(hidden=(2,), l1=0.5))
    net = SNNNet(method.config, widths(genes=3))
    for parameter in net.parameters():
        torch.nn.init.constant_(parameter, -2.0)
    # six weights and two biases of size 2, half of it
    (stage,) = method.stages()
    assert stage.penalty is not None
    torch.testing.assert_close(stage.penalty(net), torch.tensor(8.0))
    assert SNN().stages()[0].penalty is None


@pytest.mark.parametrize("preset", ["standard", *SNN.presets])
def test_every_preset_builds(preset: str) -> None:
    net = SNN(SNN.preset(preset)).build(widths(genes=6)).eval()
    assert net(batch(genes=torch.randn(2, 6))).shape == (2, 4)
