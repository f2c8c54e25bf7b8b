"""Toy forest: scikit-survival's random survival forest on the genes; no torch.

Source: Ishwaran et al., Random survival forests, Annals of Applied Statistics 2008.
Missing modality: no mechanism; without G there is no prediction, without P nothing changes.
Departs: few and shallow trees, for it only shows that any estimator can be a method.
"""

from dataclasses import dataclass

from sksurv.ensemble import RandomSurvivalForest
from sksurv.util import Surv

from survbench import Cohort, GeneGroups, Method, Prediction


@dataclass(frozen=True)
class ToyForestConfig:
    """Hyperparameters of the forest."""

    trees: int = 20
    depth: int = 3


class ToyForest(Method):
    """Random survival forest; see the module docstring."""

    uses = frozenset({"G"})
    saves = False  # scikit-survival has no format but pickle
    Config = ToyForestConfig

    def fit_cases(self, cohort: Cohort) -> None:
        """Grow the forest on everybody's genes."""
        self.forest = RandomSurvivalForest(
            n_estimators=self.config.trees,
            max_depth=self.config.depth,
            random_state=self.stream("forest") % 2**32,
        )
        self.forest.fit(genes(cohort).matrix(), Surv.from_arrays(cohort.event, cohort.time))

    def predict_cases(self, cohort: Cohort) -> Prediction:
        """Expected number of deaths of each patient's leaves, a risk without a time scale."""
        return Prediction(cohort.case_id, self.forest.predict(genes(cohort).matrix()))


def genes(cohort: Cohort) -> GeneGroups:
    """The cohort's G, which is a table of genes."""
    modality = cohort.modalities["G"]
    if not isinstance(modality, GeneGroups):
        message = f"G of cohort {cohort.name!r} is no gene table; toy_forest reads only genes"
        raise TypeError(message)
    return modality
