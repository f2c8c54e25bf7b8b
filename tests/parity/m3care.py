"""M3Care: the notebook's forward with five streams, and its kernel, graph and transformer alone.

Our layers in the notebook's arrangement: numeric values, two texts that may be absent, two images;
texts share a projection, and so do images.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from survbench.learn.graph import Edges, Neighbours, Similarity, kept
from survbench.learn.kernels import kernel, squared_distances
from survbench.methods.m3care import Blend, Encoder, M3CareConfig, positions
from tests.parity.fixture import Fixture, Ours

STREAMS = {  # and by what they are projected
    "values": "numbers",
    "left_diag": "text",
    "right_diag": "text",
    "left_f": "image",
    "right_f": "image",
}
SIDES = ("left", "right")
RENAMES = {
    r"linear1": "values",
    r"res2hidden1": "image",
    r"simiProj\.0": "similarity.project.numbers",
    r"simiProj\.1": "similarity.project.text",
    r"simiProj\.2": "similarity.project.image",
    r"bn": "similarity.norm",
    r"threshold": "similarity.threshold",
    r"GCN\.0": "neighbours.left.first",
    r"GCN\.2": "graph",
    r"GCN\.1": "neighbours.right.first",
    r"GCN_2\.0": "neighbours.left.second",
    r"GCN_2\.1": "neighbours.right.second",
    r"weight1\.0": "blend.left.told",
    r"weight1\.1": "blend.right.told",
    r"weight2\.0": "blend.left.own",
    r"weight2\.1": "blend.right.own",
    r"token_type_embeddings\.weight": "kind",
    r"proj1": "head.0",
    r"out_layer": "head.3",
    r"MM_model2": "second",
    r"MM_model": "first",
}
LAYER = {
    "MultiHeadedAttention.linears.3": "layer.out",
    "PositionwiseFeedForward.w_1": "layer.up",
    "PositionwiseFeedForward.w_2": "layer.down",
}
UNUSED = re.compile(r".*\.(SublayerConnection|output)\.|bn\.num_batches")


class Official(nn.Module):
    """Our layers as the notebook arranges them."""

    def __init__(self, hidden: int, values: int, image: int, kinds: int, outputs: int) -> None:
        super().__init__()
        config = M3CareConfig(width=hidden)
        self.values, self.image = nn.Linear(values, hidden), nn.Linear(image, hidden)
        self.similarity = Similarity(("numbers", "text", "image"), hidden, product=True)
        self.neighbours = nn.ModuleDict({side: Neighbours(hidden) for side in SIDES})
        self.blend = nn.ModuleDict({side: Blend(hidden) for side in SIDES})
        self.graph = nn.Linear(hidden, hidden)  # stands alone, for a demonstration
        self.kind = nn.Parameter(torch.zeros(kinds, hidden))
        self.first, self.second = Encoder(config, config.heads), Encoder(config, heads=1)
        self.head = nn.Sequential(
            nn.Linear(len(STREAMS) * hidden, 2 * hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * hidden, outputs),
        )


def weights(state: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The reference's weights under our names, without those that nothing reads."""
    ours: dict[str, NDArray[np.float32]] = {}
    for name, value in state.items():
        if UNUSED.match(name) or name.startswith("eps") or ".linears." in name:
            continue
        pattern = next(one for one in RENAMES if re.match(rf"{one}(\.|$)", name))
        new = re.sub(f"^{pattern}", RENAMES[pattern], name)
        for theirs, layer in LAYER.items():
            new = new.replace(theirs, layer)
        graph = name.startswith("GCN") and name.endswith("weight")
        ours[new] = value.T if graph else value  # theirs multiply from the right
    for encoder, theirs in {"first": "MM_model", "second": "MM_model2"}.items():
        for kind in ("weight", "bias"):
            parts = [state[f"{theirs}.MultiHeadedAttention.linears.{i}.{kind}"] for i in range(4)]
            ours[f"{encoder}.layer.qkv.{kind}"] = np.concatenate(parts[:3])
            ours[f"{encoder}.layer.out.{kind}"] = parts[3]
    ours["similarity.balance"] = np.concatenate([state[f"eps{i}"] for i in range(3)])
    return ours


