"""Losses and risk of discrete-time and Cox survival."""

import re

import torch
from torch import Tensor

from survbench.learn.losses import ce_surv, cox_sorted, cox_surv, nll_surv, risk_of
from tests.parity.fixture import Fixture, Ours

NAME = re.compile(
    r"(?P<loss>nll|ce|grad_logits)(?P<part>_mean|_per_sample|_sum)?(?:_from_logits)?"
    r"(?:_rows(?P<first>\d+)plus)?_alpha(?P<alpha>[\d.eE+-]+)"
)


def outputs(fixture: Fixture) -> Ours:
    """Every loss the file names, by its name."""
    theta, event = fixture.tensor("theta"), 1 - fixture.tensor("c")
    order = fixture.tensor("order")
    ours = {
        "risk": risk_of(fixture.tensor("logits")),
        "cox_surv": cox_surv(theta, fixture.tensor("time"), event),
        "cox_sorted": cox_sorted(theta[order], event[order])[None],
    }
    for name in fixture.outputs:
        if match := NAME.fullmatch(name):
            ours[name] = _loss(fixture, match)
    return ours


def _loss(fixture: Fixture, match: re.Match[str]) -> Tensor:
    rows = slice(int(match["first"] or 0), None)
    logits = fixture.tensor("logits")[rows].requires_grad_()
    loss = (ce_surv if match["loss"] == "ce" else nll_surv)(
        logits,
        fixture.tensor("Y")[rows],
        1 - fixture.tensor("c")[rows],
        alpha=float(match["alpha"]),
        eps=fixture.config.get("eps", 1e-7),
    )
    if match["loss"] == "grad_logits":
        return torch.autograd.grad(loss.mean(), logits)[0]
    if match["part"] == "_per_sample":
        return loss
    return loss.sum() if match["part"] == "_sum" else loss.mean()
