"""Simulated cohorts whose truth is known: linear-Gaussian latents seen through bags and genes.

A patient has independent standard normal latents: some shared by all modalities, one specific to
each. The log hazard is a weighted sum of them (and, where a variant says so, of one that nothing
shows). A bag holds signal patches, the latents along fixed orthonormal directions plus unit noise,
and patches of noise alone; a patch is signal where its coordinate along one further direction, the
marker, exceeds `MARKER_CUT`. Which patches are signal is certain, so their mean and number are all
a bag says about the latents. A gene is one latent, with a sign, plus noise, or noise alone. Given
any set of modalities the latents are thus Gaussian and independent, and the posterior mean of the
log hazard is exact: the row `oracle`. The row `attainable` is a ridge Cox model on the true
sufficient statistics, fitted on the training fold.

Censoring, age, sex, histology and site are drawn independently of everything. All parameters were
fixed by these two rows before any network saw the data; the data hash is pinned in a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import hadamard

from survbench.cohort.cohort import Cohort, CohortInfo
from survbench.cohort.content import hash_cohort
from survbench.cohort.modality import Bags, GeneGroups, Modality
from survbench.cohort.truth import oracle_column, statistic_column, subsets
from survbench.errors import InputError, UnknownNameError
from survbench.streams import seed_of

PATIENTS = 200
PATCHES = (20, 120)  # fewest and most in a bag, both included
KINDS = {"P": "bags", "G": "genes", "R": "bags"}
WIDTHS = {"P": 64, "R": 32}  # D; powers of two, so that sign patterns are orthogonal
GROUP_SIZES = (10, 15, 20, 25, 30, 40)
GROUP_OVERLAP = 4  # genes that consecutive groups share
LOADING = 0.7  # of a signal gene on its latent; noise brings its variance to 1
MARKER, MARKER_CUT = 3.0, 1.5  # centre of the marker coordinate of signal patches (others 0)
SPREAD = 1.5  # standard deviation of the log hazard
SHAPE, SCALE = 1.2, 30.0  # of the Weibull times, months
FOLLOW_UP = 65.0  # mean months to the exponential end of follow-up; censors about 40 %
HORIZON = 24.0  # months
DECIMALS = 4  # kept of every value, so that the last bit of a sum never changes the hash


@dataclass(frozen=True)
class Variant:
    """How the variance of the log hazard is divided over the latents; the rest is hidden."""

    shared_latents: int  # number that every modality shows
    shared: float  # share of the variance that they carry
    specific: float  # share of the modality-specific latents, split evenly
    note: str


VARIANTS = {
    "demo": Variant(2, 0.4, 0.6, "shared and specific signal"),
    "demo-shared": Variant(2, 1.0, 0.0, "all signal shared: a missing modality costs little"),
    "demo-specific": Variant(0, 0.0, 1.0, "modalities independent: nothing to recover from"),
    "demo-null": Variant(2, 0.0, 0.0, "no modality says anything about survival"),
}


def simulate(
    variant: str = "demo",
    *,
    n: int = PATIENTS,
    modalities: Sequence[str] = ("P", "G"),
    patches: tuple[int, int] = PATCHES,
    width: int = WIDTHS["P"],
    seed: int = 0,
) -> Cohort:
    """Simulated cohort with its truth in `info.truth` (one row per case).

    Parameters
    ----------
    variant : str
        demo, demo-shared, demo-specific or demo-null.
    n : int
        Number of patients.
    modalities : sequence of str
        Any of P (bags), G (genes) and R (a second kind of bag).
    patches : (int, int)
        Fewest and most patches in a bag, both included.
    width : int
        Patch width of P, a power of two of at least 16.
    seed : int
        Another seed is another cohort of the same law.

    Raises
    ------
    UnknownNameError
        For a variant that does not exist.
    InputError
        For any other value that is not allowed.
    """
    if variant not in VARIANTS:
        see = "'survbench cohort list'"
        raise UnknownNameError(kind="demo", name=variant, known=VARIANTS, see=see)
    _check(n, modalities, patches, width)
    law = VARIANTS[variant]
    latents = _draw_latents(law, n, modalities, seed)
    log_hazard = latents.to_numpy() @ _weights(law, modalities)
    cases = _draw_cases(log_hazard, seed).set_axis(latents.index)
    drawn: dict[str, Modality] = {}
    for name in modalities:
        own = latents[_shown_by(law, name)].to_numpy()
        stream = _stream(seed, name)
        if KINDS[name] == "genes":
            drawn[name] = _draw_genes(own, stream)
        else:
            drawn[name] = _draw_bags(own, patches, width if name == "P" else WIDTHS[name], stream)
    asked = (n, tuple(modalities), tuple(patches), width, seed)
    published = asked == (PATIENTS, ("P", "G"), PATCHES, WIDTHS["P"], 0)
    info = CohortInfo(
        endpoint="simulated death",
        horizon_months=HORIZON,
        default_splits=variant if published else None,
        embedded=True,
        simulated=True,
        note=f"simulated; {law.note}",
        provenance="drawn by survbench.cohort.demo",
        encoder_saw_tcga="no",
        truth=_truth(law, latents, log_hazard, drawn),
    )
    cohort = Cohort(variant, cases, drawn, info)
    return replace(cohort, info=replace(info, data_hash=hash_cohort(cohort)))


def _check(n: int, modalities: Sequence[str], patches: tuple[int, int], width: int) -> None:
    unknown = [name for name in modalities if name not in KINDS]
    if unknown or not modalities or len(set(modalities)) < len(modalities):
        msg = f"modalities must be different ones of {', '.join(KINDS)}, found {modalities!r}"
        raise InputError(msg)
    low, high = patches
    if n < 1 or not 1 <= low <= high:
        msg = f"need n >= 1 and 1 <= patches[0] <= patches[1], found n={n}, patches={patches!r}"
        raise InputError(msg)
    if width < 16 or width & (width - 1):
        msg = f"width must be a power of two of at least 16, found {width}"
        raise InputError(msg)


def _stream(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose, so that adding a modality changes no other."""
    return np.random.default_rng(seed_of("survbench demo", seed, purpose))


