"""Ridge Cox on principal components of pooled features: the linear floor of every table.

Source: Cox, Regression models and life-tables, JRSS B 1972; ridge penalty: Verweij & van
    Houwelingen, Statistics in Medicine 1994; Breslow's baseline hazard.
Missing modality: no mechanism; an absent block sits at its training mean, marked `*`.
Departs: no official code. Patches are averaged; genes are the union of the groups, each once; every
    block is reduced to at most 100 principal components of total variance 1; the penalty is chosen
    by inner 3-fold concordance on the training fold, never on the fold that is reported, and the
    log hazard ratio then stretched by its slope on those held-out folds (no change of ranking).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from survbench.cohort import Cohort
from survbench.learn.ridge_cox import RidgeCox, block_of, fit_components
from survbench.method import ALL, Method, Prediction


@dataclass(frozen=True)
class CoxConfig:
    """What the regression reads."""

    use: str = ""  # modalities, such as PG or G (or names with commas); empty: all of the cohort's
    components: int = 100  # of each block, at most


class Cox(Method):
    """Early-fusion ridge Cox; see the module docstring."""

    fill = "mean"
    Config = CoxConfig

    def declare(self) -> None:
        """What `use` names."""
        use = self.config.use
        names = [name.strip() for name in use.split(",")] if "," in use else list(use)
        self.uses = frozenset(names) or ALL

    def fit_cases(self, cohort: Cohort) -> None:
        """Fit on the blocks side by side."""
        blocks = {name: block_of(cohort, name) for name in cohort.modalities}
        most = self.config.components
        self.model = fit_components(blocks, cohort.time, cohort.event, most=most)
        parameters = sum(len(weight) for weight in self.model.weight.values())
        self.record |= {"parameters": parameters, "penalty": self.model.penalty}

    def predict_cases(self, cohort: Cohort) -> Prediction:
        """Log hazard ratio against the training mean, and survival up to the last edge."""
        risk = self.model.risk({name: block_of(cohort, name) for name in cohort.modalities})
        return Prediction(cohort.case_id, risk, self.model.survival(risk), self.model.edges)

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays of the fitted model."""
        return dict(self.model.state())

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take the fitted model back."""
        self.model = RidgeCox.restore(state)
