"""DTFD-MIL: both tiers on the saved permutation, for each of the three distillations."""

from dataclasses import replace
from typing import Any

import torch

from survbench.methods.dtfdmil import DTFDConfig, DTFDNet
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths

ATTENTION = (
    (r"attention_V\.0", "content.0"),
    (r"attention_U\.0", "gate.0"),
    ("attention_weights", "score"),
)
RENAMES = (
    *((rf"attention\.{theirs}", f"first.attend.{ours}") for theirs, ours in ATTENTION),
    *((rf"attCls\.attention\.{theirs}", f"second.attend.{ours}") for theirs, ours in ATTENTION),
    (r"classifier\.fc", "first.head"),
    (r"attCls\.classifier\.fc", "second.head"),
    (r"dimReduction\.fc1", "reduce.0"),
    # blocks of the reduction follow its two layers
    *((rf"dimReduction\.resBlocks\.{i}", f"reduce.{i + 2}") for i in range(9)),
)


def network(fixture: Fixture) -> DTFDNet:
    """Our network with the reference's weights."""
    config = fixture.config
    options = DTFDConfig(
        hidden=config["dim"],
        attention=config["attn_dim"],
        groups=config["num_groups"],
        instances=config["total_instance"],
        residual_blocks=config["num_res_blocks"],
        score="last_class",
        overlap=True,
    )
    sizes = widths(patch=config["in_dim"], intervals=config["n_classes"])
    net = DTFDNet(options, sizes, stream=lambda _purpose, _case: 0)
    fixture.load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of all bags; what follows x in a bag's name follows the names of its outputs."""
    ours: dict[str, Any] = {}
    net = network(fixture)
    for suffix in fixture.suffixes("x"):
        bag, order = fixture.tensor(f"x{suffix}"), fixture.tensor(f"perm{suffix}")
        bags = batch([bag]).bags("P")
        token = net.reduce(bag)
        for name in ("afs", "maxs", "maxmins"):
            net.config = replace(net.config, distillation=name)
            tiers = net.split(bags, order)
            read = tiers.distilled
            ours |= survival_outputs(tiers.second, f"_{name}{suffix}")
            score = net.second.attend(read.features)
            ours[f"attention_tier2_{name}{suffix}"] = read.softmax(score)[None]
        index, _ = net.chosen(tiers.parts, tiers.weight)
        ours |= {
            f"embedded{suffix}": token,
            f"attention_raw{suffix}": net.first.attend(token),
            f"attention_tier1{suffix}": tiers.weight,
            f"tier1_logits{suffix}": tiers.first,
            f"afs_features{suffix}": tiers.vectors.features,
            f"maxmin_features{suffix}": tiers.distilled.features,
            f"maxmin_patch_index{suffix}": order[index],
        }
    return ours
