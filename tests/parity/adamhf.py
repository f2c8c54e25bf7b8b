"""AdaMHF: its layers one by one, and the whole network in the form of the public code."""

import re
from dataclasses import replace

import torch
from torch import Tensor, nn

from survbench.learn.coattention import CoAttention
from survbench.learn.epeg import EPEG
from survbench.learn.experts import ConvExpert, ExpertLayer, ExpertStack, GridConvolution
from survbench.learn.low_rank import LowRankFusion
from survbench.learn.nystrom import NystromAttention
from survbench.learn.snn import snn_blocks
from survbench.learn.token_select import TokenSelector
from survbench.learn.transmil import NystromLayer
from survbench.methods.adamhf import AdaMHFConfig, AdaMHFNet
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths

RENAMES = (
    (r"\.pathomics_fc\.0\.", ".embed.P.0.0."),
    (r"\.pathomics_fc\.3\.", ".embed.P.1.0."),
    (r"\.genomics_fc\.", ".embed.G."),
    (r"\.pathomics_encoder\.", ".segregate.P."),
    (r"\.genomics_encoder\.", ".segregate.G."),
    (r"\.pathomics_decoder\.", ".integrate.P."),
    (r"\.genomics_decoder\.", ".integrate.G."),
    (r"\.pathomics_to_genomics_attention\.", ".read.P."),
    (r"\.genomics_to_pathomics_attention\.", ".read.G."),
    (r"\.token_selector\.", ".select."),
    (r"\.merging_layers\.0\.", ".merge.0.0."),
    (r"\.merging_layers\.2\.", ".merge.1.0."),
    (r"\.classifier\.", ".head."),
    (r"^e2e\.lmf\.", "e2e.fuse."),
    (r"\.cls_token$", ".class_token"),
    (r"\.layer1\.", ".first."),
    (r"\.layer2\.", ".second."),
    (r"\.attn\.to_qkv\.", ".attention.qkv."),
    (r"\.attn\.to_out\.0\.", ".attention.out."),
    (r"\.attn\.res_conv\.", ".attention.residual."),
    (r"\.pos_layer\.pe\.", ".place.convolution."),
    (r"^epeg\.pe\.", "epeg.convolution."),
    (r"\.pree\.", ".experts."),
    (r"\.frozen_mlps\.(\d)\.mlp\.", r".layers.\1.residual."),
    (r"\.expert_layers\.(\d)\.(\d)\.", r".layers.\1.experts.\2."),
    (r"\.gate_controllers\.(\d)\.", r".layers.\1.gate."),
    (r"\.snn1\.", ".0."),
    (r"\.snn2\.", ".1."),
    (r"\.conv1\.", ".first."),
    (r"\.conv2\.", ".second."),
    (r"\.bn1\.", ".first_norm."),
    (r"\.bn2\.", ".second_norm."),
    (r"\.router\.encoder\.", ".router.encode."),
    (r"\.router\.alpha_predictor\.", ".router.share."),
    (r"\.router\.k_predictor\.", ".router.count."),
    (r"\.priority_allocator\.", ".score."),
    (r"\.selective_refiner\.", ".refine."),
    (r"\.final_mlp\.", ".last."),
    (r"\.audio_factor$", ".first"),
    (r"\.video_factor$", ".second"),
    (r"\.fusion_weights$", ".weight"),
    (r"\.fusion_bias$", ".bias"),
    (r"\.in_proj_", ".inward."),
    (r"\.out_proj\.", ".outward."),
)


def network(fixture: Fixture) -> AdaMHFNet:
    """Our network in the form of the public code, untrained."""
    config = fixture.config
    options = AdaMHFConfig(
        width=config["D"],
        gene_hidden=(config["omic_hidden"],),
        attention="nystrom",
        expert_norm="batch",
        trained_gates=False,
        selection="vector",
        most_tokens=config["max_k"],
        rank=config["lmf_rank"],
        beta=config["rate"],
    )
    sizes = {str(number): size for number, size in enumerate(config["omic_sizes"])}
    return AdaMHFNet(
        options, widths(patch=config["path_in"], genes=sizes, intervals=config["n_classes"])
    )


class Components(nn.Module):
    """Every layer of the fixture, by the reference's names."""

    def __init__(self, fixture: Fixture) -> None:
        super().__init__()
        config = fixture.config
        width = config["D"]

        def genes() -> nn.Module:
            return snn_blocks(width, (width, width))

        self.e2e = network(fixture)
        self.translayer = NystromLayer(width)
        self.epeg = EPEG(width)
        self.cnn_expert = ConvExpert(width, "batch")
        self.snn_expert = genes()
        self.pree_g = ExpertStack(width, genes, trained_gate=False)
        self.atsa = TokenSelector(width, most=config["max_k"], vector=True, trained=False)
        self.lmf = LowRankFusion(width, config["lmf_rank"])
        self.mha = CoAttention(width)
        for module in self.modules():
            if isinstance(module, NystromAttention):
                module.scale_over = "batch"  # the reference's, which ours avoids
        state = {renamed(name): value for name, value in fixture.state.items()}
        for name, part in self.named_modules():
            if isinstance(part, GridConvolution):
                state[f"{name}.weight"] = state[f"{name}.weight"].transpose(0, 2, 3, 1)
        replace(fixture, state=state).load(self)


