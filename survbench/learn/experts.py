"""Experts behind a gate that sends each patient to one of them, stacked, and an encoder of them.

Letters: B patients, L tokens of each (class tokens first), H token width, E experts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.errors import InputError
from survbench.learn.attention import with_token
from survbench.learn.batch import BagBatch
from survbench.learn.nystrom import NystromOptions
from survbench.learn.transmil import NystromLayer, in_order, square_groups, square_side

__all__ = [
    "ConvExpert",
    "Encoded",
    "ExpertEncoder",
    "ExpertLayer",
    "ExpertStack",
    "GridConvolution",
    "MixKind",
    "NormKind",
    "ResidualMLP",
]

NormKind = Literal["token", "batch"]
MixKind = Literal["progressive", "mixture", "mlp"]
NORMS = ("token", "batch")
CLASS_STD = 1e-6  # as AdaMHF and CMTA
SMALL_GRID = 16  # tokens a side
WIDER = 4  # hidden layer of the dense residual, in token widths


class ConvExpert(nn.Module):
    """Two 3 x 3 convolutions over the square grid, normalised; a class token is a 1 x 1 grid.

    Parameters
    ----------
    width
        H, width of a token.
    norm
        'token' centres and scales each token over its channels; 'batch' is batch normalisation,
        under which in training a patient's tokens depend on company.

    Raises
    ------
    InputError
        If `norm` is neither.
    """

    def __init__(self, width: int, norm: NormKind = "token") -> None:
        super().__init__()
        if norm not in NORMS:
            msg = f"expert_norm is {norm!r}; it must be 'token' or 'batch'"
            raise InputError(msg)
        kind = nn.LayerNorm if norm == "token" else BatchNorm
        self.first, self.first_norm = GridConvolution(width), kind(width)
        self.second, self.second_norm = GridConvolution(width), kind(width)

    def forward(self, token: Tensor, leading: int = 1) -> Tensor:
        """Tokens (B, leading + s*s, H) of tokens of the same shape."""
        seen = self.first_norm(self.first(token, leading)).relu()
        made: Tensor = self.second_norm(self.second(seen, leading))
        return made


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of tokens (B, L, H), channel by channel."""

    def forward(self, token: Tensor) -> Tensor:
        """Tokens of the same shape."""
        return super().forward(token.flatten(0, 1)).view(token.shape)


