"""HFBSurv in its original form: three vectors in, every product, the code, log-risk and losses."""

from itertools import combinations

import torch
from torch import Tensor, nn

from survbench.methods.hfbsurv import HFBSurvConfig, HierarchicalFusion
from tests.parity.fixture import Fixture, Ours
from tests.parity.gpdbn import CoxForm, losses


def names(fixture: Fixture) -> list[str]:
    """Modalities in the reference's order."""
    return [name.removeprefix("x_") for name in fixture.inputs if name.startswith("x_")]


def renames(fixture: Fixture) -> list[tuple[str, str]]:
    """Where the reference's weights go."""
    each = [
        pair
        for place, name in enumerate(names(fixture))
        for pair in (
            (rf"encoder_{name}\.encoder", f"fusion.encoders.{place}"),
            (rf"Linear_{name}\.", f"fusion.intra.{place}."),
        )
    ]
    return [
        *each,
        (rf"Linear_{names(fixture)[0]}_a", "fusion.inter.0"),
        (r"attention\.0", "fusion.attend"),
        ("norm", "fusion.norm"),
        ("encoder", "fusion.head"),
        (r"classifier\.0", "head"),
    ]


def network(fixture: Fixture, *, official_third: bool) -> CoxForm:
    """Our fusion with the reference's norm, head and weights."""
    config = fixture.config
    width, *_, head = config["hidden_dims"]
    intra, inter, outputs = config["output_dims"]
    code = len(fixture.state["encoder.1.0.bias"])
    fusion = HierarchicalFusion(
        HFBSurvConfig(
            width=width,
            intra=intra,
            inter=inter,
            rank=config["rank"],
            head=(head, code),
            official_third=official_third,
        ),
        config["input_dims"],
        norm=nn.BatchNorm1d,
    )
    net = CoxForm(fusion, code, outputs)
    fixture.load(net, renames(fixture))
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of all patients together, with the third vector as in the code and as it should."""
    net, repaired = (network(fixture, official_third=third) for third in (True, False))
    vectors = [fixture.tensor(f"x_{name}")[:, 0] for name in names(fixture)]
    present = torch.ones(len(vectors[0]), len(vectors), dtype=torch.bool)
    out = net(vectors, present)
    cox, norm, total = losses(net, out, fixture)
    ours = {
        "out": out,
        "out_third_modality_fixed": repaired(vectors, present),
        "cox_sorted": cox,
        "l1_used": norm,
        "loss_total_used": total,
        **_stages(net, vectors, present, names(fixture)),
    }
    net.get_submodule("fusion.norm").train()
    ours["out_batchstats"] = net(vectors, present)
    return ours


def _stages(net: CoxForm, vectors: list[Tensor], present: Tensor, named: list[str]) -> Ours:
    """What lies between the vectors and the log-risk."""
    fusion = net.fusion
    assert isinstance(fusion, HierarchicalFusion)
    encoded = fusion.encode(vectors)
    intra = fusion.within(encoded)
    inter = fusion.between(fusion.attended(encoded)[1])
    pairs = ["_".join(pair) for pair in combinations(named, 2)]
    return {
        "fusion_input": fusion.fuse(encoded, present),
        "code": fusion(vectors, present),
        **{f"enc_{name}": encoded[:, place] for place, name in enumerate(named)},
        **{f"intra_{name}": intra[:, place] for place, name in enumerate(named)},
        **{f"inter_{pair}": inter[:, place] for place, pair in enumerate(pairs)},
    }
