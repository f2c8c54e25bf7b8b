"""SNN: every block, the logits, and the losses for the recorded labels."""

import re

import torch

from survbench.learn.losses import ce_surv, nll_surv
from survbench.methods.snn import SNNConfig, SNNNet
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths

RENAMES = (("fc_omic", "blocks"), ("classifier", "head"))
LOSS = re.compile(r"(?P<loss>nll|ce)_\w+_(?P<part>mean|sum)_a(?P<alpha>[\d.eE+-]+)")


def network(fixture: Fixture) -> SNNNet:
    """Our network with the reference's weights."""
    config = fixture.config
    selu = str(config["activation"]).lower().startswith("selu")
    net = SNNNet(
        SNNConfig(hidden=tuple(config["hidden"]), activation="selu" if selu else "elu"),
        widths(genes=config["in_dim"], intervals=config["n_classes"]),
    )
    fixture.load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of all patients together."""
    net = network(fixture)
    gene = fixture.tensor("x")
    logits = net(batch(genes=gene))
    ours = survival_outputs(logits)
    for index, block in enumerate(net.blocks):
        gene = block(gene)
        ours[f"block{index}"] = gene
    ours["features"] = gene
    for name in fixture.outputs:
        if match := LOSS.fullmatch(name):
            loss = (nll_surv if match["loss"] == "nll" else ce_surv)(
                logits, fixture.tensor("y"), 1 - fixture.tensor("c"), float(match["alpha"])
            )
            ours[name] = loss.mean() if match["part"] == "mean" else loss.sum()
    return ours
