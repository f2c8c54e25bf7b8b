"""MOTCat: costs, plan and its mass under both kernels, and what MCAT's checker compares."""

from typing import cast

import torch
from torch import Tensor

from survbench.learn.fusion import FusionKind
from survbench.learn.gene_guided import GeneGuided
from survbench.learn.transport import (
    TransportGuide,
    TransportKernel,
    TransportKind,
    transport_cost,
)
from survbench.methods import motcat
from survbench.methods.motcat import MOTCatConfig
from tests.parity.fixture import Fixture, Ours, survival_outputs, widths
from tests.parity.mcat import RENAMES, backbone_outputs, patient, sizes

KINDS: dict[str, TransportKind] = {"pot-uot-l2": "unbalanced", "pot-sinkhorn-l2": "balanced"}
OTHER_KERNEL = "_if_reg_type_kl"


def network(fixture: Fixture, kernel: TransportKernel) -> GeneGuided:
    """Our network with the reference's weights."""
    config = fixture.config
    net = motcat.network(
        MOTCatConfig(
            width=config["width"],
            heads=config["nhead"],
            hidden=config["ffn"],
            fusion=cast("FusionKind", config["fusion"]),
            transport=KINDS[config.get("ot_impl", "pot-uot-l2")],
            kernel=kernel,
            eps=config["ot_reg"],
            tau=config["ot_tau"],
        ),
        widths(patch=config["path_dim"], genes=sizes(fixture), intervals=config["n_classes"]),
    )
    fixture.load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of the one patient; those of the other kernel are named as theirs."""
    kernel = cast("TransportKernel", fixture.config.get("ot_reg_type", "entropy"))
    net, one = network(fixture, kernel), patient(fixture)
    plan = _plan(net, fixture)
    token = net.embed(one.bags("P").features)
    cost = transport_cost(token, net.genes(one.genes("G"))[0])
    ours = backbone_outputs(net, fixture) | {
        "attn_coattn": plan.T[None, None],
        "ot_cost": cost,
        "ot_dist": (cost * plan).sum(),
        "ot_plan_mass": plan.sum(),
    }
    other = network(fixture, "kl")
    ours |= survival_outputs(other(one), OTHER_KERNEL)
    return ours | {f"attn_coattn{OTHER_KERNEL}": _plan(other, fixture).T[None, None]}


def _plan(net: GeneGuided, fixture: Fixture) -> Tensor:
    """Plan (L, g) of the one patient."""
    one = patient(fixture)
    bags, guide = one.bags("P"), cast("TransportGuide", net.guide)
    return guide.plans(net.genes(one.genes("G")), net.embed(bags.features), bags)