class GridConvolution(nn.Module):
    """3 x 3 convolution over the square grid; class tokens meet the middle of the kernel alone.

    Few tokens go through one matrix product with their gathered neighbourhoods: one patient at a
    time that takes less than half as long, but of a large grid it would hold nine copies.

    Its weights (H, 3, 3, H), the input channel last, lie as that product reads them. A permuted
    view of torch's would do too, but torch's fused optimisers copy gradients that lie otherwise.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        drawn = nn.Conv2d(width, width, 3, padding=1)
        self.weight = nn.Parameter(drawn.weight.detach().permute(0, 2, 3, 1).contiguous())
        self.bias = drawn.bias

    def forward(self, token: Tensor, leading: int) -> Tensor:
        """Tokens (B, leading + s*s, H) of tokens of the same shape."""
        side = square_side(token.shape[1] - leading)
        if side <= SMALL_GRID:
            padded = functional.pad(token, (0, 0, 0, 1))  # a token of zeros lies beyond the edge
            around = padded.index_select(1, neighbours(side, leading).to(token.device).flatten())
            around = around.view(*token.shape[:2], -1)
            return functional.linear(around, self.weight.flatten(1), self.bias)
        grid = token[:, leading:].unflatten(1, (side, side)).permute(0, 3, 1, 2)  # (B, H, s, s)
        kernel = self.weight.permute(0, 3, 1, 2)
        placed = functional.conv2d(grid, kernel, self.bias, padding=1).permute(0, 2, 3, 1)
        first = functional.linear(token[:, :leading], self.weight[:, 1, 1], self.bias)
        return torch.cat([first, placed.flatten(1, 2)], dim=1)


@cache
@torch.inference_mode(mode=False)  # whoever asks first, training reads it later
def neighbours(side: int, leading: int) -> Tensor:
    """Positions (leading + s*s, 9) of what a 3 x 3 kernel reads at each token.

    One past the last stands for what lies beyond the edge; a class token sees itself alone.
    """
    beyond = leading + side * side
    grid = functional.pad(
        torch.arange(leading, beyond).reshape(side, side), (1, 1, 1, 1), value=beyond
    )
    alone = torch.full((leading, 9), beyond)
    alone[:, 4] = torch.arange(leading)  # the middle of the kernel
    return torch.cat([alone, grid.unfold(0, 3, 1).unfold(1, 3, 1).reshape(-1, 9)])


class ResidualMLP(nn.Sequential):
    """Dense H to 4 H to H, beside the experts; frozen unless trained.

    The published weights are those of a vision transformer 1024 wide. Others stand in, drawn from
    a fixed seed, so that the layer of every stack starts from the same ones.
    """

    def __init__(self, width: int, seed: int, *, trained: bool = False) -> None:
        super().__init__(
            nn.Linear(width, WIDER * width), nn.ReLU(), nn.Linear(WIDER * width, width)
        )
        self.seed = seed
        self.draw()
        self.requires_grad_(trained)

    def draw(self) -> None:
        """Draw the weights again, the same ones: Xavier-normal from the seed, biases zero."""
        generator = torch.Generator().manual_seed(self.seed)
        for parameter in self.parameters():
            if parameter.ndim == 1:
                nn.init.zeros_(parameter)
            else:
                nn.init.xavier_normal_(parameter, generator=generator)


class ExpertLayer(nn.Module):
    """relu(residual(x) + p_e expert_e(x)), e the expert the gate finds likeliest for a patient.

    Parameters
    ----------
    width
        H, width of a token.
    experts
        What a patient's tokens (B, L, H) may go through; only the chosen one is computed.
    residual
        Added to the expert, or None.
    trained_gate
        Multiply the expert by its probability p_e, which is how the gate learns. Without, as in
        AdaMHF's public code, no gradient ever reaches it.
    """

    def __init__(
        self,
        width: int,
        experts: Sequence[nn.Module],
        residual: nn.Module | None = None,
        *,
        trained_gate: bool = True,
    ) -> None:
        super().__init__()
        self.experts = nn.ModuleList(experts)
        self.residual = residual
        self.gate = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, len(experts))
        )
        self.trained_gate = trained_gate

    def probability(self, token: Tensor) -> Tensor:
        """Probability (B, E) of each expert, of tokens (B, L, H)."""
        scores: Tensor = self.gate(token.mean(dim=1))
        return scores.softmax(dim=1)

    def forward(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, L, H) of tokens (B, L, H), and E p_e (B,), the load a gate may be taxed on."""
        best, chosen = self.probability(token).max(dim=1)
        made = self.dispatched(token, chosen)
        if self.trained_gate:
            made = made * best[:, None, None]
        if self.residual is not None:
            made = self.residual(token) + made
        return made.relu(), len(self.experts) * best

    def dispatched(self, token: Tensor, chosen: Tensor) -> Tensor:
        """Tokens (B, L, H) of tokens (B, L, H), each patient through the expert `chosen` (B,)."""
        groups = [
            (expert, (chosen == number).nonzero()[:, 0])
            for number, expert in enumerate(self.experts)
        ]
        groups = [(expert, which) for expert, which in groups if len(which)]
        if len(groups) == 1:
            whole: Tensor = groups[0][0](token)
            return whole
        parts = [expert(token[which]) for expert, which in groups]
        return in_order(parts, [(which, which) for _, which in groups])


