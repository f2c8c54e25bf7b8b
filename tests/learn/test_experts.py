import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from survbench.errors import InputError
from survbench.learn.batch import BagBatch
from survbench.learn.epeg import EPEG
from survbench.learn.experts import (
    SMALL_GRID,
    BatchNorm,
    ConvExpert,
    ExpertEncoder,
    ExpertLayer,
    ExpertStack,
    GridConvolution,
    MixKind,
    ResidualMLP,
    neighbours,
)
from survbench.learn.trainer import OPTIMISERS

WIDTH = 6


def tokens(count: int = 5, length: int = 1 + 9, seed: int = 0) -> Tensor:
    return torch.randn(count, length, WIDTH, generator=torch.Generator().manual_seed(seed))


def layer(experts: int = 3, *, trained_gate: bool = True, residual: bool = True) -> ExpertLayer:
    torch.manual_seed(1)
    made = [nn.Linear(WIDTH, WIDTH) for _ in range(experts)]
    frozen = ResidualMLP(WIDTH, 0) if residual else None
    return ExpertLayer(WIDTH, made, frozen, trained_gate=trained_gate)


@pytest.mark.parametrize("trained_gate", [True, False])
def test_each_patient_goes_through_the_likeliest_expert_alone(trained_gate: bool) -> None:
    mixed, token = layer(trained_gate=trained_gate), 3 * tokens(20)
    found, load = mixed(token)
    probability = mixed.gate(token.mean(dim=1)).softmax(dim=1)
    assert len(probability.argmax(dim=1).unique()) > 1
    assert mixed.residual is not None
    for patient in range(20):
        best = int(probability[patient].argmax())
        made = mixed.experts[best](token[patient])
        if trained_gate:
            made = probability[patient, best] * made
        expected = (mixed.residual(token[patient]) + made).relu()
        torch.testing.assert_close(found[patient], expected)
        torch.testing.assert_close(load[patient], 3 * probability[patient, best])


@pytest.mark.parametrize("trained_gate", [True, False])
def test_the_gate_learns_only_where_it_multiplies(trained_gate: bool) -> None:
    mixed = layer(trained_gate=trained_gate)
    mixed(tokens())[0].sum().backward()
    reached = [
        weight.grad is not None and bool(weight.grad.any())
        for weight in mixed.gate[2:].parameters()
    ]
    assert reached == [trained_gate] * 2


def test_experts_nobody_chose_get_no_gradient() -> None:
    mixed, token = layer(), 3 * tokens(2)
    chosen = set(mixed.probability(token).argmax(dim=1).tolist())
    mixed(token)[0].sum().backward()
    reached = {
        e for e in range(3) if any(p.grad is not None for p in mixed.experts[e].parameters())
    }
    assert reached == chosen
    assert len(chosen) < 3


def test_a_single_expert_is_certain() -> None:
    torch.testing.assert_close(layer(1).probability(tokens()), torch.ones(5, 1))
    torch.testing.assert_close(layer(1)(tokens())[1], torch.ones(5))


def test_the_dense_residual_is_frozen_and_the_same_for_every_stack() -> None:
    torch.manual_seed(1)
    first = ResidualMLP(WIDTH, 2)
    torch.manual_seed(2)
    again, other = ResidualMLP(WIDTH, 2), ResidualMLP(WIDTH, 1)
    assert torch.equal(first.get_parameter("0.weight"), again.get_parameter("0.weight"))
    assert not torch.equal(first.get_parameter("0.weight"), other.get_parameter("0.weight"))
    assert not any(p.requires_grad for p in first.parameters())
    assert all(p.requires_grad for p in ResidualMLP(WIDTH, 2, trained=True).parameters())


@pytest.mark.parametrize("leading", [0, 1, 2])
@pytest.mark.parametrize("side", [1, 3, SMALL_GRID, SMALL_GRID + 1])
def test_experts_convolve_a_grid_and_each_class_token_as_torch_does(
    side: int, leading: int
) -> None:
    ours, token = GridConvolution(WIDTH), tokens(length=leading + side * side)
    found = ours(token, leading)

    def torchs(grid: Tensor) -> Tensor:
        return functional.conv2d(grid, ours.weight.permute(0, 3, 1, 2), ours.bias, padding=1)

    alone = [torchs(token[:, i, :, None, None])[:, :, 0, 0] for i in range(leading)]
    grid = torchs(token[:, leading:].mT.reshape(5, WIDTH, side, side)).flatten(2).mT
    expected = torch.cat([*(one[:, None] for one in alone), grid], dim=1)
    torch.testing.assert_close(found, expected)
    draw = torch.randn_like(found)
    gradients = [
        torch.autograd.grad((made * draw).sum(), list(ours.parameters()))
        for made in (found, expected)
    ]
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_each_token_of_a_convolution_has_mean_0_and_variance_1() -> None:
    expert = ConvExpert(WIDTH)
    expert.second.weight.mul_(100)  # against what is added to the variance
    found = expert(7 * tokens() + 3)
    torch.testing.assert_close(found.mean(dim=2), torch.zeros(found.shape[:2]), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        found.var(dim=2, correction=0), torch.ones(found.shape[:2]), atol=1e-3, rtol=0
    )


