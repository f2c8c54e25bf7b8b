"""The original DeepAttnMISL: our form of it with one output, which is the Cox log-risk."""

from dataclasses import replace
from typing import Any

import torch

from survbench.methods.deepattnmisl import DeepAttnMISLConfig, DeepAttnMISLNet
from tests.parity.fixture import Fixture, Ours, batch, widths

RENAMES = (
    (r"embedding_net\.0", "phenotype.0.0"),
    (r"attention\.0", "attend.content.0"),
    (r"attention\.2", "attend.score"),
    (r"fc6\.0", "rho.0"),
    (r"fc6\.3", "head"),
)


def network(fixture: Fixture) -> DeepAttnMISLNet:
    """Our network with the reference's weights; a 1 x 1 convolution is a dense layer."""
    config = fixture.config
    options = DeepAttnMISLConfig(
        form="original",
        clusters=config["num_clusters"],
        hidden=config["embed"],
        attention=config["attn_dim"],
        rho=len(fixture.state["fc6.0.weight"]),
        dropout=config["dropout"],
    )
    net = DeepAttnMISLNet(options, widths(patch=config["in_dim"], intervals=config["n_out"]))
    own = {name: value.numpy() for name, value in net.named_buffers()}
    weights = {n: v.reshape(v.shape[:2]) if v.ndim == 4 else v for n, v in fixture.state.items()}
    replace(fixture, state={**weights, **own}).load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of all bags; what follows x in a bag's name follows the names of its outputs."""
    ours: dict[str, Any] = {}
    net = network(fixture)
    for suffix in fixture.suffixes("x"):
        bag = fixture.tensor(f"x{suffix}")
        seen = net.read(batch([bag]).bags("P"), fixture.tensor(f"cluster_id{suffix}"))
        # the reference hands an empty cluster over as one zero patch, and masks it later
        zero = net.phenotype[0](bag.new_zeros(bag.shape[1]))
        feature = torch.where(seen.present[..., None], seen.mean, zero)
        ours |= {
            f"log_risk{suffix}": seen.logits,
            f"cluster_features{suffix}": feature[0],
            f"attention_raw{suffix}": net.attend(feature),
            f"attention{suffix}": seen.weight,
            f"pooled{suffix}": seen.pooled,
            f"mask{suffix}": seen.present,
        }
    return ours
