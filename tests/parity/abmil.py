"""ABMIL: logits, attention and the vectors between, and the loss for given labels."""

import re

import torch

from survbench.learn.losses import nll_surv
from survbench.methods.abmil import ABMILConfig, ABMILNet
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths

RENAMES = (
    (r"attention_net\.0", "embed.0"),
    (r"attention_net\.\d\.attention_a\.0", "attend.content.0"),
    (r"attention_net\.\d\.attention_b\.0", "attend.gate.0"),
    (r"attention_net\.\d\.attention_c", "attend.score"),
    (r"attention_net\.\d\.module\.0", "attend.content.0"),  # the form without gate
    (r"attention_net\.\d\.module\.[23]", "attend.score"),
    ("classifier", "head"),
)
LOSS = re.compile(r"nll_y(?P<y>\d+)_c(?P<c>[01])_a(?P<alpha>[\d.eE+-]+)(?P<suffix>.*)")


def network(fixture: Fixture) -> ABMILNet:
    """Our network with the reference's weights."""
    config = fixture.config
    gated = any("attention_b" in name for name in fixture.state)
    net = ABMILNet(
        ABMILConfig(
            hidden=config["hidden"],
            attention=config["attn_dim"],
            rho=config["rho_dim"],
            gated=config.get("gated", gated),
        ),
        widths(patch=config["in_dim"], intervals=config["n_classes"]),
    )
    fixture.load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of all bags; what follows x in a bag's name follows the names of its outputs."""
    ours: dict[str, torch.Tensor] = {}
    net = network(fixture)
    for suffix in fixture.suffixes("x"):
        bag = fixture.tensor(f"x{suffix}")  # (N, D)
        bags = batch([bag]).bags("P")
        token = net.embed(bag)
        score = net.attend(token)
        weight = bags.softmax(score)
        pooled = bags.sum(weight[:, None] * token)
        logits = net(batch([bag]))
        ours |= survival_outputs(logits, suffix)
        ours |= {
            f"attention_raw{suffix}": score[None],
            f"attention{suffix}": weight[None],
            f"embedded{suffix}": token,
            f"pooled{suffix}": pooled,
            f"bag_feature{suffix}": net.rho(pooled)[0],
        }
        for name in fixture.outputs:
            if (match := LOSS.fullmatch(name)) and match["suffix"] == suffix:
                ours[name] = _loss(logits, match)
    return ours


def _loss(logits: torch.Tensor, match: re.Match[str]) -> torch.Tensor:
    interval, event = torch.tensor([int(match["y"])]), torch.tensor([1 - int(match["c"])])
    return nll_surv(logits, interval, event, alpha=float(match["alpha"]))[0]
