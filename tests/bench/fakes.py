"""Methods that misbehave on demand, announced to the registry by the fixture `fakes`."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from survbench.cohort import Cohort, GeneGroups
from survbench.errors import InputError
from survbench.method import Method, Prediction

LOG = "SURVBENCH_TEST_LOG"  # file that gets one line per fit
FAULT = "SURVBENCH_TEST_FAULT"  # "<method>/<fold>=<what>", see `note_fit`; not part of a setting


@dataclass(frozen=True)
class PlainConfig:
    """One field of each kind a config may have."""

    weight: float = 1.0
    columns: int = 3
    centre: bool = True
    label: str = "a"
    kind: Literal["up", "down"] = "up"
    sizes: tuple[int, ...] = (1, 2)
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.columns < 1:
            msg = f"columns is {self.columns}; it must be at least 1"
            raise InputError(msg)


class Plain(Method):
    """Weighted mean of a few genes plus noise that the seed decides."""

    uses = frozenset({"G"})
    fill: str | None = "zero"
    Config = PlainConfig
    presets: ClassVar = {"quick": {"columns": 2}, "paper": {"columns": 9, "weight": 2}}

    def fit_cases(self, cohort: Cohort) -> None:
        note_fit(self)
        generator = np.random.default_rng(self.stream("weights"))
        self.weights = generator.normal(size=self.config.columns) * self.config.weight
        self.record |= {"updates": 1, "parameters": self.config.columns}

    def predict_cases(self, cohort: Cohort) -> Prediction:
        genes = cohort.modalities["G"]
        if not isinstance(genes, GeneGroups):
            raise TypeError
        risk = genes.matrix()[:, : self.config.columns] @ self.weights
        survival = np.float32(0.9) ** (np.exp(risk[:, None]) * [1, 2])
        edges = np.array([0.0, 12.0, np.inf])
        odd = np.where(risk > 0, risk, np.nan)
        return Prediction(cohort.case_id, risk, survival, edges, {"odd": odd})

    def state(self) -> dict[str, NDArray[Any]]:
        return {"weights": self.weights}

    def restore(self, state: Any) -> None:
        self.weights = state["weights"]


class Unsaved(Plain):
    """Cannot be written to disk."""

    saves = False


class NeedsP(Plain):
    """Has no prediction without P."""

    uses = frozenset({"P", "G"})
    fill = None


class Picky(Plain):
    """Cannot be fitted on any cohort."""

    def fit_cases(self, cohort: Cohort) -> None:
        msg = f"picky does not like cohort {cohort.name!r}"
        raise InputError(msg)


class Fragile(Plain):
    """Its predictions fail when G is filled."""

    def predict_cases(self, cohort: Cohort) -> Prediction:
        prediction = super().predict_cases(cohort)
        if len(np.unique(prediction.risk)) == 1:
            msg = f"cannot tell them apart, see {Path(__file__).resolve()}"
            raise ArithmeticError(msg)
        return prediction


ENTRIES = {
    "plain": "Plain",
    "unsaved": "Unsaved",
    "needs_p": "NeedsP",
    "picky": "Picky",
    "fragile": "Fragile",
}


def announce(folder: Path) -> None:
    """Write the metadata of a package that announces these methods, for a place on sys.path."""
    about = folder / "fakes-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fakes\nVersion: 1.0\n")
    lines = [f"{name} = tests.bench.fakes:{cls}" for name, cls in ENTRIES.items()]
    (about / "entry_points.txt").write_text("[survbench.methods]\n" + "\n".join(lines) + "\n")


def note_fit(method: Method) -> None:
    """Log the fit, then do what the environment says goes wrong in it."""
    with Path(os.environ[LOG]).open("a", encoding="utf-8") as file:
        file.write(f"{method.name} {method.seed} {method.fold}\n")
    place, _, what = os.environ.get(FAULT, "").partition("=")
    if place == f"{method.name}/{method.fold}":
        if what == "hang":
            time.sleep(600)
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "memory":
            np.ones(2**57)  # more than any machine has
        if what == "raise":
            msg = f"broken on purpose in {Path(__file__).resolve()}"
            raise ValueError(msg)
