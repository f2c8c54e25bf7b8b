import pytest
import torch

from survbench.methods.mlp import MLP, MLPConfig, MLPNet
from tests.parity.fixture import batch, widths


@pytest.mark.parametrize(("projection", "parameters"), [(64, 106_180), (512, 906_756)])
def test_reference_sizes(projection: int, parameters: int) -> None:
    net = MLPNet(MLPConfig(projection=projection), widths(genes=3280))
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_paper_preset_is_what_survpaths_runner_builds() -> None:
    config = MLP.preset("paper")
    assert (config.projection, config.batch, config.optimiser) == (64, 1, "radam")


def test_scaling_all_genes_scales_features_of_a_network_without_biases() -> None:
    net = MLPNet(MLPConfig(projection=16), widths(genes=5)).eval()
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    gene = torch.randn(4, 5)
    torch.testing.assert_close(net(batch(genes=3 * gene)), 3 * net(batch(genes=gene)))


@pytest.mark.parametrize("preset", ["standard", *MLP.presets])
def test_every_preset_builds(preset: str) -> None:
    net = MLP(MLP.preset(preset)).build(widths(genes=6)).eval()
    assert net(batch(genes=torch.randn(2, 6))).shape == (2, 4)
