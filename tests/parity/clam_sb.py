"""CLAM with one branch or many: attention, bag vectors, logits and all four instance losses."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from survbench.learn.clam import ClusteringConfig, ClusteringNet
from survbench.learn.instances import instance_loss
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths

RENAMES = (
    (r"attention_net\.0", "embed.0"),
    (r"attention_net\.\d\.attention_a\.0", "attend.content.0"),
    (r"attention_net\.\d\.attention_b\.0", "attend.gate.0"),
    (r"attention_net\.\d\.attention_c", "attend.score"),
    (r"attention_net\.\d\.module\.0", "attend.content.0"),  # the form without gate
    (r"attention_net\.\d\.module\.[23]", "attend.score"),
    ("instance_classifiers", "instance"),
    ("classifiers", "head"),
)
LOSS = re.compile(r"instance_loss_(?P<kind>ce|svm)_(?P<no>no)?subtyping(?P<suffix>.*)")
TARGETS = re.compile(r"instance_targets_(?P<no>no)?subtyping(?P<suffix>.*)")
LISTED = re.compile(r"(?P<list>(?:instance_)?classifiers)\.(?P<index>\d+)\.(?P<what>\w+)")


def stacked(state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Weights in which lists of classifiers are one classifier, one behind the other."""
    listed: dict[str, dict[int, NDArray[Any]]] = {}
    single = {}
    for name, value in state.items():
        if match := LISTED.fullmatch(name):
            parts = listed.setdefault(f"{match['list']}.{match['what']}", {})
            parts[int(match["index"])] = value
        else:
            single[name] = value
    together = {k: np.concatenate([v[i] for i in sorted(v)]) for k, v in listed.items()}
    return {**single, **together}


def network(fixture: Fixture) -> ClusteringNet:
    """Our network with the reference's weights."""
    config = fixture.config
    state = stacked(fixture.state)
    scores = next(v for k, v in state.items() if re.search(r"attention_c|module\.[23]", k))
    options = ClusteringConfig(
        hidden=config["hidden"],
        attention=config["attn_dim"],
        gated=config["gate"],
        dropout=config["dropout"],
        instance_loss="bin_all",
        k_sample=config["k_sample"],
    )
    sizes = widths(patch=config["in_dim"], intervals=config["n_classes"])
    net = ClusteringNet(options, sizes, branches=len(scores))
    replace(fixture, state=state).load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of all bags; what follows x in a bag's name follows the names of its outputs."""
    ours: dict[str, Any] = {}
    net = network(fixture)
    for suffix in fixture.suffixes("x"):
        bags = batch([fixture.tensor(f"x{suffix}")]).bags("P")
        seen = net.attended(bags)
        ours |= survival_outputs(net.logits(seen.pooled), suffix)
        ours |= {
            f"attention_raw{suffix}": net.attend(seen.token).T,
            f"attention{suffix}": seen.weight.T,
            f"embedded{suffix}": seen.token,
            f"bag_feature{suffix}": seen.pooled[0],
        }
        label = fixture.tensor(f"label{suffix}" if f"label{suffix}" in fixture.inputs else "label")
        count = min(fixture.config["k_sample"], len(seen.token))
        logits = net.instance_logits(seen.token)
        for name in fixture.outputs:
            if (match := LOSS.fullmatch(name)) and match["suffix"] == suffix:
                ours[name] = instance_loss(
                    logits,
                    seen.weight,
                    bags,
                    label,
                    sample=count,
                    subtyping=match["no"] is None,
                    kind=match["kind"],
                    overlap=True,
                )[0]
            elif (match := TARGETS.fullmatch(name)) and match["suffix"] == suffix:
                ours[name] = _targets(label, logits.shape[1], count, subtyping=match["no"] is None)
    return ours


def _targets(label: Tensor, classes: int, count: int, *, subtyping: bool) -> list[int]:
    """Targets of all rows, class after class."""
    own, other = [1] * count + [0] * count, [0] * count
    if not subtyping:
        return own
    return [target for i in range(classes) for target in (own if i == int(label) else other)]