def _shown_by(law: Variant, modality: str) -> list[str]:
    """Names of the latents that a modality shows."""
    return [f"shared{i}" for i in range(law.shared_latents)] + [modality]


def _draw_latents(law: Variant, n: int, modalities: Sequence[str], seed: int) -> pd.DataFrame:
    """Standard normal latents (N, .), index case_id; `hidden` is shown by no modality."""
    names = [f"shared{i}" for i in range(law.shared_latents)] + [*modalities, "hidden"]
    drawn = {name: _stream(seed, f"latent {name}").standard_normal(n) for name in names}
    case_id = [f"DEMO-{i + 1:0{max(4, len(str(n)))}d}" for i in range(n)]
    return pd.DataFrame(drawn, index=pd.Index(case_id, name="case_id"))


def _weights(law: Variant, modalities: Sequence[str]) -> NDArray[np.float64]:
    """Weight of each latent in the log hazard; their squares sum to SPREAD squared."""
    shared = [law.shared / max(law.shared_latents, 1)] * law.shared_latents
    specific = [law.specific / len(modalities)] * len(modalities)
    hidden = 1.0 - law.shared - law.specific
    return SPREAD * np.sqrt([*shared, *specific, hidden])


def _draw_cases(log_hazard: NDArray[np.float64], seed: int) -> pd.DataFrame:
    """Outcome and the covariates that have nothing to do with it, one row per patient."""
    n, stream = len(log_hazard), _stream(seed, "outcome")
    death = SCALE * (stream.standard_exponential(n) * np.exp(-log_hazard)) ** (1 / SHAPE)
    end = FOLLOW_UP * stream.standard_exponential(n)
    stream = _stream(seed, "covariates")
    return pd.DataFrame(
        {
            "time": np.maximum(np.round(np.minimum(death, end), 2), 0.01),
            "event": death <= end,
            "age": np.round(62 + 11 * stream.standard_normal(n), 1),
            "sex": stream.choice(["female", "male"], n),
            "histology": stream.choice(["H1", "H2", "H3"], n, p=[0.6, 0.3, 0.1]),
            "site": stream.choice(["AA", "AB", "AC", "AD", "AE", "AF", "AG", "AH"], n),
        },
    )


def _directions(width: int, names: int) -> NDArray[np.float64]:
    """Orthonormal sign patterns (names + 1, width) of a bag; the first is the marker."""
    return np.asarray(hadamard(width)[3 : names + 4] / np.sqrt(width))


def _draw_bags(
    latent: NDArray[np.float64], patches: tuple[int, int], width: int, stream: np.random.Generator
) -> Bags:
    """Bags of patients with these latents (N, L); about a third of the patches shows them."""
    marker, *directions = _directions(width, latent.shape[1])
    length = stream.integers(patches[0], patches[1], len(latent), endpoint=True)
    signal = np.maximum(1, np.round(length * stream.uniform(0.2, 0.47, len(latent)))).astype(int)
    features = np.empty((length.sum(), width), np.float32)
    start = np.cumsum(length) - length
    for row, first in enumerate(start):
        n = int(length[row])
        patch = stream.standard_normal((n, width))
        is_signal = stream.permutation(n) < signal[row]
        where = MARKER * is_signal + stream.uniform(-1, 1, n)
        patch += (where - _along(patch, marker))[:, None] * marker
        for value, direction in zip(latent[row], directions, strict=True):
            patch += np.where(is_signal, value, 0.0)[:, None] * direction
        features[first : first + n] = np.round(patch, DECIMALS)
    return Bags(features, start.astype(np.int64), length.astype(np.int64), _grid(length))


