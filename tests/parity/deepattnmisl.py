"""DeepAttnMISL: cluster means, attention, bag vectors and logits on the saved cluster ids."""

from dataclasses import replace
from typing import Any

import torch

from survbench.methods.deepattnmisl import DeepAttnMISLConfig, DeepAttnMISLNet
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths

RENAMES = (
    ("phis", "phenotype"),
    (r"attention_net\.0", "embed.0"),
    (r"attention_net\.\d\.attention_a\.0", "attend.content.0"),
    (r"attention_net\.\d\.attention_b\.0", "attend.gate.0"),
    (r"attention_net\.\d\.attention_c", "attend.score"),
    ("classifier", "head"),
)


def network(fixture: Fixture) -> DeepAttnMISLNet:
    """Our network with the reference's weights; clusters are given, so their centres stay."""
    config = fixture.config
    options = DeepAttnMISLConfig(
        clusters=config["num_clusters"],
        hidden=config["hidden"],
        attention=config["attn_dim"],
        rho=config["rho_dim"],
        dropout=config["dropout"],
        mask_empty=False,
    )
    net = DeepAttnMISLNet(options, widths(patch=config["in_dim"], intervals=config["n_classes"]))
    own = {name: value.numpy() for name, value in net.named_buffers()}
    replace(fixture, state={**fixture.state, **own}).load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of all bags; what follows x in a bag's name follows the names of its outputs."""
    ours: dict[str, Any] = {}
    net = network(fixture)
    for suffix in fixture.suffixes("x"):
        bags = batch([fixture.tensor(f"x{suffix}")]).bags("P")
        seen = net.read(bags, fixture.tensor(f"cluster_id{suffix}"))
        ours |= survival_outputs(seen.logits, suffix)
        ours |= {
            f"cluster_means{suffix}": seen.mean[0],
            f"attention_raw{suffix}": seen.score,
            f"attention{suffix}": seen.weight,
            f"pooled{suffix}": seen.pooled,
            f"bag_feature{suffix}": net.rho(seen.pooled)[0],
        }
    return ours
