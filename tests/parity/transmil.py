"""TransMIL: every stage of the network, for each bag x_NAME."""

import torch

from survbench.learn.nystrom import NystromAttention
from survbench.learn.transmil import square
from survbench.methods.transmil import TransMILConfig, TransMILNet
from tests.parity.fixture import Fixture, Ours, batch, survival_outputs, widths

LAYERS = (("layer1", r"encoder.first"), ("layer2", r"encoder.second"))
RENAMES = (
    *(
        (rf"{theirs}\.{part}", f"{ours}.{to}")
        for theirs, ours in LAYERS
        for part, to in (
            (r"attn\.to_qkv", "attention.qkv"),
            (r"attn\.to_out\.0", "attention.out"),
            (r"attn\.res_conv", "attention.residual"),
            ("norm", "norm"),
        )
    ),
    ("cls_token", "encoder.class_token"),
    (r"pos_layer\.proj\.", "encoder.ppeg.convolutions.0."),
    (r"pos_layer\.proj(\d+)\.", r"encoder.ppeg.convolutions.\1."),
    (r"_fc1\.0", "embed.0"),
    ("_fc2", "head"),
    ("norm", "encoder.norm"),
)


def network(fixture: Fixture) -> TransMILNet:
    """Our network with the reference's weights."""
    config = fixture.config
    net = TransMILNet(
        TransMILConfig(
            width=config["dim"],
            heads=config["heads"],
            head_width=config["dim_head"],
            landmarks=config["num_landmarks"],
            iterations=config["pinv_iterations"],
            kernel=config["residual_conv_kernel"],
            ppeg_kernels=tuple(config["ppeg_kernels"]),
            dropout=config["dropout_after_attention_out"],
            attention="nystrom",
        ),
        widths(patch=config["in_dim"], intervals=config["n_classes"]),
    )
    for module in net.modules():
        if isinstance(module, NystromAttention):
            module.scale_over = "batch"  # the reference's, which ours avoids
    fixture.load(net, RENAMES)
    return net


@torch.no_grad()
def outputs(fixture: Fixture) -> Ours:
    """Outputs of all bags; what follows x in a bag's name follows the names of its outputs."""
    ours: dict[str, torch.Tensor] = {}
    net = network(fixture)
    for suffix in fixture.suffixes("x"):
        bag = fixture.tensor(f"x{suffix}")  # (B, N, D)
        encoder = net.encoder
        token = square(net.embed(bag))
        token = torch.cat([encoder.class_token.expand(len(bag), -1, -1), token], dim=1)
        first = encoder.first(token)
        assert encoder.ppeg is not None
        placed = encoder.ppeg(first)
        second = encoder.second(placed)
        ours |= survival_outputs(net(batch(list(bag))), suffix)
        ours |= {
            f"after_layer1{suffix}": first,
            f"after_ppeg{suffix}": placed,
            f"after_layer2{suffix}": second,
            f"cls_feature{suffix}": encoder.norm(second)[:, 0],
        }
    return ours