@torch.no_grad()
def test_batch_normalisation_is_torchs_channel_by_channel() -> None:
    token = tokens()
    torch.testing.assert_close(BatchNorm(WIDTH)(token), nn.BatchNorm1d(WIDTH)(token.mT).mT)


@torch.no_grad()
@pytest.mark.parametrize("length", [1 + 1, 1 + 9])
def test_tokens_normalised_alone_ignore_company_in_training(length: int) -> None:
    patient, batch = ConvExpert(WIDTH).train(), ConvExpert(WIDTH, "batch").train()
    token = tokens(length=length)
    torch.testing.assert_close(patient(token)[:1], patient(token[:1]), atol=1e-5, rtol=1e-5)
    assert (batch(token)[:1] - batch(token[:1])).abs().max() > 1e-3


def test_an_unknown_norm_is_an_error() -> None:
    with pytest.raises(InputError, match="expert_norm is 'layer'"):
        ConvExpert(WIDTH, "layer")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "layers", "experts"),
    [("progressive", 1, [1]), ("progressive", 3, [1, 2, 4]), ("mixture", 3, [4]), ("mlp", 3, [0])],
)
def test_stacks_have_as_many_experts_as_they_say(
    kind: MixKind, layers: int, experts: list[int]
) -> None:
    stack = ExpertStack(WIDTH, lambda: nn.Linear(WIDTH, WIDTH), layers=layers, kind=kind)
    found = [len(each.experts) if isinstance(each, ExpertLayer) else 0 for each in stack.layers]
    assert found == experts
    token, load = stack(tokens())
    assert token.shape == (5, 10, WIDTH)
    assert bool((load >= sum(count > 0 for count in experts)).all())
    frozen = [name for name, weight in stack.named_parameters() if not weight.requires_grad]
    assert len(frozen) == (4 * layers if kind == "progressive" else 0)


@torch.no_grad()
@pytest.mark.parametrize("grids", [True, False])
def test_ragged_patients_together_equal_one_by_one(grids: bool) -> None:
    torch.manual_seed(0)

    def expert() -> nn.Module:
        return ConvExpert(WIDTH) if grids else nn.Linear(WIDTH, WIDTH)

    place = EPEG(WIDTH) if grids else None
    encoder = ExpertEncoder(WIDTH, place, ExpertStack(WIDTH, expert), heads=2, attention="auto")
    encoder.class_token.normal_()
    encoder.eval()
    lengths = [3, 20, 1, 4, 16]
    token = 2 * tokens(1, sum(lengths))[0]
    together = encoder(BagBatch(token, torch.tensor(lengths), torch.arange(5)))
    assert together.tokens.length.tolist() == [4, 25, 1, 4, 16]
    alone = [
        encoder(BagBatch(own, torch.tensor([len(own)]), torch.tensor([0])))
        for own in token.split(lengths)
    ]
    torch.testing.assert_close(together.leading, torch.cat([one.leading for one in alone]))
    torch.testing.assert_close(together.load, torch.cat([one.load for one in alone]))
    parts = torch.cat([one.tokens.features for one in alone])
    torch.testing.assert_close(together.tokens.features, parts, atol=1e-5, rtol=1e-5)


def test_what_prediction_read_first_serves_training() -> None:
    neighbours.cache_clear()
    expert = ConvExpert(4)
    with torch.inference_mode():
        expert(torch.randn(1, 10, 4))
    expert(torch.randn(1, 10, 4)).square().sum().backward()
    assert expert.first.weight.grad is not None


@pytest.mark.parametrize("side", [3, SMALL_GRID + 1])
def test_a_fused_optimiser_moves_convolutions_as_the_plain_one_does(side: int) -> None:
    # torch's fused Adam mixes weights up where a gradient lies otherwise in memory than its weight
    moved = []
    for optimiser in (OPTIMISERS["adam"], torch.optim.Adam):
        torch.manual_seed(0)
        expert, token = ConvExpert(8), torch.randn(2, 1 + side * side, 8)
        target = torch.randn_like(token)
        step = optimiser(expert.parameters(), lr=0.01)
        for _ in range(3):
            step.zero_grad(set_to_none=True)
            (expert(token) - target).square().sum().backward()
            step.step()
        moved.append(expert.first.weight.detach())
    torch.testing.assert_close(*moved, atol=1e-6, rtol=1e-5)
