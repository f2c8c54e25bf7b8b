"""CMTA: tokens, raw cross attention, the four class tokens, logits and every term of the loss."""

import re

import torch

from survbench.learn.losses import nll_surv
from survbench.learn.transmil import square
from survbench.methods.cmta import CMTAConfig, CMTANet
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths

TRANSFORMERS = (
    ("pathomics_encoder", "encode_patch"),
    ("pathomics_decoder", "decode_patch"),
    ("genomics_encoder", "encode_gene"),
    ("genomics_decoder", "decode_gene"),
)
INSIDE = (
    (r"layer1\.norm", "first.norm"),
    (r"layer1\.attn\.to_qkv", "first.attention.qkv"),
    (r"layer1\.attn\.to_out\.0", "first.attention.out"),
    (r"layer1\.attn\.res_conv", "first.attention.residual"),
    (r"layer2\.norm", "second.norm"),
    (r"layer2\.attn\.to_qkv", "second.attention.qkv"),
    (r"layer2\.attn\.to_out\.0", "second.attention.out"),
    (r"layer2\.attn\.res_conv", "second.attention.residual"),
    (r"pos_layer\.proj\.", "ppeg.convolutions.0."),
    (r"pos_layer\.proj(\d+)\.", r"ppeg.convolutions.\1."),
    ("cls_token", "class_token"),
    ("norm", "norm"),
)
RENAMES = (
    *(
        (rf"{theirs}\.{part}", f"{ours}.{to}")
        for theirs, ours in TRANSFORMERS
        for part, to in INSIDE
    ),
    (r"pathomics_fc\.0", "embed_patch.0.0"),
    (r"pathomics_fc\.3", "embed_patch.1.0"),
    ("genomics_fc", "embed_gene"),
    (r"P_in_G_Att\.in_proj_", "patch_reads.inward."),
    (r"P_in_G_Att\.out_proj", "patch_reads.outward"),
    (r"G_in_P_Att\.in_proj_", "gene_reads.inward."),
    (r"G_in_P_Att\.out_proj", "gene_reads.outward"),
    (r"mm\.linear_h1", "fuse.first.reduce"),
    (r"mm\.linear_z1\.0", "fuse.first.gate"),
    (r"mm\.linear_o1", "fuse.first.out"),
    (r"mm\.linear_h2", "fuse.second.reduce"),
    (r"mm\.linear_z2\.0", "fuse.second.gate"),
    (r"mm\.linear_o2", "fuse.second.out"),
    (r"mm\.encoder1", "fuse.encode"),
    (r"mm\.encoder2", "fuse.merge"),
    ("mm", "fuse.layers"),
    ("classifier", "head"),
)
TOTAL = re.compile(r"loss_total_c(?P<c>[01])_alpha(?P<weight>[\d.eE+-]+)")


def network(fixture: Fixture) -> CMTANet:
    """Our network with the reference's weights."""
    config = fixture.config
    genes = {str(i): size for i, size in enumerate(config["omic_sizes"])}
    net = CMTANet(
        CMTAConfig(
            width=config["width"],
            gene_hidden=config["gene_hidden"],
            heads=config["heads_nystrom"],
            landmarks=config["landmarks"],
            attention="nystrom",
            fusion=config["fusion"],
        ),
        widths(patch=config["path_dim"], genes=genes, intervals=config["n_classes"]),
    )
    fixture.load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of the one patient."""
    net = network(fixture)
    sizes = fixture.config["omic_sizes"]
    bag = fixture.tensor("x_path")  # (N, D)
    row = torch.cat([fixture.tensor(f"x_omic{i + 1}") for i in range(len(sizes))])[None]
    parts = torch.arange(row.shape[1]).split(sizes)
    patient = batch([bag], row, {str(i): columns.tolist() for i, columns in enumerate(parts)})
    embedded = net.embed_patch(bag)
    patch = net.encode_patch(square(embedded[None]))[:, 1:]
    gene = net.encode_gene(net.embed_gene(patient.genes("G")))[:, 1:]
    tokens, logits = net.tokens(patient), net(patient)
    ours = survival_outputs(logits) | {
        "P": tokens.patch,
        "P_hat": tokens.patch_made,
        "G": tokens.gene,
        "G_hat": tokens.gene_made,
        "fused": net.fuse(
            (tokens.patch + tokens.patch_made) / 2, (tokens.gene + tokens.gene_made) / 2
        ),
        "path_embed": embedded,
        "path_tokens_encoder": patch,
        "gene_tokens_encoder": gene,
        "attn_raw_P_query_G": net.patch_reads.scores(patch, gene)[None],
        "attn_raw_G_query_P": net.gene_reads.scores(gene, patch)[None],
        "P_in_G": net.patch_reads(patch, gene).transpose(0, 1),
        "G_in_P": net.gene_reads(gene, patch).transpose(0, 1),
        "loss_sim_P": (tokens.patch - tokens.patch_made).abs().mean(),
        "loss_sim_G": (tokens.gene - tokens.gene_made).abs().mean(),
    }
    ours["S"] = ours["survival"]
    for c in (0, 1):
        event = torch.tensor([1 - c])
        ours[f"loss_surv_c{c}"] = nll_surv(logits, fixture.tensor("Y"), event)[0]
    for name in fixture.outputs:
        if match := TOTAL.fullmatch(name):
            alignment = float(match["weight"]) * tokens.misalignment()[0]
            ours[name] = ours[f"loss_surv_c{match['c']}"] + alignment
    return ours
