"""MUST's formulas: split, losses, heads, noising and DDIM, each from the paper's equations."""

import torch
from torch import Tensor
from torch.nn.functional import linear

from survbench.learn.diffusion import ddim_path, noised, signal_levels
from survbench.learn.losses import nll_surv
from survbench.learn.subspace import (
    Decomposition,
    cosine,
    inside,
    orthonormal,
    outside,
    projector,
)
from survbench.methods.must import MUSTConfig
from tests.parity.fixture import Fixture, Ours, survival_outputs


def outputs(fixture: Fixture) -> Ours:
    """All recorded quantities, one equation after the other."""
    basis = orthonormal(fixture.tensor("B_raw"))
    specific = torch.stack([outside(fixture.tensor(f"u_{m}"), basis) for m in "PG"], dim=1)
    c_pg, c_gp = (inside(fixture.tensor(f"c_{pair}"), basis) for pair in ("PG", "GP"))
    ours = {
        "P": projector(basis),
        "P_literal_raw": projector(fixture.tensor("B_raw")),
        "c_hat_PG": c_pg,
        "c_hat_GP": c_gp,
        "u_hat_P": specific[:, 0],
        "u_hat_G": specific[:, 1],
    }
    whole = torch.stack([fixture.tensor("g_P"), fixture.tensor("g_G")], dim=1)
    nothing = torch.zeros_like(c_pg)
    shared = torch.stack([nothing, c_pg, c_gp, nothing], dim=1).unflatten(1, (2, 2))
    surrogate = whole - specific  # c~ from P and from G
    ours |= {"c_tilde_from_P": surrogate[:, 0], "c_tilde_from_G": surrogate[:, 1]}
    ours |= _losses(fixture, Decomposition(whole, specific, shared))
    return ours | _diffusion(fixture, basis, specific, surrogate[:, 0], c_gp)


def _losses(fixture: Fixture, split: Decomposition) -> dict[str, Tensor]:
    """Eq. 6, 11-16: the three terms, the complete head and the warm-up head."""
    config, (u_p, u_g) = MUSTConfig(), split.specific.unbind(dim=1)
    c_pg, c_gp = split.shared[:, 0, 1], split.shared[:, 1, 0]
    residual, shared, overlap = split.residual(), split.disagreement(), split.overlap()
    vector = torch.cat([u_p, (c_pg + c_gp) / 2, u_g], dim=1)
    logits = linear(vector, fixture.tensor("head_W"), fixture.tensor("head_b"))
    survival = {name: _survival(fixture, logits, name) for name in ("standard", "literal")}
    complete = survival_outputs(logits, "_complete")
    ours = {
        "decomp_P": residual[:, 0],
        "decomp_G": residual[:, 1],
        "loss_decomp": residual.sum(dim=1).mean(),
        "shared": shared,
        "loss_shared": shared.mean(),
        "abscos_uP_uG": cosine(u_p, u_g).abs(),
        "abscos_uP_cPG": cosine(u_p, c_pg).abs(),
        "abscos_uG_cGP": cosine(u_g, c_gp).abs(),
        "loss_orth": overlap.mean(),
        "head_in_complete": vector,
        "nll_standard": survival["standard"],
        "nll_eq6_literal": survival["literal"],
        "loss_surv_standard": survival["standard"].mean(),
        "loss_surv_literal": survival["literal"].mean(),
        "loss_main": survival["standard"].mean()
        + config.weight_decomposition * residual.sum(dim=1).mean()
        + config.weight_sharing * shared.mean()
        + config.weight_overlap * overlap.mean(),
    }
    return ours | complete | _warm_up(fixture, split.whole)


def _warm_up(fixture: Fixture, whole: Tensor) -> dict[str, Tensor]:
    """Eq. 12: each whole latent beside its noise through one head."""
    noise = torch.stack([fixture.tensor(f"warm_noise_{m}") for m in "PG"], dim=1)
    vector = torch.cat([whole, noise], dim=2)  # (B, 2, 2 D)
    logits = linear(vector, fixture.tensor("warm_W"), fixture.tensor("warm_b"))
    ours = {"warm_logits_P": logits[:, 0], "warm_logits_G": logits[:, 1]}
    for name in ("standard", "literal"):
        both = [_survival(fixture, logits[:, m], name).mean() for m in (0, 1)]
        ours[f"loss_warm_{name}"] = both[0] + both[1]
    return ours


def _survival(fixture: Fixture, logits: Tensor, name: str) -> Tensor:
    label, event = fixture.tensor("label"), fixture.tensor("event")
    return nll_surv(logits, label, event, literal=name == "literal")


def _diffusion(
    fixture: Fixture, basis: Tensor, specific: Tensor, surrogate: Tensor, c_gp: Tensor
) -> dict[str, Tensor]:
    """Eq. 17-22 for a missing G, with the fixture's noise model in place of a denoiser."""
    level = signal_levels(fixture.tensor("betas"))
    cls = fixture.tensor("cls_uG").expand_as(surrogate)
    weight, spread = fixture.tensor("eps_C"), fixture.tensor("eps_s2")

    def noise_of(state: Tensor, time: int | Tensor, shared: Tensor) -> Tensor:
        at = level[time, None]
        mean = at.sqrt() * (torch.cat([shared, cls], dim=1) @ weight.T)
        return (1 - at).sqrt() * (state - mean) / (at * spread + 1 - at)

    start = fixture.tensor("ddim_z_T")  # (S, B, D)
    times = fixture.tensor("ddim_timesteps").tolist()
    path = list(ddim_path(lambda z, t: noise_of(z, t, surrogate), start, level, times))
    then = level[times[1]]
    noise = noise_of(start[0], times[0], surrogate)
    mean = path[-1].mean(dim=0)
    projected = outside(mean, basis)
    time, true_noise = fixture.tensor("q_t"), fixture.tensor("q_noise")
    state = noised(specific[:, 1], true_noise, level[time])
    found = noise_of(state, time, c_gp)
    error = (true_noise - found).square()
    ours = {
        "alpha_bar": level[1:],
        "ddim_z0_first": (path[0][0] - (1 - then).sqrt() * noise) / then.sqrt(),
        "ddim_trajectory_sample0": torch.stack([start[0], *(state[0] for state in path)]),
        "ddim_final": path[-1],
        "u_tilde_G_mean": mean,
        "u_tilde_G_mean_projected": projected,
        "q_z_t": state,
        "eps_pred": found,
        "loss_ldm_mean": error.mean(),
        "loss_ldm_sqnorm": error.sum(dim=1).mean(),
    }
    for suffix, generated in (("", mean), ("_projected", projected)):
        vector = torch.cat([specific[:, 0], surrogate, generated], dim=1)
        logits = linear(vector, fixture.tensor("head_W"), fixture.tensor("head_b"))
        named = survival_outputs(logits, f"_missing_G{suffix}")
        ours |= {f"head_in_missing_G{suffix}": vector} | named
    return ours
