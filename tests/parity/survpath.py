"""SurvPath: tokens, every stage after the attention, its raw scores, logits and losses."""

import re

import torch
from torch import Tensor

from survbench.learn.losses import nll_surv
from survbench.methods.survpath import SurvPathConfig, SurvPathNet
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths

RENAMES = (
    (r"wsi_projection_net\.0", "patch"),
    ("sig_networks", "gene"),
    (r"cross_attender\.norm", "attend.norm"),
    (r"cross_attender\.attn\.to_qkv", "attend.qkv"),
    (r"feed_forward\.norm", "feed.0"),
    (r"feed_forward\.net\.0", "feed.1"),
    (r"feed_forward\.net\.3", "feed.4"),
    ("layer_norm", "norm"),
    ("to_logits", "head"),
)
LOSS = re.compile(r"loss_alpha(?P<alpha>[\d.eE+-]+)_c(?P<c>[01])")
PADDED = re.compile(r"logits_zero_padded_(\d+)")


def network(fixture: Fixture) -> SurvPathNet:
    """Our network with the reference's weights."""
    config = fixture.config
    genes = {str(i): size for i, size in enumerate(config["omic_sizes"])}
    net = SurvPathNet(
        SurvPathConfig(width=config["wsi_projection_dim"]),
        widths(patch=config["wsi_embedding_dim"], genes=genes, intervals=config["num_classes"]),
    )
    fixture.load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of the one patient, and of the same with zero patches behind."""
    net = network(fixture)
    sizes = fixture.config["omic_sizes"]
    (bag,) = fixture.tensor("x_path")  # (N, D)
    row = torch.cat([fixture.tensor(f"x_omic{i + 1}") for i in range(len(sizes))])[None]
    parts = torch.arange(row.shape[1]).split(sizes)
    groups = {str(i): columns.tolist() for i, columns in enumerate(parts)}

    def logits(zeros: int = 0) -> Tensor:
        padded = torch.cat([bag, bag.new_zeros(zeros, bag.shape[1])])
        return net(batch([padded], row, groups))  # type: ignore[no-any-return]

    patient = batch([bag], row, groups)
    gene, patch = net.gene(patient.genes("G")), net.patch(bag)
    read = net.attend(gene, patch, patient.bags("P"))
    attended = torch.cat([read[0][0], read[1]])[None]
    fed = net.feed(attended)
    final = net.norm(fed)
    halves = final[:, : len(sizes)].mean(dim=1), final[:, len(sizes) :].mean(dim=1)
    ours = survival_outputs(logits()) | {
        "tokens": torch.cat([gene, patch[None]], dim=1),
        "attn_out": attended,
        "ff_out": fed,
        "ln_out": final,
        "embedding": torch.cat(halves, dim=1),
        **_scores(net, gene[0], patch),
    }
    ours["S"] = ours["survival"]
    for name in fixture.outputs:
        if match := LOSS.fullmatch(name):
            event = torch.tensor([1 - int(match["c"])])
            loss = nll_surv(logits(), fixture.tensor("Y"), event, float(match["alpha"]))
            ours[name] = loss.sum()
        elif match := PADDED.fullmatch(name):
            ours[name] = logits(int(match[1]))
    return ours


def _scores(net: SurvPathNet, gene: Tensor, patch: Tensor) -> Ours:
    """Scaled scores before the softmax, of the three kinds of pairs that are computed."""
    (gene_q, gene_k, _), (q, k, _) = net.attend.project(gene), net.attend.project(patch)
    scale = q.shape[-1] ** -0.5
    return {
        "scores_path_path": scale * gene_q @ gene_k.mT,
        "scores_path_hist": scale * gene_q @ k.mT,
        "scores_hist_path": scale * q @ gene_k.mT,
    }
