"""What a cohort is, how it is read, folded and masked."""

from survbench.cohort.catalogue import list_cohorts, load_cohort
from survbench.cohort.cohort import Cohort, CohortInfo
from survbench.cohort.folds import Folds, read_splits
from survbench.cohort.modality import Bags, GeneGroups, Modality
from survbench.cohort.regime import Masked, Regime
from survbench.cohort.transforms import Transforms

__all__ = [
    "Bags",
    "Cohort",
    "CohortInfo",
    "Folds",
    "GeneGroups",
    "Masked",
    "Modality",
    "Regime",
    "Transforms",
    "list_cohorts",
    "load_cohort",
    "read_splits",
]
