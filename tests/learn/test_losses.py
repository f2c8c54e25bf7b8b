from math import exp, log

import pytest
import torch

from survbench.learn.losses import ce_surv, cox_sorted, cox_surv, nll_surv, risk_of, survival_of

EVENS = torch.zeros(1, 4)  # hazards 1/2, survival 1/2, 1/4, 1/8, 1/16


def test_even_hazards_halve_the_survivors_in_each_interval() -> None:
    hazard, survival = survival_of(EVENS)
    torch.testing.assert_close(hazard, torch.full((1, 4), 0.5))
    torch.testing.assert_close(survival, torch.tensor([[0.5, 0.25, 0.125, 0.0625]]))
    torch.testing.assert_close(risk_of(EVENS), torch.tensor([-0.9375]))


@pytest.mark.parametrize(("event", "halvings"), [(1.0, 3), (0.0, 3)])
def test_likelihood_by_hand(event: float, halvings: int) -> None:
    # death in interval 2: S(1) h(2) = 1/4 1/2; censored there: S(2) = 1/8
    loss = nll_surv(EVENS, torch.tensor([2]), torch.tensor([event]))
    torch.testing.assert_close(loss, torch.tensor([halvings * log(2)]))


def test_probabilities_of_all_fates_sum_to_one() -> None:
    logits = torch.randn(1, 5, generator=torch.Generator().manual_seed(0)).expand(5, 5)
    died = torch.exp(-nll_surv(logits, torch.arange(5), torch.ones(5))).sum()
    lived = torch.exp(-nll_surv(logits[:1], torch.tensor([4]), torch.zeros(1)))
    torch.testing.assert_close(died + lived[0], torch.tensor(1.0))


def test_alpha_weakens_censored_patients_alone() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    interval, event = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([1.0, 0, 1, 0, 0, 1])
    plain = nll_surv(logits, interval, event)
    weak = nll_surv(logits, interval, event, alpha=0.4)
    torch.testing.assert_close(weak, torch.where(event == 1, plain, 0.6 * plain))


def test_literal_form_leaves_the_survival_before_a_death_out() -> None:
    loss = nll_surv(
        EVENS.expand(2, 4), torch.tensor([2, 2]), torch.tensor([1.0, 0.0]), literal=True
    )
    torch.testing.assert_close(loss, torch.tensor([log(2), 3 * log(2)]))


def test_certain_hazards_give_a_finite_loss_and_gradient() -> None:
    logits = torch.tensor([[200.0, 0, 0, 0], [-200.0, 0, 0, 0], [200.0] * 4, [-200.0] * 4])
    for loss in (nll_surv, ce_surv):
        for event in (0.0, 1.0):
            at = logits.clone().requires_grad_()
            value = loss(at, torch.tensor([0, 0, 3, 3]), torch.full((4,), event))
            value.sum().backward()
            assert torch.isfinite(value).all()
            assert at.grad is not None
            assert torch.isfinite(at.grad).all()


def test_cross_entropy_asks_whether_the_own_interval_is_survived() -> None:
    loss = ce_surv(EVENS.expand(2, 4), torch.tensor([1, 1]), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(loss, torch.tensor([-log(0.75), -log(0.25)]))


def test_cox_loss_by_hand() -> None:
    # times 1 (dies), 2 (censored), 3 (dies): risk sets {all} and {last}
    risk, time = torch.tensor([0.0, log(2), log(3)]), torch.tensor([1.0, 2.0, 3.0])
    event = torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(cox_surv(risk, time, event), torch.tensor(log(6) / 3))
    torch.testing.assert_close(cox_sorted(risk.flip(0), event.flip(0)), torch.tensor(log(6) / 3))


def test_patients_with_equal_times_are_all_at_risk() -> None:
    risk, time = torch.tensor([0.0, 1.0]), torch.tensor([5.0, 5.0])
    loss = cox_surv(risk, time, torch.ones(2))
    torch.testing.assert_close(loss, torch.tensor((2 * log(1 + exp(1)) - 1) / 2))


def test_cox_loss_stands_large_log_risks() -> None:
    loss = cox_surv(torch.tensor([1e4, 0.0]), torch.tensor([2.0, 1.0]), torch.ones(2))
    torch.testing.assert_close(loss, torch.tensor(5e3))
