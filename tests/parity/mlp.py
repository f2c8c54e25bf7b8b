"""Gene MLP: hidden features and logits."""

import torch

from survbench.methods.mlp import MLPConfig, MLPNet
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths

RENAMES = (
    (r"net\.0", "blocks.0.0"),
    (r"net\.3", "blocks.1.0"),
    (r"to_logits\.0", "head"),
)


def network(fixture: Fixture) -> MLPNet:
    """Our network with the reference's weights."""
    config = fixture.config
    net = MLPNet(
        MLPConfig(projection=config["projection_dim"]),
        widths(genes=config["in_dim"], intervals=config["n_classes"]),
    )
    fixture.load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of all patients together."""
    net = network(fixture)
    gene = fixture.tensor("x")
    return survival_outputs(net(batch(genes=gene))) | {"features": net.blocks(gene)}
