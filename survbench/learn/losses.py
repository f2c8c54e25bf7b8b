"""Discrete-time survival: hazards, risk, and the losses the survival networks are trained with.

Letters: B patients, K intervals. An interval index counts from 0.
"""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ce_surv", "cox_sorted", "cox_surv", "nll_surv", "risk_of", "survival_of"]


def survival_of(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Hazards sigmoid(logits) and survival cumprod(1 - hazard), both (B, K), of logits (B, K)."""
    hazard = logits.sigmoid()
    return hazard, (1 - hazard).cumprod(dim=-1)


def risk_of(logits: Tensor) -> Tensor:
    """Risk (B,) = -sum_k survival_k of logits (B, K); higher means an earlier death."""
    return -survival_of(logits)[1].sum(dim=-1)


def nll_surv(
    logits: Tensor,
    interval: Tensor,
    event: Tensor,
    alpha: float = 0.0,
    eps: float = 1e-7,
    *,
    literal: bool = False,
) -> Tensor:
    """Negative log-likelihood (B,) of discrete-time survival, one value per patient.

    A death in interval y costs -log S(y-1) - log h(y); a censored patient -log S(y).

    Parameters
    ----------
    logits
        (B, K), hazards before the sigmoid.
    interval
        (B,), interval of the death or of the censoring.
    event
        (B,), 1 or True where the death was seen.
    alpha
        Censored patients count 1 - alpha.
    eps
        Floor under every factor before its logarithm.
    literal
        Leave log S(y-1) out, as MUST prints its equation 6; every public code has it.
    """
    at, before, after = _factors(logits, interval, eps)
    died = -at if literal else -before - at
    seen = event.to(logits.dtype)
    return seen * died - (1 - alpha) * (1 - seen) * after


def ce_surv(
    logits: Tensor, interval: Tensor, event: Tensor, alpha: float = 0.0, eps: float = 1e-7
) -> Tensor:
    """Cross entropy (B,) of surviving one's own interval, mixed with the likelihood of the deaths.

    (1 - alpha) [-log S(y) if censored, else -log(1 - S(y))] - alpha event [log S(y-1) + log h(y)].
    In the reference 1 - S(y) = 0 gives infinity; here it is held at `eps`, like every other factor.
    """
    survival = survival_of(logits)[1]
    seen = event.to(logits.dtype)
    at, _, after = _factors(logits, interval, eps)
    own = _pick(survival, interval)
    gone = (1 - own).clamp(min=eps).log()
    # the reference adds eps under this one logarithm, and only this one
    before = (_pick(_shifted(survival), interval) + eps).log()
    return -(1 - alpha) * ((1 - seen) * after + seen * gone) - alpha * seen * (before + at)


def cox_surv(risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    """Cox partial likelihood of log-risks (B,), negative, mean over all B patients."""
    at_risk = time[None, :] >= time[:, None]  # row i: who is still alive when i leaves
    total = risk[None, :].masked_fill(~at_risk, -torch.inf).logsumexp(dim=1)
    return -((risk - total) * event.to(risk.dtype)).mean()


def cox_sorted(risk: Tensor, event: Tensor) -> Tensor:
    """Cox partial likelihood of log-risks (B,) sorted by falling time, negative.

    As GPDBN and HFBSurv: tied times are taken in the order given, and the sum over deaths is
    divided by their number plus one.
    """
    seen = event.to(risk.dtype)
    total = risk.logcumsumexp(dim=0)
    return -((risk - total) * seen).sum() / (seen.sum() + 1)


def _factors(logits: Tensor, interval: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Logarithms of h(y), S(y-1) and S(y), each (B,), every factor held at eps from below."""
    hazard, survival = survival_of(logits)
    own = [_pick(hazard, interval), _pick(_shifted(survival), interval), _pick(survival, interval)]
    at, before, after = (factor.clamp(min=eps).log() for factor in own)
    return at, before, after


def _shifted(survival: Tensor) -> Tensor:
    """Survival (B, K) at the start of each interval: 1, S(0), ..., S(K-2)."""
    return functional.pad(survival[:, :-1], (1, 0), value=1.0)


def _pick(value: Tensor, interval: Tensor) -> Tensor:
    """Entry (B,) of value (B, K) in each patient's interval."""
    return value.gather(1, interval[:, None])[:, 0]