def network(fixture: Fixture) -> Official:
    """Our layers with the reference's weights."""
    state, config = fixture.state, fixture.config
    net = Official(
        config["hidden"],
        config["values_dim"],
        state["res2hidden1.weight"].shape[1],
        len(state["token_type_embeddings.weight"]),
        config["outputs"],
    )
    replace(fixture, state=weights(state)).load(net)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Everything recorded."""
    net = network(fixture)
    own = streams(fixture, net)
    masks = {f"{side}_diag": fixture.tensor(f"mask_{side}").to(fixture.dtype) for side in SIDES}
    graph = similarities(net, own, masks)
    told = imputations(net, own, masks, graph["similar_score"])
    gaps = [
        (net.similarity.project[STREAMS[name]](vector).norm() - vector.norm()).abs()
        for name, vector in own.items()
    ]
    return {
        **{f"{name}_hidden00": vector for name, vector in own.items()},
        **graph,
        **told,
        **fusion(fixture, net, own, told),
        "temp_thresh": net.similarity.cut()[0],
        "sum_of_diff": torch.stack(gaps).sum(),
        **demos(fixture, net),
    }


def streams(fixture: Fixture, net: Official) -> dict[str, Tensor]:
    """Vectors (n, H) of the five streams."""
    return {
        "values": net.values(fixture.tensor("values")).relu(),
        **{f"{side}_diag": fixture.tensor(f"text_{side}")[:, 0].relu() for side in SIDES},
        **{f"{side}_f": net.image(fixture.tensor(f"image_{side}_feat")).relu() for side in SIDES},
    }


def similarities(net: Official, own: Ours, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Kernels of all streams, their mean, and what of it is above the threshold.

    Absent texts count in norm and bandwidth, as in the notebook.
    """
    count = len(own["values"])
    everybody = torch.ones(count).to(own["values"])
    both = {name: torch.outer(*2 * (masks.get(name, everybody),)) for name in own}
    mats = {
        name: net.similarity.mixed(STREAMS[name], vector, count) * both[name]
        for name, vector in own.items()
    }
    raw = torch.stack(list(mats.values())).sum(dim=0) / torch.stack(list(both.values())).sum(dim=0)
    return {
        **{f"{name}_hidden_mat": mat for name, mat in mats.items()},
        "similarity_raw": raw,
        "similar_score": kept(raw, net.similarity.cut()),
    }


def imputations(
    net: Official, own: Ours, masks: Mapping[str, Tensor], score: Tensor
) -> dict[str, Tensor]:
    """What neighbours tell of the texts, as in the notebook and with the mask of columns alone."""
    found: dict[str, Tensor] = {}
    for side in SIDES:
        name = f"{side}_diag"
        mask, vector = masks[name], own[name]
        every = torch.ones_like(mask)
        for output, row in ((f"{name}_hidden0", mask), (f"sane_{side}_imputed", every)):
            among = score * torch.outer(row, mask)
            edges = Edges(among, among, among.new_zeros(len(among), 1))  # the diagonal is in them
            found[output] = net.neighbours[side](edges, vector, vector)
        told = found[f"{name}_hidden0"]
        blend = net.blend[side]
        assert isinstance(blend, Blend)
        found[f"{name}_weight1"] = blend.weight(told, vector)
        found[f"final_{name}"] = blend(told, vector, torch.ones_like(mask) > 0)
        found[f"token_{side}"] = blend(told, vector, mask > 0)
    return found


def fusion(fixture: Fixture, net: Official, own: Ours, told: Ours) -> dict[str, Tensor]:
    """Tokens of all streams through both encoders, and the logits of the first token of each."""
    tokens, real = [own["values"][:, None]], [torch.ones(len(own["values"]), 1, dtype=torch.bool)]
    for side in SIDES:
        text = fixture.tensor(f"text_{side}").relu()
        length = text.shape[1]
        token = torch.cat([told[f"token_{side}"][:, None], text[:, 1:]], dim=1)
        tokens.append(token + positions(length, token.shape[2]).to(token))
        real.append(torch.arange(length) < fixture.tensor(f"len_{side}")[:, None])
    for side in SIDES:
        tokens.append(own[f"{side}_f"][:, None])
        real.append(real[0])
    z0 = torch.cat([token + net.kind[kind] for kind, token in enumerate(tokens)], dim=1)
    mask = torch.cat(real, dim=1)
    z1 = net.first(z0, mask)
    z2 = net.second(z1, mask)
    starts = np.cumsum([0, *(token.shape[1] for token in tokens[:-1])])
    combined = z2[:, starts].flatten(1)
    return {
        "z0": z0,
        "z0_mask": mask[:, None],
        "z1": z1,
        "z2": z2,
        "combined_hidden": combined,
        "logits": net.head(combined),
    }


def demos(fixture: Fixture, net: Official) -> dict[str, Tensor]:
    """Kernel, graph convolution and transformer on inputs of their own."""
    vector, adjacency = fixture.tensor("kernel_in"), fixture.tensor("gcn_adj")
    token, mask = fixture.tensor("mm_in"), fixture.tensor("mm_mask")[:, 0] > 0
    placed = net.first.embed(token) + positions(*token.shape[1:]).to(token)
    return {
        "kernel_demo": kernel(vector, len(vector)),
        "sqdist_demo": squared_distances(vector, vector),
        "gcn_demo": net.graph(adjacency @ vector),
        "mm_transformer_demo": net.first.layer(placed, mask),  # before the ReLU
    }
