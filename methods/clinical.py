"""Ridge Cox on age, sex and histology: what a clinician knows before any model of images or genes.

Source: Cox, Regression models and life-tables, JRSS B 1972.
Missing modality: reads none, so every regime leaves it unchanged; blanks as in `CovariateCox`.
Departs: no official code. Uses those of the three that the cohort has; categories of the training
    fold as 0/1 columns, age per decade; the penalty is chosen as in `cox`.
"""

from __future__ import annotations

from survbench.learn.covariate_cox import CovariateCox


class Clinical(CovariateCox):
    """Clinical covariates alone; see the module docstring."""

    uses = frozenset({"age", "sex", "histology"})
