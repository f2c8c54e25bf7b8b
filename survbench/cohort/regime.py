"""Missing regimes: which patients lack which modality, decided by a hash of their case id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

from survbench.cohort.cohort import Cohort
from survbench.errors import InputError
from survbench.streams import uniform

NONE = "none"
MASK_SEED = 0
_GRAMMAR = "write none, P, G, P@0.4 or P@0.3+G@0.3"
_LONGEST = 200  # characters; predictions are kept in a file of this name
_TERM = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_-]*)(?:@(?P<rate>[0-9.]+))?")


@dataclass(frozen=True)
class Masked:
    """A cohort after a regime.

    Parameters
    ----------
    cohort : Cohort
        Patients who keep at least one modality, without what the regime takes.
    kept : array
        Their rows in the cohort the regime was applied to.
    left_out : tuple of str
        Case ids of patients who would have lost the last modality they really have.
    shares : mapping of modality to float
        Share of all patients who lack it, natural absence counted.
    """

    cohort: Cohort
    kept: NDArray[np.int64]
    left_out: tuple[str, ...]
    shares: Mapping[str, float]


@dataclass(frozen=True)
class Regime:
    """Rates at which patients lack each modality; `Regime.parse` reads its text.

    Parameters
    ----------
    rates : tuple of (modality, rate)
        Sorted by modality, each rate in (0, 1].
    """

    rates: tuple[tuple[str, Decimal], ...] = ()

    @classmethod
    def parse(cls, text: str | Regime) -> Regime:
        """Regime written as `none`, `P`, `P@0.4` or `P@0.3+G@0.3`.

        Raises
        ------
        InputError
            The text does not follow the grammar, or a rate is outside [0, 1].
        """
        if isinstance(text, Regime):
            return text
        if text.strip() == NONE:
            return cls()
        if len(text) > _LONGEST:
            msg = f"regime {text[:20]!r}... is {len(text)} characters long; {_GRAMMAR}"
            raise InputError(msg)
        rates: dict[str, Decimal] = {}
        for term in text.split("+"):
            name, rate = _read_term(term.strip(), text)
            if name in rates:
                msg = f"regime {text!r} names {name!r} twice; give each modality one rate"
                raise InputError(msg)
            rates[name] = rate
        return cls(tuple(sorted((name, rate) for name, rate in rates.items() if rate > 0)))

    def __str__(self) -> str:
        terms = (name if rate == 1 else f"{name}@{rate.normalize():f}" for name, rate in self.rates)
        return "+".join(terms) or NONE

    def missing(self, cohort: Cohort, mask_seed: int = MASK_SEED) -> dict[str, NDArray[np.bool_]]:
        """Who is drawn to lack each named modality, (N,) each; natural absence is not counted.

        Where several are named, nobody is drawn to lose every modality of the cohort: the one with
        the largest draw stays.

        Raises
        ------
        InputError
            The regime names a modality the cohort lacks.
        """
        for name, _ in self.rates:
            if name not in cohort.modalities:
                have = ", ".join(cohort.modalities)
                msg = f"regime {str(self)!r} names {name!r}, but cohort {cohort.name!r} has {have}"
                raise InputError(msg)
        draw = {
            name: np.array([uniform(mask_seed, name, case) for case in cohort.case_id])
            for name, _ in self.rates
        }
        drawn = {name: draw[name] < float(rate) for name, rate in self.rates}
        if len(self.rates) < max(2, len(cohort.modalities)):
            return drawn
        loses_all = np.logical_and.reduce(list(drawn.values()))
        largest = np.max(list(draw.values()), axis=0)
        return {name: mask & ~(loses_all & (draw[name] == largest)) for name, mask in drawn.items()}

    def apply(self, cohort: Cohort, mask_seed: int = MASK_SEED) -> Masked:
        """Cohort without what the regime takes; who would keep nothing is left out."""
        masked = cohort.absent(self.missing(cohort, mask_seed))
        present = masked.present
        kept = np.asarray(present.to_numpy().any(axis=1) | (not cohort.modalities), bool)
        return Masked(
            cohort=masked if kept.all() else masked.select(kept),
            kept=np.flatnonzero(kept),
            left_out=tuple(cohort.case_id[~kept]),
            shares={name: float(1 - present[name].mean()) for name in cohort.modalities},
        )


def _read_term(term: str, text: str) -> tuple[str, Decimal]:
    match = _TERM.fullmatch(term)
    if match is None or match["name"] == NONE:
        msg = f"regime {text!r}: cannot read {term!r}; {_GRAMMAR}"
        raise InputError(msg)
    try:
        rate = Decimal(match["rate"] or "1")
    except InvalidOperation:
        msg = f"regime {text!r}: {match['rate']!r} is not a number; {_GRAMMAR}"
        raise InputError(msg) from None
    if not 0 <= rate <= 1:
        msg = f"regime {text!r}: rate {rate} is outside 0 to 1; {_GRAMMAR}"
        raise InputError(msg)
    return match["name"], rate
