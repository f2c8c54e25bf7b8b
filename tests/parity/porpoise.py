"""PORPOISE: raw attention, vectors of both sides, gated ones, fusion, logits, losses, L1 terms."""

import torch

from survbench.learn.fusion import KroneckerFusion
from survbench.learn.losses import nll_surv
from survbench.learn.penalty import l1_norm
from survbench.methods.porpoise import PORPOISEConfig, PORPOISENet, penalised
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths
from tests.parity.mcat import KRONECKER

ATTENTION = (
    # one place later where there is dropout on the input
    (r"attention_net\.[01]\.", "pool.embed.1."),
    (r"attention_net\.[34]\.attention_a\.0", "pool.attend.content.0"),
    (r"attention_net\.[34]\.attention_b\.0", "pool.attend.gate.0"),
    (r"attention_net\.[34]\.attention_c", "pool.attend.score"),
)
RENAMES = (
    *ATTENTION,
    *KRONECKER,
    ("fc_omic", "genes"),
    ("classifier_mm", "head"),
)


def network(fixture: Fixture) -> PORPOISENet:
    """Our network with the reference's weights."""
    config, state = fixture.config, fixture.state
    first = next(name for name in state if name.endswith("attention_a.0.weight"))
    bilinear_gate = state.get("mm.linear_z1.weight")
    net = PORPOISENet(
        PORPOISEConfig(
            hidden=config["path_hidden"],
            attention=len(state[first]),
            width=config["width"],
            input_dropout=config.get("dropinput", 0.0),
            gene_net="mlp" if config.get("use_mlp") else "snn",
            fusion=config["fusion"],
            gate_path=bool(config.get("gate_path", 1)),
            gate_gene=bool(config.get("gate_omic", 1)),
            skip=bool(config.get("skip", True)),
            scale_path=config.get("scale_dim1", 8),
            scale_gene=config.get("scale_dim2", 8),
            bilinear_gate=bilinear_gate is not None and bilinear_gate.ndim == 3,
        ),
        widths(
            patch=config["path_input_dim"],
            genes=config["omic_input_dim"],
            intervals=config["n_classes"],
        ),
    )
    fixture.load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of the one patient."""
    net, bag = network(fixture), fixture.tensor("x_path")
    one = batch([bag], fixture.tensor("x_omic"))
    token = net.pool.embed(bag)
    path, gene = net.vectors(one)
    logits = net(one)
    ours = survival_outputs(logits) | {
        "attn_raw": net.pool.attend(token)[None],
        "patch_hidden": token,
        "h_path": path,
        "h_omic": gene,
        "fused": net.fuse(path, gene),
        "l1_pathomic": l1_norm(penalised(net, "pathomic")),
        "l1_omic": l1_norm(penalised(net, "omic")),
    }
    ours["S"] = ours["survival"]
    if isinstance(net.fuse, KroneckerFusion):
        ours |= {
            "gated_path": net.fuse.first(path, path, gene),
            "gated_omic": net.fuse.second(gene, path, gene),
            "kron_encoded": net.fuse.encode(net.fuse.product(path, gene)),
        }
    if "Y" in fixture.inputs:
        for c in (0, 1):
            event = torch.tensor([1 - c])
            ours[f"loss_c{c}"] = nll_surv(logits, fixture.tensor("Y"), event)[0]
    return ours
