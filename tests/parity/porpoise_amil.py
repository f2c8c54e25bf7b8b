"""PORPOISE's network of pathology alone: raw attention, the pooled vector and logits."""

import torch

from survbench.methods.porpoise import AMILNet, PORPOISEConfig
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths
from tests.parity.porpoise import ATTENTION


def network(fixture: Fixture) -> AMILNet:
    """Our network with the reference's weights."""
    config = fixture.config
    net = AMILNet(
        PORPOISEConfig(use="P", hidden=config["path_hidden"], attention=config["attn_dim"]),
        widths(patch=config["path_input_dim"], intervals=config["n_classes"]),
    )
    fixture.load(net, (*ATTENTION, ("classifier", "head")))
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of the one patient."""
    net, bag = network(fixture), fixture.tensor("x_path")
    one = batch([bag])
    ours = survival_outputs(net(one)) | {
        "attn_raw": net.pool.attend(net.pool.embed(bag))[None],
        "slide_feature": net.pool(one.bags("P")),
    }
    ours["S"] = ours["survival"]
    return ours
