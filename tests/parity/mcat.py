"""MCAT: raw co-attention and pooling scores, tokens, vectors of both sides, fusion and logits."""

from typing import cast

import torch
from torch import Tensor

from survbench.learn import Batch
from survbench.learn.fusion import FusionKind
from survbench.learn.gene_guided import BagCoAttention, GeneGuided, TokenBranch
from survbench.methods.mcat import MCATConfig
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths

SIDES = {"path": "P", "omic": "G"}
BRANCHES = tuple(
    (rf"{theirs}_{part}", f"branches.{ours}.{to}")
    for theirs, ours in SIDES.items()
    for part, to in (
        ("transformer", "encoder"),
        (r"attention_head\.attention_a\.0", "attend.content.0"),
        (r"attention_head\.attention_b\.0", "attend.gate.0"),
        (r"attention_head\.attention_c", "attend.score"),
        ("rho", "rho"),
    )
)
KRONECKER = (
    *(
        (rf"mm\.linear_{theirs}{side}{inside}", f"fuse.{place}.{ours}")
        for side, place in ((1, "first"), (2, "second"))
        for theirs, inside, ours in (
            ("h", "", "reduce"),
            ("z", r"(\.0)?", "gate"),
            ("o", "", "out"),
        )
    ),
    (r"mm\.encoder1", "fuse.encode"),
    (r"mm\.encoder2", "fuse.merge"),
    ("mm", "fuse.layers"),
)
RENAMES = (
    *BRANCHES,
    *KRONECKER,
    (r"wsi_net\.0", "embed.0"),
    ("sig_networks", "genes"),
    (r"coattn\.in_proj_", "guide.attention.inward."),
    (r"coattn\.out_proj", "guide.attention.outward"),
    ("classifier", "head"),
)


def sizes(fixture: Fixture) -> dict[str, int]:
    """Sizes of the gene groups."""
    return {str(i): size for i, size in enumerate(fixture.config["omic_sizes"])}


def patient(fixture: Fixture) -> Batch:
    """The patient of the fixture."""
    parts = [fixture.tensor(f"x_omic{i + 1}") for i in range(len(sizes(fixture)))]
    columns = torch.arange(sum(len(part) for part in parts)).split([len(part) for part in parts])
    groups = {str(i): index.tolist() for i, index in enumerate(columns)}
    return batch([fixture.tensor("x_path")], torch.cat(parts)[None], groups)


def network(fixture: Fixture) -> GeneGuided:
    """Our network with the reference's weights."""
    config = fixture.config
    net = GeneGuided.of(
        MCATConfig(
            width=config["width"],
            heads=config["nhead"],
            hidden=config["ffn"],
            fusion=cast("FusionKind", config["fusion"]),
        ),
        widths(patch=config["path_dim"], genes=sizes(fixture), intervals=config["n_classes"]),
    )
    fixture.load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of the one patient."""
    net, one = network(fixture), patient(fixture)
    attention = cast("BagCoAttention", net.guide).attention
    token = net.embed(one.bags("P").features)
    scores = attention.scores(net.genes(one.genes("G")), token[None])
    return backbone_outputs(net, fixture) | {"attn_coattn": scores[None]}


def backbone_outputs(net: GeneGuided, fixture: Fixture) -> dict[str, Tensor]:
    """What every network on this backbone gives."""
    one = patient(fixture)
    bags = one.bags("P")
    token, gene = net.embed(bags.features), net.genes(one.genes("G"))
    concept, logits = net.guide(gene, token, bags), net(one)
    ours = survival_outputs(logits) | {
        "Y_hat": logits.argmax(dim=1, keepdim=True),
        "path_embed": token,
        "gene_tokens": gene.transpose(0, 1),
        "coattn_out": concept.transpose(0, 1),
    }
    ours["S"] = ours["survival"]
    for name, source in (("path", concept), ("omic", gene)):
        branch = cast("TokenBranch", net.branches[SIDES[name]])
        encoded = branch.encoder(source)
        ours[f"{name}_tokens"] = encoded.transpose(0, 1)
        ours[f"attn_{name}"] = branch.attend(encoded)
        ours[f"h_{name}"] = branch(source)
    fused = net.fuse(ours["h_path"], ours["h_omic"])
    return ours | {"fused": fused.reshape(fixture.outputs["fused"].shape)}
