"""ShaSpec: features, domain logits and losses of subsets of modalities, and the composition alone.

The encoders are the fixture's stubs, tanh of one linear map; its 3x3x3 composition of vectors is
the linear map of its centre tap.
"""

import re

import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.learn import Widths
from survbench.methods.shaspec import (
    Composition,
    Features,
    ShaSpecConfig,
    ShaSpecNet,
    alignment,
    domain_loss,
    standardised,
)
from tests.parity.fixture import Fixture, Ours

ENCODER = re.compile(r"(?P<variant>\w+)\.(?P<modality>\w+)_enc\.lin\.weight")
STANDARDISED = {"plain": False, "ws": True}


def network(fixture: Fixture, variant: str) -> ShaSpecNet:
    """Our network with the reference's weights; stems and head are left as they are."""
    width, inputs = fixture.config["D"], fixture.inputs["images"][0, 0].size
    found = [match for match in map(ENCODER.fullmatch, fixture.state) if match]
    ours = [match["modality"] for match in found if match["variant"] == variant]
    names = tuple(name for name in ours if name != "shared")  # in the fixture's order
    net = ShaSpecNet(
        ShaSpecConfig(width=width, absent="first"),
        Widths(dict.fromkeys(names, inputs), {}, {}, 4, names),
    )
    net.shared = stub(fixture, f"{variant}.shared_enc", inputs, width)
    for name in names:
        net.specific[name] = stub(fixture, f"{variant}.{name}_enc", inputs, width)
    for part in ("weight", "bias"):
        weight = torch.as_tensor(fixture.state[f"{variant}.dom_classifier.{part}"])
        net.domain.get_parameter(part).copy_(weight)
    net.compose.linear.weight.copy_(kernel(fixture, variant)[:, :, 1, 1, 1])
    return net.to(fixture.dtype).eval()


def stub(fixture: Fixture, name: str, inputs: int, width: int) -> nn.Sequential:
    """The fixture's encoder `name`."""
    linear = nn.Linear(inputs, width)
    linear.weight.copy_(torch.as_tensor(fixture.state[f"{name}.lin.weight"]))
    linear.bias.copy_(torch.as_tensor(fixture.state[f"{name}.lin.bias"]))
    return nn.Sequential(linear, nn.Tanh())


def kernel(fixture: Fixture, variant: str) -> Tensor:
    """Convolution (H, 2 H, 3, 3, 3) of the composition, standardised where the variant is."""
    weight = torch.as_tensor(fixture.state[f"{variant}.compos_layer.conv.weight"])
    return standardised(weight) if STANDARDISED[variant] else weight


def ordered(features: Features, order: list[int]) -> Features:
    """Features whose modalities m stood at places order[m]."""
    parts = (features.shared, features.specific, features.fused, features.present)
    return Features(*(part[:, order] for part in parts))


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of both variants, all of them for every mode."""
    ours: dict[str, Tensor] = {}
    modes = {name.split("_")[1] for name in fixture.outputs if "_mode" in name}
    for variant in {name.split(".")[0] for name in fixture.state}:
        net = network(fixture, variant)
        for mode in modes:
            found = _mode(fixture, net, [int(place) for place in mode.removeprefix("mode")])
            ours |= {f"{variant}_{mode}_{name}": value for name, value in found.items()}
        ours |= _composition(fixture, net, variant)
    return ours


def _mode(fixture: Fixture, net: ShaSpecNet, listed: list[int]) -> dict[str, Tensor]:
    """Outputs where only the modalities `listed` are available, the first of them first."""
    vector = fixture.tensor("images").flatten(2)  # (B, M, V)
    order = listed + [m for m in range(len(net.names)) if m not in listed]
    present = torch.zeros(vector.shape[:2], dtype=torch.bool)
    present[:, listed] = True
    vector = vector * present[..., None]
    encoders = net.specific
    net.specific = nn.ModuleDict({net.names[m]: encoders[net.names[m]] for m in order})
    turned = net.features(vector[:, order], present[:, order])  # the code takes the first listed
    features = ordered(turned, [order.index(m) for m in range(len(order))])
    net.specific = encoders
    counted = torch.ones_like(present)
    logits = net.domain(features.specific)
    ring = alignment(features.shared, counted, "ring_double").mean()
    domain = domain_loss(logits, counted).mean()
    weights = ShaSpecConfig()
    return {
        "fused": features.fused,
        "shared": features.shared,
        "domain_logits": logits,
        "loss_shared_ring": ring,
        "loss_domain": domain,
        "aux_total": weights.weight_shared * ring + weights.weight_domain * domain,
    }


def _composition(fixture: Fixture, net: ShaSpecNet, variant: str) -> dict[str, Tensor]:
    """The composition alone, on vectors and on maps."""
    vectors, maps = (
        [fixture.tensor(f"{variant}_compos_{kind}{part}") for part in ("shared", "specific")]
        for kind in ("", "map_")
    )
    normalising = Composition(fixture.config["D"], normalise=True)
    normalising.load_state_dict(net.compose.state_dict())
    residual = functional.conv3d(torch.cat(maps, dim=1), kernel(fixture, variant), padding=1)
    return {
        f"{variant}_compos": net.compose(*vectors),
        f"{variant}_compos_map": maps[0] + residual,
        f"{variant}_effective_linear_weight": net.compose.linear.weight,
        f"{variant}_compos_normalised": normalising(*vectors),
    }