def _along(patch: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coordinate (n,) of patches (n, D) along a unit direction."""
    return np.asarray((patch * direction).sum(axis=1))


def _grid(length: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places (T, 2) of patches that fill a square, row by row, in steps of 256."""
    places = []
    for n in length:
        side = int(np.ceil(np.sqrt(n)))
        index = np.arange(n)
        places.append(np.stack([index % side, index // side], axis=1) * 256)
    return np.concatenate(places)


def _gene_signal(latents: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Latent shown by each gene (C,), -1 for noise, and its sign (C,); every second one shows."""
    gene = np.arange(sum(GROUP_SIZES) - GROUP_OVERLAP * (len(GROUP_SIZES) - 1))
    latent = np.where(gene % 2 == 0, gene // 2 % latents, -1)
    sign = np.where(gene // 2 // latents % 2 == 0, 1.0, -1.0)
    return latent.astype(np.int64), sign


def _draw_genes(latent: NDArray[np.float64], stream: np.random.Generator) -> GeneGroups:
    """Six overlapping groups of expression values of patients with these latents (N, L)."""
    shown, sign = _gene_signal(latent.shape[1])
    noise = stream.standard_normal((len(latent), len(shown)))
    value = LOADING * sign * latent[:, shown] + np.sqrt(1 - LOADING**2) * noise
    value = np.where(shown >= 0, value, noise)
    first = np.cumsum(GROUP_SIZES) - GROUP_SIZES - GROUP_OVERLAP * np.arange(len(GROUP_SIZES))
    return GeneGroups.of(
        np.round(value, DECIMALS).astype(np.float32),
        [f"SIM{i + 1:03d}_rnaseq" for i in range(len(shown))],
        ["rna"] * len(shown),
        {
            f"group {i + 1}": np.arange(begin, begin + size)
            for i, (begin, size) in enumerate(zip(first, GROUP_SIZES, strict=True))
        },
    )


def _measure(modality: Modality, latents: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each latent as a modality measures it, y (N, L), and the precision 1 / var(y | latent)."""
    if isinstance(modality, GeneGroups):
        shown, sign = _gene_signal(latents)
        values = sign * modality.matrix().astype(np.float64)
        genes = np.stack([shown == k for k in range(latents)], axis=1)  # (C, L)
        y = values @ genes / genes.sum(axis=0) / LOADING
        precision = genes.sum(axis=0) * LOADING**2 / (1 - LOADING**2)
        return y, np.broadcast_to(precision, y.shape)
    marker, *directions = _directions(modality.width, latents)
    y, count = np.empty((len(modality), latents)), np.empty(len(modality))
    for row in range(len(modality)):
        patch = modality.bag(row).astype(np.float64)
        patch = patch[_along(patch, marker) > MARKER_CUT]
        y[row] = [_along(patch, direction).mean() for direction in directions]
        count[row] = len(patch)
    return y, np.repeat(count[:, None], latents, axis=1)


def _truth(
    law: Variant,
    latents: pd.DataFrame,
    log_hazard: NDArray[np.float64],
    modalities: dict[str, Modality],
) -> pd.DataFrame:
    """Log hazard, latents, sufficient statistics and posterior means of every case.

    The latents are independent given what is present, because each measurement shows one of them:
    the posterior mean of a latent is sum(precision * y) / (1 + sum(precision)).
    """
    names = list(map(str, latents.columns))
    weight = dict(zip(names, _weights(law, tuple(modalities)), strict=True))
    truth = {f"latent:{name}": latents[name].to_numpy() for name in names}
    measured = {}
    for name, modality in modalities.items():
        shown = _shown_by(law, name)
        y, precision = _measure(modality, len(shown))
        for latent, value, sharp in zip(shown, y.T, precision.T, strict=True):
            measured[name, latent] = sharp * value, sharp
            truth[statistic_column(name, latent)] = sharp * value / (1 + sharp)
    for present in subsets(modalities):
        risk = np.zeros(len(latents))
        for latent in names:
            total, precision = np.zeros(len(latents)), np.ones(len(latents))
            for name in present:
                value, sharp = measured.get((name, latent), (0.0, 0.0))
                total, precision = total + value, precision + sharp
            risk += weight[latent] * total / precision
        truth[oracle_column(present)] = risk
    return pd.DataFrame({"log_hazard": log_hazard, **truth}, index=latents.index)
