"""SNNTrans: tokens and class token, with the square of groups and (noppeg_) without."""

import torch

from survbench.learn.nystrom import NystromAttention
from survbench.methods.snntrans import SNNTransConfig, SNNTransNet
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths
from tests.parity.transmil import RENAMES as TRANSMIL

BARE = "noppeg_"
RENAMES = (
    ("genomics_fc", "embed"),
    *((rf"aggregator\.{theirs}", ours) for theirs, ours in TRANSMIL),
)


def network(fixture: Fixture, *, ppeg: bool) -> SNNTransNet:
    """Our network with the reference's weights, those of its positions only with `ppeg`."""
    config = fixture.config
    sizes = {str(i): size for i, size in enumerate(config["group_sizes"])}
    net = SNNTransNet(
        SNNTransConfig(
            hidden=config["snn_hidden"],
            width=config["dim"],
            heads=config["heads"],
            landmarks=config["num_landmarks"],
            ppeg=ppeg,
            attention="nystrom",
        ),
        widths(genes=sizes, intervals=config["n_classes"]),
    )
    for module in net.modules():
        if isinstance(module, NystromAttention):
            module.scale_over = "batch"  # the reference's, which ours avoids
    kept = {n: value for n, value in fixture.state.items() if ppeg or "pos_layer" not in n}
    Fixture(fixture.path, fixture.inputs, kept, fixture.outputs, fixture.meta).load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of the one patient in both forms."""
    sizes = fixture.config["group_sizes"]
    row = torch.cat([fixture.tensor(f"omic{i + 1}") for i in range(len(sizes))])[None]
    parts = torch.arange(row.shape[1]).split(sizes)
    patient = batch(genes=row, groups={str(i): part.tolist() for i, part in enumerate(parts)})
    ours: dict[str, torch.Tensor] = {}
    for prefix, ppeg in (("", True), (BARE, False)):
        net = network(fixture, ppeg=ppeg)
        ours[f"{prefix}tokens"] = net.embed(patient.genes("G"))
        ours[f"{prefix}cls_feature"] = net.patient(patient.genes("G"))
        found = survival_outputs(net(patient))
        ours |= {f"{prefix}{name}": value for name, value in found.items()}
    return ours
