"""The contract every method keeps: `fit(cohort)`, then `predict(cohort, missing=...)`.

`fit` and `predict` are final. They mask what a regime takes before a method can see it, hide case
ids, outcome and undeclared covariates, apply the transforms of the training fold, fill what a
method asks to be filled, and seed every random stream. A method writes `fit_cases` and
`predict_cases`.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.bookmark import Bookmark
from survbench.cohort import Bags, Cohort, Regime, Transforms
from survbench.cohort.cohort import COVARIATES, OUTCOME
from survbench.cohort.transforms import Fill
from survbench.config import config_of
from survbench.errors import InputError, MissingModalityError, ResultError, SurvbenchError
from survbench.streams import isolated, seed_of

__all__ = ["ALL", "CONTRACT", "Method", "NoConfig", "Prediction", "Progress", "silent"]

CONTRACT = 1  # what `Method.contract` is compared with; another number is refused
SCHEMA = 1
ALL = frozenset({"*"})  # every modality of the cohort
_ROUNDING = 1e-6  # how far survival may rise or leave [0, 1] by rounding


@dataclass(frozen=True)
class NoConfig:
    """Configuration of a method that has nothing to configure."""


@dataclass(frozen=True)
class Progress:
    """How far a fit is: `done` of `total` steps of a stage, and the last loss."""

    stage: str
    done: int
    total: int
    loss: float | None = None


def silent(progress: Progress) -> None:
    """Report nothing."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a method says about patients.

    Parameters
    ----------
    case_id : array (N,)
        Whom each row is about.
    risk : array (N,)
        Higher = earlier death.
    survival : array (N, K) or None
        Probability of being alive at the end of each interval.
    edges : array (K + 1,) or None
        Ends of the intervals in months, from 0; the last may be infinite.
    diagnostics : mapping of name to array (N,)
        What else is worth keeping of each patient.
    recovered : mapping of modality to array (N, H)
        Latents a method made for what is missing (NaN rows where nothing was); never written.
    """

    case_id: NDArray[np.str_]
    risk: NDArray[np.float64]
    survival: NDArray[np.float64] | None = None
    edges: NDArray[np.float64] | None = None
    diagnostics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    recovered: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.risk)


class Method(ABC):
    """A survival method under test; subclass and write `fit_cases` and `predict_cases`.

    Parameters
    ----------
    config : dataclass or None
        An instance of the method's `Config`; None means its defaults, the `standard` preset.
    seed : int
        Names every random stream of the fit, with the method and the fold.
    device : str
        Where a neural method computes.
    report : callable
        Told of progress.

    Notes
    -----
    `uses` names the modalities and covariates a method reads (ALL: every modality of the cohort),
    `tolerates` those that may be absent in predict, `trains_without` those that may be absent in
    fit, and `fill` what stands in for the others: None, "zero", "zero:N" or "mean".
    `needs_others` says why the patients of a step cannot be computed one by one, if so. `resumes`
    promises that all that changes in training are the weights and buffers of the net, so that a
    killed fit can go on from its bookmark; for neural methods of one stage.
    """

    name: ClassVar[str] = ""
    contract: ClassVar[int] = CONTRACT
    version: ClassVar[int] = 1
    uses: frozenset[str] = ALL
    tolerates: frozenset[str] = frozenset()
    trains_without: frozenset[str] = frozenset()
    fill: str | None = None
    transforms: ClassVar[bool] = True
    saves: ClassVar[bool] = True
    needs_others: ClassVar[str] = ""
    resumes: ClassVar[bool] = False
    Config: ClassVar[type] = NoConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init__(
        self,
        config: Any = None,
        *,
        seed: int = 0,
        device: str = "cpu",
        report: Callable[[Progress], None] = silent,
    ) -> None:
        self.config = self.Config() if config is None else config
        self.seed = seed
        self.device = device
        self.report = report
        self.fold: int | None = None
        self.record: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self._order: tuple[str, ...] | None = None
        self._columns: dict[str, str] = {}
        self._transforms = Transforms()
        self._fill: Fill | None = None
        self.bookmark: Bookmark | None = None
        self.declare()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in cls.__dict__:  # the registry gives third parties theirs
            cls.name = cls.__module__.rpartition(".")[2]

    # -- what a method writes

    @abstractmethod
    def fit_cases(self, cohort: Cohort) -> None:
        """Learn from training patients; a modality not in `trains_without` is never absent."""

    def declare(self) -> None:  # noqa: B027  (most configs change nothing)
        """Set `uses`, `tolerates`, `trains_without` or `fill` where the config changes them."""

    @abstractmethod
    def predict_cases(self, cohort: Cohort) -> Prediction:
        """Prediction for every patient of `cohort`, in its order."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays that make up the fit; what is not an array goes into `self.facts`."""
        raise NotImplementedError

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take the arrays of `state()` back; config and facts are set already."""
        raise NotImplementedError

    def latents(self, cohort: Cohort) -> Mapping[str, NDArray[np.float64]]:
        """True latents (N, H) of each modality a method can recover; rows of absent ones NaN."""
        del cohort
        return {}

    def latent_centre(self) -> Mapping[str, NDArray[np.float64]]:
        """Training mean (H,) of the latents of `latents`."""
        return {}

    # -- what the suite calls

    @final
    def fit(self, cohort: Cohort, *, missing: str | Regime = "none") -> Self:
        """Fit on training patients under a training regime.

        Patients who lack what the method can neither train without nor have filled are left out.

        Raises
        ------
        InputError
            The cohort lacks a modality the method uses, or no patient can be used.
        """
        masked = Regime.parse(missing).apply(cohort).cohort
        self._order = self.modalities_used(cohort)
        self.fold = cohort.fold
        seen = self._narrowed(masked, outcome=True)
        fillable = set(self._order) - _names(self.trains_without, self._order)
        if self.fill is None:
            whole = seen.present[sorted(fillable)].to_numpy().all(axis=1)
            seen = seen.select(np.flatnonzero(whole))
        if len(seen) == 0 or not seen.event.any():
            msg = (
                f"{self.name}: no training patient with an event is left in {cohort.name!r} under "
                f"{str(missing)!r}; choose another training regime, population or fold"
            )
            raise InputError(msg)
        self.record = {"train_cases": len(seen)}
        self._columns = {name: _signature(seen, name) for name in self._order}
        self._transforms = Transforms.fit(seen) if self.transforms else Transforms()
        seen = self._transforms.apply(seen)
        if self.fill is not None:
            self._fill = Fill.fit(self.fill, seen)
            seen = self._fill.apply(seen, fillable)
        with isolated(self.stream("fit")):
            self.fit_cases(seen)
        return self

    @final
    def refill(self, rule: str, cohort: Cohort) -> Self:
        """Fill by another rule from now on; `cohort` are the training patients.

        Raises
        ------
        InputError
            The method fills nothing, or filled something in for one of them when it was fitted.
        """
        seen = self._scaled(cohort)
        fillable = set(self._fitted_order()) - _names(self.trains_without, self._fitted_order())
        if self._fill is None or not seen.present[sorted(fillable)].to_numpy().all():
            msg = f"{self.name}: what it learnt depends on the rule for filling; fit it with {rule}"
            raise InputError(msg)
        self.fill, self._fill = rule, Fill.fit(rule, seen)
        return self

    @final
    def predict(self, cohort: Cohort, *, missing: str | Regime = "none") -> Prediction:
        """Predict patients under a test regime.

        Returns
        -------
        Prediction
            One row for every patient who keeps at least one modality, in the cohort's order.

        Raises
        ------
        MissingModalityError
            Somebody lacks a modality that the method neither tolerates nor has filled.
        InputError
            The method is not fitted, or the cohort is not of the kind it was fitted on.
        """
        masked = Regime.parse(missing).apply(cohort)
        seen = self.seen(masked.cohort)
        with isolated(self.stream("predict")):
            prediction = self.predict_cases(seen)
        self._check_prediction(prediction, masked.cohort)
        truth = cohort.select(masked.kept)
        fidelity = self._fidelity(prediction, seen, truth) if prediction.recovered else {}
        return replace(
            prediction,
            case_id=masked.cohort.case_id,
            diagnostics={**prediction.diagnostics, **fidelity},
        )

    @final
    def seen(self, cohort: Cohort) -> Cohort:
        """What `predict_cases` gets to see of masked patients: declared, transformed, filled.

        Raises
        ------
        MissingModalityError, InputError
            As in `predict`.
        """
        order = self._fitted_order()
        for name in order:
            self._check_columns(cohort, name)
        seen = self._scaled(cohort)
        needed = set(order) - _names(self.tolerates, order)
        if self._fill is None:
            self._refuse_absence(seen, needed)
            return seen
        return self._fill.apply(seen, needed)

    @final
    def filled(self, cohort: Cohort, *, missing: str | Regime = "none") -> bool:
        """Whether predicting under this regime fills something in: such rows are marked `*`."""
        if self.fill is None:
            return False
        used = self.modalities_used(cohort)
        needed = sorted(set(used) - _names(self.tolerates, used))
        present = Regime.parse(missing).apply(cohort).cohort.present[needed]
        return not bool(present.to_numpy().all())

    @final
    def modalities_used(self, cohort: Cohort) -> tuple[str, ...]:
        """Modalities of the cohort that the method reads, in the cohort's order.

        Raises
        ------
        InputError
            The cohort lacks one of them, or every covariate of a method that reads nothing else.
        """
        wanted = _names(self.uses, tuple(cohort.modalities)) - set(COVARIATES)
        for name in sorted(wanted - set(cohort.modalities)):
            have = ", ".join(cohort.modalities) or "none"
            msg = f"{self.name} needs modality {name!r}; cohort {cohort.name!r} has: {have}"
            raise InputError(msg)
        covariates = sorted(self.uses & set(COVARIATES))
        known = [name for name in covariates if name in cohort.cases and cohort.cases[name].any()]
        if covariates and not known and not wanted:
            msg = (
                f"{self.name} needs one of the covariates {', '.join(covariates)}; cohort "
                f"{cohort.name!r} has none of them: add the column to cases.csv or leave it out"
            )
            raise InputError(msg)
        return tuple(name for name in cohort.modalities if name in wanted)

    @final
    def stream(self, purpose: str, case_id: str | None = None) -> int:
        """Seed of the random stream seed/method/fold/purpose[/case_id]."""
        parts = [self.seed, self.name, self.fold, purpose]
        return seed_of(*parts, *([] if case_id is None else [case_id]))

    @classmethod
    def preset(cls, name: str) -> Any:
        """Config of a preset; `standard`, and any the method does not define, are its defaults."""
        return replace(cls.Config(), **cls.presets.get(name, {}))

    @final
    def save(self, folder: str | Path) -> None:
        """Write fit.json and weights.safetensors into an existing folder."""
        from safetensors.numpy import save_file  # noqa: PLC0415

        order = self._fitted_order()
        arrays: dict[str, NDArray[Any]] = {
            f"state/{name}": value for name, value in self.state().items()
        }
        arrays |= {f"centre/{name}": value for name, value in self._transforms.centre.items()}
        arrays |= {f"spread/{name}": value for name, value in self._transforms.spread.items()}
        if self._fill is not None:
            arrays |= {f"fill/{name}": value for name, value in self._fill.values.items()}
        header = {
            "schema": SCHEMA,
            "contract": self.contract,
            "method": self.name,
            "version": self.version,
            "config": asdict(self.config),
            "seed": self.seed,
            "fold": self.fold,
            "modalities": order,
            "columns": self._columns,
            "fill": None if self._fill is None else self._fill.rule,
            "facts": self.facts,
        }
        text = json.dumps(header, indent=1, allow_nan=False)
        Path(folder, "fit.json").write_text(text + "\n", encoding="utf-8")
        contiguous = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
        save_file(contiguous, str(Path(folder, "weights.safetensors")))

    @final
    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: str = "cpu",
        report: Callable[[Progress], None] = silent,
    ) -> Self:
        """Fitted method read from what `save` wrote.

        Raises
        ------
        ResultError
            The folder holds another method, another version, or damaged files.
        """
        from safetensors import SafetensorError  # noqa: PLC0415
        from safetensors.numpy import load_file  # noqa: PLC0415

        try:
            header = json.loads(Path(folder, "fit.json").read_text(encoding="utf-8"))
            arrays = load_file(Path(folder, "weights.safetensors"))
        except (OSError, ValueError, SafetensorError) as error:
            msg = f"cannot read the fit in {folder}: {error}; delete the folder and run again"
            raise ResultError(msg) from error
        written = (header["method"], header["version"])
        if header["schema"] > SCHEMA or written != (cls.name, cls.version):
            msg = (
                f"{folder} holds {written[0]} version {written[1]} (schema {header['schema']}), "
                f"not {cls.name} version {cls.version}; run again to fit this version"
            )
            raise ResultError(msg)
        method = cls(config_of(cls.Config, header["config"]), seed=header["seed"], device=device)
        method.report = report
        method._take(header, arrays)
        return method

    # -- inside

    def _take(self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.fold, self.facts = header["fold"], header["facts"]
        self._order, self._columns = tuple(header["modalities"]), header["columns"]
        self._transforms = Transforms(_under(arrays, "centre/"), _under(arrays, "spread/"))
        if header["fill"] is not None:
            self._fill = Fill(header["fill"], _under(arrays, "fill/"))
        self.restore(_under(arrays, "state/"))

    def _fitted_order(self) -> tuple[str, ...]:
        if self._order is None:
            msg = f"{self.name} is not fitted; call fit first"
            raise InputError(msg)
        return self._order

    def _narrowed(self, cohort: Cohort, *, outcome: bool) -> Cohort:
        """Only what the method declared to use, under opaque case ids."""
        declared = [name for name in COVARIATES if name in self.uses and name in cohort.cases]
        columns = [*(OUTCOME if outcome else ()), *declared]
        opaque = [hashlib.sha256(case.encode()).hexdigest()[:16] for case in cohort.case_id]
        cases = cohort.cases[columns].set_axis(pd.Index(opaque, name="case_id"))
        modalities = {name: cohort.modalities[name] for name in self._order or ()}
        info = replace(cohort.info, truth=None, dropped={})
        return replace(
            cohort,
            cases=cases,
            modalities=modalities,
            info=info,
            fold=cohort.fold if outcome else None,
        )

    def _scaled(self, cohort: Cohort) -> Cohort:
        return self._transforms.apply(self._narrowed(cohort, outcome=False))

    def _check_columns(self, cohort: Cohort, name: str) -> None:
        if name not in cohort.modalities or _signature(cohort, name) != self._columns[name]:
            msg = (
                f"{self.name} was fitted on other {name!r} columns than cohort {cohort.name!r} "
                "has; predict a cohort built in the same way"
            )
            raise InputError(msg)

    def _refuse_absence(self, cohort: Cohort, needed: set[str]) -> None:
        for name in sorted(needed):
            lacking = int((~cohort.modalities[name].present).sum())
            if lacking:
                of = f"{lacking} of {len(cohort)} test patients"
                msg = f"{of} lack {name}, which {self.name} needs"
                raise MissingModalityError(msg)

    def _check_prediction(self, prediction: Prediction, cohort: Cohort) -> None:
        """Refuse a prediction that breaks the contract, naming the first patient it fails."""
        shape = prediction.risk.shape
        if shape != (len(cohort),):
            msg = f"{self.name} returned risks of shape {shape}, not ({len(cohort)},)"
            raise SurvbenchError(msg)
        wrong = ~np.isfinite(prediction.risk)
        reason = "a risk that is not finite"
        if prediction.survival is not None and not wrong.any():
            drop = -np.diff(prediction.survival, axis=1, prepend=1.0, append=0.0)
            wrong = np.asarray(~(drop >= -_ROUNDING).all(axis=1))
            reason = "a survival curve that rises or leaves 0 to 1"
        if wrong.any():
            msg = f"{self.name} predicted {reason} for case {str(cohort.case_id[wrong][0])!r}"
            raise SurvbenchError(msg)

    def _fidelity(
        self, prediction: Prediction, seen: Cohort, truth: Cohort
    ) -> dict[str, NDArray[np.float64]]:
        """Cosine and R^2 of each recovered latent against the true one that was masked.

        R^2 = 1 - |true - recovered|^2 / |true - training mean|^2 of a patient; computed after the
        prediction is made, NaN where there is no truth.
        """
        true, centre = self.latents(self._scaled(truth)), self.latent_centre()
        columns = {}
        for name, recovered in prediction.recovered.items():
            here = true[name]
            made = np.where(seen.modalities[name].present[:, None], np.nan, recovered)
            norms = np.linalg.norm(made, axis=1) * np.linalg.norm(here, axis=1)
            error = np.square(here - made).sum(axis=1)
            columns[f"cos_recovered_{name}"] = (made * here).sum(axis=1) / np.maximum(norms, 1e-12)
            spread = np.square(here - centre[name]).sum(axis=1)
            columns[f"r2_recovered_{name}"] = 1 - error / np.maximum(spread, 1e-12)
        return columns


def _names(declared: frozenset[str], modalities: tuple[str, ...]) -> set[str]:
    """Names in a declaration, ALL spelt out."""
    return set(modalities) if declared == ALL else set(declared)


def _signature(cohort: Cohort, name: str) -> str:
    """What must agree between the modality a method was fitted on and one it predicts."""
    modality = cohort.modalities[name]
    if isinstance(modality, Bags):
        return f"bags of width {modality.width}"
    groups = tuple((group, tuple(index.tolist())) for group, index in modality.groups.items())
    return f"genes {_hashed(modality.columns, tuple(modality.kind.tolist()), groups)}"


@lru_cache(maxsize=16)  # every prediction asks, and thousands of names take milliseconds to hash
def _hashed(
    columns: tuple[str, ...],
    kind: tuple[str, ...],
    groups: tuple[tuple[str, tuple[int, ...]], ...],
) -> str:
    text = json.dumps([columns, kind, dict(groups)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