def renamed(name: str) -> str:
    """Our name of a weight of the reference."""
    for pattern, ours in RENAMES:
        name = re.sub(pattern, ours, name)
    return name


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of every layer by itself, and of every stage of the network."""
    layers = Components(fixture)
    return {**_layers(fixture, layers), **_selection(fixture, layers), **_network(fixture, layers)}


def _layers(fixture: Fixture, layers: Components) -> dict[str, Tensor]:
    token = fixture.tensor("translayer_x")
    grid = fixture.tensor("cnn_expert_x")  # (1, H, s, s)
    convolved = layers.cnn_expert(grid.flatten(2).mT, leading=0)
    query, source = (fixture.tensor(f"mha_{name}").transpose(0, 1) for name in ("query", "kv"))
    ours = {
        "translayer_y": layers.translayer(token),
        "translayer_attn_out": layers.translayer(token) - token,
        "epeg_y": layers.epeg(fixture.tensor("epeg_x")),
        "cnn_expert_y": convolved.mT.reshape(grid.shape),
        "snn_expert_y": layers.snn_expert(fixture.tensor("snn_expert_x")),
        "lmf_y": layers.lmf(fixture.tensor("lmf_p"), fixture.tensor("lmf_g")),
        "mha_y": layers.mha(query, source).transpose(0, 1),
        "mha_raw_scores": layers.mha.scores(query, source)[:, None],
    }
    token = fixture.tensor("pree_g_x")
    for number, layer in enumerate(layers.pree_g.layers):
        assert isinstance(layer, ExpertLayer)
        probability = layer.probability(token)
        ours[f"pree_g_gate{number}"] = probability
        ours[f"pree_g_expert{number}"] = probability.argmax(dim=1)
        token, _ = layer(token)
    return {**ours, "pree_g_y": token}


def _selection(fixture: Fixture, layers: Components) -> dict[str, Tensor]:
    select = layers.atsa
    token, leading = fixture.tensor("atsa_tokens"), fixture.tensor("atsa_cls")
    bags = batch(list(token)).bags("P")
    said = select.router(leading, bags.length)
    return {
        "atsa_y": select(bags, leading).features,
        "atsa_alpha": said.share,
        "atsa_k": said.count,
        "atsa_scores": bags.softmax(select.scores(bags, leading)).reshape(len(token), -1),
    }


def _network(fixture: Fixture, layers: Components) -> dict[str, Tensor]:
    net, select = layers.e2e, layers.e2e.select
    assert select is not None
    assert net.fuse is not None
    genes = [fixture.tensor(f"omic{number + 1}") for number in range(6)]
    names, first = {}, 0
    for number, gene in enumerate(genes):
        names[str(number)] = range(first, first + len(gene))
        first += len(gene)
    patient = batch([fixture.tensor("path")], torch.cat(genes)[None], names)
    embedded = {role: net.tokens(patient, role) for role in ("P", "G")}
    own = {role: net.segregate[role](bags) for role, bags in embedded.items()}
    crossed = net.exchanged(own)
    mixed = {role: net.integrate[role](bags) for role, bags in crossed.items()}
    ours: dict[str, Tensor] = {}
    mean, leading = [], []
    for role, name in (("P", "p"), ("G", "g")):
        found = own[role]
        said = select.router(found.leading, found.tokens.length)
        mean.append(mixed[role].tokens.mean(mixed[role].tokens.features))
        leading.append((found.leading + mixed[role].leading) / 2)
        ours |= {
            f"e2e_emb_{name}": embedded[role].features[None],
            f"e2e_enc_cls_{name}": found.leading,
            f"e2e_enc_tok_{name}": found.tokens.features[None],
            f"e2e_alpha_{name}": said.share,
            f"e2e_k_{name}": said.count,
            f"e2e_atsa_{name}": select(found.tokens, found.leading).features[None],
            f"e2e_cross_{name}": crossed[role].features[None],
            f"e2e_dec_cls_{name}": mixed[role].leading,
        }
    said = net.judge(patient)
    ours["e2e_local"] = net.fuse(*mean)
    ours["e2e_global"] = net.merge(torch.cat(leading, dim=1))
    ours["e2e_aux_l1"] = said.drift[0]
    return ours | {f"e2e_{name}": value for name, value in survival_outputs(said.logits).items()}
