"""The training loop: gradients do not depend on chunks, recipes do what they say."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from survbench.cohort import Bags, Cohort
from survbench.errors import InputError, SurvbenchError
from survbench.learn import Batch, Recipe, Stage, train
from survbench.learn.losses import nll_surv
from survbench.learn.trainer import accumulate


class MeanNet(nn.Module):
    """Mean patch to hazard logits."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)
        self.idle = nn.Linear(3, 3)

    def forward(self, batch: Batch) -> Tensor:
        bags = batch.bags("P")
        out: Tensor = self.head(bags.mean(bags.features))
        return out


def loss(net: nn.Module, batch: Batch) -> Tensor:
    return nll_surv(net(batch), *batch.outcome)


def toy(count: int = 11) -> tuple[Cohort, np.ndarray]:
    rng = np.random.default_rng(0)
    length = rng.integers(1, 9, count)
    features = rng.normal(size=(int(length.sum()), 3)).astype(np.float32)
    index = pd.Index([f"case-{row}" for row in range(count)], name="case_id")
    cases = pd.DataFrame({"time": rng.exponential(9, count), "event": True}, index=index)
    cohort = Cohort("toy", cases, {"P": Bags(features, np.cumsum(length) - length, length)})
    return cohort, rng.integers(0, 4, count)


def net() -> MeanNet:
    torch.manual_seed(0)
    return MeanNet()


def test_the_gradient_of_a_step_does_not_depend_on_how_it_is_cut() -> None:
    cohort, interval = toy()
    rows = np.arange(len(cohort))
    together, singly = net(), net()
    value = accumulate(together, loss, cohort, rows, interval)
    assert value == pytest.approx(
        accumulate(singly, loss, cohort, rows, interval, patch_budget=1), abs=1e-6
    )
    for ours, theirs in zip(together.head.parameters(), singly.head.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-6)


def test_the_last_short_step_counts_its_own_patients() -> None:
    """11 patients in steps of 8: with plain SGD, two updates by each step's own mean gradient."""
    cohort, interval = toy()
    ours = net()
    stage = Stage("fit", loss, epochs=1, lr=0.1, optimiser="sgd", batch=8)
    done = train(ours, stage, cohort, interval, seed=3)
    assert done.updates == 2
    by_hand = net()
    velocity: dict[nn.Parameter, Tensor] = {}
    order = np.random.default_rng(3).permutation(11)
    for rows in (order[:8], order[8:]):
        by_hand.zero_grad()
        loss(by_hand, Batch.of(cohort, rows, interval=interval)).mean().backward()
        with torch.no_grad():
            for parameter in by_hand.head.parameters():
                assert parameter.grad is not None
                kept = velocity.get(parameter, torch.zeros_like(parameter))
                velocity[parameter] = 0.9 * kept + parameter.grad
                parameter.sub_(0.1 * velocity[parameter])
    torch.testing.assert_close(ours.head.weight, by_hand.head.weight)


def test_only_the_modules_of_a_stage_learn() -> None:
    cohort, interval = toy()
    ours, before = net(), net()
    stage = Stage(
        "fit",
        loss,
        epochs=2,
        lr=0.1,
        optimiser="adamw",
        weight_decay=0.1,
        modules=lambda n: [n.get_submodule("idle")],
    )
    train(ours, stage, cohort, interval, seed=0)
    assert torch.equal(ours.head.weight, before.head.weight)


def test_the_penalty_is_added_once_a_step() -> None:
    """Zero loss and penalty sum(bias): one SGD step moves every bias by the rate."""
    cohort, interval = toy()
    ours, before = net(), net()
    stage = Stage(
        "fit",
        lambda n, batch: 0 * n(batch).sum(dim=1),
        epochs=1,
        lr=0.5,
        optimiser="sgd",
        penalty=lambda n: n.get_parameter("head.bias").sum(),
    )
    train(ours, stage, cohort, interval, seed=0)
    torch.testing.assert_close(ours.head.bias, before.head.bias - 0.5)


def test_what_comes_before_a_step_sees_its_whole_gradient_and_may_change_it() -> None:
    """Loss sum(bias) clipped to a length of 0.5: one SGD step of rate 1 moves by 0.5 in all."""
    cohort, interval = toy()
    ours, before, lengths = net(), net(), []
    stage = Stage(
        "fit",
        lambda n, batch: n.get_parameter("head.bias").sum().expand(len(batch)),
        epochs=1,
        lr=1.0,
        optimiser="sgd",
        before_step=lambda n: lengths.append(nn.utils.clip_grad_norm_(n.parameters(), 0.5)),
    )
    train(ours, stage, cohort, interval, seed=0)
    assert float(lengths[0]) == pytest.approx(2.0)  # of four biases with gradient 1
    torch.testing.assert_close(ours.head.bias, before.head.bias - 0.25, atol=1e-6, rtol=0)


def test_cosine_warm_up_rises_over_one_epoch_and_falls_to_zero() -> None:
    cohort, interval = toy(8)
    rates: list[float] = []

    def spy(n: nn.Module, batch: Batch) -> Tensor:
        return loss(n, batch)

    stage = Stage("fit", spy, epochs=3, lr=1.0, optimiser="sgd", schedule="cosine_warmup", batch=4)
    original = torch.optim.SGD.step

    def step(self: torch.optim.SGD, *args: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", step)
        train(net(), stage, cohort, interval, seed=0)
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.5 + 0.5 * 0.5**0.5, 0.5, 0.5 - 0.5 * 0.5**0.5])


def test_a_loss_that_is_not_finite_stops_with_its_stage() -> None:
    cohort, interval = toy()
    stage = Stage("warm", lambda n, b: n(b).sum(dim=1) * torch.nan, epochs=1, lr=0.1)
    with pytest.raises(SurvbenchError, match="loss is nan in stage 'warm', epoch 1; lower lr"):
        train(net(), stage, cohort, interval, seed=0)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("optimiser", "adm", "adam or adamw or radam or sgd"),
        ("schedule", "linear", "constant or cosine_warmup"),
        ("sampler", "fair", "plain or balanced"),
        ("batch", 0, "at least 1"),
        ("intervals", 1, "at least 2"),
    ],
)
def test_a_recipe_refuses_what_it_does_not_know(field: str, value: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Recipe(**{field: value})  # type: ignore[arg-type]
