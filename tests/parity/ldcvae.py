"""LD-CVAE: posteriors, tokens, loss terms and predictions, every draw from recorded noise."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from survbench.learn import Batch, nll_surv, risk_of
from survbench.learn.nystrom import NystromAttention
from survbench.methods.ldcvae import (
    CONDITION,
    IMAGE,
    JOINT,
    LDCVAEConfig,
    LDCVAENet,
    Posteriors,
    objective,
)
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths
from tests.parity.transmil import RENAMES as TRANSMIL

MERGED = {  # ours: theirs, one behind the other
    "patch_encoder.encoder.class_token": ("wsi_encoder.muQuery", "wsi_encoder.sigmaQuery"),
    "gene_encoder.query": ("vae.encoder.muQuery", "vae.encoder.sigmaQuery"),
}
PATCH = tuple(
    (rf"wsi_encoder\.{theirs}", f"patch_encoder.{ours}")
    for theirs, ours in TRANSMIL
    if not theirs.startswith(("_fc", "cls"))
)
BRANCH = tuple(
    (rf"{theirs}_{part}", f"backbone.branches.{ours}.{to}")
    for theirs, ours in (("path", "P"), ("omic", "G"))
    for part, to in (
        (r"attention_head\.attention_a\.0", "attend.content.0"),
        (r"attention_head\.attention_b\.0", "attend.gate.0"),
        (r"attention_head\.attention_c", "attend.score"),
        ("transformer", "encoder"),
        ("rho", "rho"),
    )
)
RENAMES = (
    *PATCH,
    *BRANCH,
    (r"wsi_encoder\.fc", "patch_encoder.out"),
    (r"wsi_net\.0", "backbone.embed.0"),
    (r"wsi_classifier\.0", "patch_head"),
    ("sig_networks", "backbone.genes"),
    (r"vae\.encoder\.seqTransEncoder\.layers\.0", "gene_encoder.layer"),
    (r"vae\.decoder\.latent_generators\.(\d+)\.0", r"gene_decoder.part.\1"),
    (r"vae\.decoder\.decoders", "gene_decoder.token"),
    (r"coattn\.in_proj_", "backbone.guide.attention.inward."),
    (r"coattn\.out_proj", "backbone.guide.attention.outward"),
    ("mm", "backbone.fuse.layers"),
    ("classifier", "backbone.head"),
)
LOSSES = {
    "recon_loss": "recon",
    "align_loss": "align",
    "kl_wsi": "kl_image",
    "kl_omic": "kl_gene",
    "kl_omic_componet": "kl_parts",
    "kl_joint": "kl_joint",
}


def network(fixture: Fixture) -> LDCVAENet:
    """Our network with the reference's weights."""
    config = fixture.config
    own = any("latent_generators" in name for name in fixture.state)
    net = LDCVAENet(
        LDCVAEConfig(
            width=config["token_width"],
            heads=config["heads_path_omic"],
            hidden=config["encoder_ff"],
            gene_heads=config["heads_vae"],
            gene_hidden=config["vae_encoder_ff"],
            decoder_hidden=config["decoder_hidden"],
            decoder="specific" if own else "shared",
            project=None,
            attention="nystrom",
        ),
        widths(
            patch=config["wsi_encoding_dim"],
            genes={f"omic{i}": size for i, size in enumerate(config["omic_sizes"], start=1)},
            intervals=config["n_classes"],
        ),
    )
    for module in net.modules():
        if isinstance(module, NystromAttention):
            module.scale_over = "batch"
    state = dict(fixture.state)
    for ours, theirs in MERGED.items():
        both = np.stack([state.pop(name) for name in theirs])
        state[ours] = both.reshape(net.get_parameter(ours).shape)
    state["centre"] = np.zeros(net.centre.shape, np.float32)
    replace(fixture, state=state).load(net, RENAMES)
    return net