class DenseLayer(nn.Module):
    """relu(x + MLP(x)): the layer without experts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = ResidualMLP(width, 0, trained=True)

    def forward(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, L, H) of tokens (B, L, H), and a load (B,) of zero."""
        return (token + self.dense(token)).relu(), token.new_zeros(len(token))


class ExpertStack(nn.Module):
    """Expert layers one behind the other.

    Parameters
    ----------
    width
        H, width of a token.
    expert
        Makes an untrained expert.
    layers
        Number of layers; layer l = 0, 1, ... of a progressive stack has 2^l experts.
    kind
        'progressive' has a dense residual beside the experts of each layer; 'mixture' is one plain
        layer with the experts of the last, and no residual; 'mlp' one dense layer, no experts.
    trained_gate, trained_residual
        Whether they learn.
    """

    def __init__(
        self,
        width: int,
        expert: Callable[[], nn.Module],
        *,
        layers: int = 3,
        kind: MixKind = "progressive",
        trained_gate: bool = True,
        trained_residual: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for layer in range(layers) if kind == "progressive" else [layers - 1]:
            if kind == "mlp":
                self.layers.append(DenseLayer(width))
                continue
            experts = [expert() for _ in range(2**layer)]
            plain = kind == "mixture"
            residual = None if plain else ResidualMLP(width, layer, trained=trained_residual)
            self.layers.append(ExpertLayer(width, experts, residual, trained_gate=trained_gate))

    def forward(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, L, H) of tokens (B, L, H), and the load (B,) summed over the layers."""
        load = token.new_zeros(len(token))
        for layer in self.layers:
            token, more = layer(token)
            load = load + more
        return token, load


@dataclass(frozen=True, eq=False)
class Encoded:
    """What an encoder makes of n patients.

    Parameters
    ----------
    leading : Tensor (n, H)
        Class tokens.
    tokens : BagBatch
        The other tokens of each patient, as many as fill a square.
    load : Tensor (n,)
        Load of the gates.
    """

    leading: Tensor
    tokens: BagBatch
    load: Tensor


class ExpertEncoder(nn.Module):
    """Class token and tokens through Nystrom layer, position, experts, and the same once more.

    Positions and experts are one module each, used twice; the Nystrom layers are two.

    Parameters
    ----------
    width
        H, width of a token.
    place, experts
        Of tokens (B, 1 + s*s, H), class token first; None leaves the step out.
    attention
        Keywords of `NystromAttention`.
    """

    def __init__(
        self,
        width: int,
        place: nn.Module | None,
        experts: ExpertStack | None,
        **attention: Unpack[NystromOptions],
    ) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.randn(1, 1, width) * CLASS_STD)
        self.first = NystromLayer(width, **attention)
        self.second = NystromLayer(width, **attention)
        self.place, self.experts = place, experts

    def forward(self, bags: BagBatch) -> Encoded:
        """Class tokens and tokens of ragged tokens (T, H); those that fill no square repeat."""
        groups = square_groups(bags.length)
        parts = [self.encode(bags.features[index]) for _, index in groups]
        size = in_order([torch.full_like(which, i.shape[1]) for which, i in groups], groups)
        tokens = torch.cat([token[:, 1:].flatten(0, 1) for token, _ in parts])
        if len(groups) > 1:
            owner = torch.cat([which.repeat_interleave(i.shape[1]) for which, i in groups])
            tokens = tokens[owner.argsort(stable=True)]
        return Encoded(
            in_order([token[:, 0] for token, _ in parts], groups),
            BagBatch(tokens, size, bags.rows),
            in_order([load for _, load in parts], groups),
        )

    def encode(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, 1 + s*s, H), class token first, and load (B,), of tokens (B, s*s, H)."""
        token = with_token(self.class_token, token)
        load = token.new_zeros(len(token))
        for layer in (self.first, self.second):
            token = layer(token)
            if self.place is not None:
                token = self.place(token)
            if self.experts is not None:
                token, more = self.experts(token)
                load = load + more
        return token, load