def patients(fixture: Fixture) -> tuple[Batch, Batch]:
    """The patient of the fixture with genes and without."""
    sizes = fixture.config["omic_sizes"]
    names = [f"omic{i}" for i in range(1, len(sizes) + 1)]
    first = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    groups = {name: range(*first[i : i + 2]) for i, name in enumerate(names)}
    genes = torch.cat([fixture.tensor(name) for name in names])[None]
    whole = batch([fixture.tensor("path")], genes, groups)
    nobody = replace(whole.genes("G"), values=genes[:0], rows=torch.arange(0))
    return whole, replace(whole, modalities={**whole.modalities, "G": nobody})


def noise_of(fixture: Fixture, run: str, slots: list[int]) -> Tensor:
    """Noise (1, 3 + g, H) of a run; its draws go to the first rows `slots`, then to the parts."""
    groups = len(fixture.config["omic_sizes"])
    noise = torch.zeros(1, 3 + groups, fixture.config["token_width"], dtype=fixture.dtype)
    recorded = [name for name in fixture.inputs if name.startswith(f"{run}_noise")]
    for row, draw in zip([*slots, *range(3, 3 + groups)], range(len(recorded)), strict=False):
        noise[:, row] = fixture.tensor(f"{run}_noise{draw}")
    return noise


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of the parts and of every run."""
    net, (whole, absent) = network(fixture), patients(fixture)
    real, present = net.gene_tokens(whole)
    found = net.posteriors(whole, real, present)
    without = net.posteriors(absent, *net.gene_tokens(absent))
    recon, parts = net.decode(found, noise_of(fixture, "vae", [CONDITION, JOINT]))
    ours = {
        "omic_embed": real.mT.permute(2, 0, 1),
        "vae_recon": recon,
        "vae_sample": net.decode(without, noise_of(fixture, "sample", [JOINT]))[0],
    }
    for name, one in (
        ("vib", found.image),
        ("vae", found.gene),
        ("poe_joint", found.joint),
        ("poe_missing", without.joint),
        ("vae_component", parts),
    ):
        if one is not None:
            ours |= {f"{name}_mu": one.mean, f"{name}_logvar": one.logvar}
    for run in {name.removesuffix("_hazards") for name in fixture.outputs if "_hazards" in name}:
        if run.endswith("missing"):
            noise = noise_of(fixture, run, [JOINT])
            ours |= _prediction(net, absent, net.decode(without, noise)[0], run)
            continue
        noise = noise_of(fixture, run, [IMAGE, CONDITION, JOINT])
        made = net.decode(found, noise)[0]
        ours |= _prediction(net, whole, real if "warmup" in run else made, run)
        if run.startswith("train"):
            event = torch.tensor([0.0 if "censored" in run else 1.0])
            ours |= _losses(fixture, net, found, real, noise, event, run)
    return ours


def _prediction(net: LDCVAENet, patient: Batch, token: Tensor, run: str) -> dict[str, Tensor]:
    """Hazards, survival, risk and raw attention of gene tokens (1, g, H)."""
    bags, backbone = patient.bags("P"), net.backbone
    source = backbone.embed(bags.features)
    attention = backbone.guide.get_submodule("attention")
    concept = backbone.guide(token, source, bags)
    named = survival_outputs(net.logits(patient, token))
    named["attn_coattn"] = attention.scores(token, source[None])[:, None]  # type: ignore[operator]
    for name, part, value in (("path", "P", concept), ("omic", "G", token)):
        branch = backbone.branches[part]
        score = branch.get_submodule("attend")(branch.get_submodule("encoder")(value))
        named[f"attn_{name}"] = score
    return {f"{run}_{name}": value for name, value in named.items()}


def _losses(
    fixture: Fixture,
    net: LDCVAENet,
    found: Posteriors,
    real: Tensor,
    noise: Tensor,
    event: Tensor,
    run: str,
) -> dict[str, Tensor]:
    """Terms of the loss beside the likelihood of the prediction."""
    made, parts = net.decode(found, noise)
    terms = objective(found, parts, made, real)
    image = net.patch_head(found.image.draw(noise[:, IMAGE]))
    named = {theirs: terms[ours][0] for theirs, ours in LOSSES.items() if ours in terms}
    named["encode_wsi_loss"] = nll_surv(image, fixture.tensor("label"), event)[0]
    named["risk_wsi"] = risk_of(image)
    return {f"{run}_loss_{name}": value for name, value in named.items()}
