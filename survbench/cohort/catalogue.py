"""Cohorts by name: those that come with survbench, and folders."""

from __future__ import annotations

from pathlib import Path

from survbench.cohort.cohort import Cohort
from survbench.cohort.demo import VARIANTS, simulate
from survbench.cohort.gse7390 import NAME as GSE7390
from survbench.cohort.gse7390 import gse7390
from survbench.errors import CohortError, UnknownNameError


def list_cohorts() -> list[str]:
    """Names of the cohorts that need no files."""
    return [*VARIANTS, GSE7390]


def load_cohort(source: str | Path) -> Cohort:
    """Cohort of a name in `list_cohorts()` or of a cohort folder.

    Raises
    ------
    UnknownNameError
        For a name that is neither.
    CohortError
        For a path where no cohort folder is.
    """
    from survbench.cohort.folder import read_cohort  # noqa: PLC0415  (h5py only where needed)

    name, path = str(source), Path(source)
    if name in VARIANTS:
        return simulate(name)
    if name == GSE7390:
        return gse7390()
    if path.is_dir():
        return read_cohort(path)
    if len(path.parts) > 1 or path.exists():
        msg = (
            f"{name!r} is no cohort folder; make one with 'survbench cohort build' or use one of "
            f"{', '.join(list_cohorts())}"
        )
        raise CohortError(msg)
    see = "'survbench cohort list'"
    raise UnknownNameError(kind="cohort", name=name, known=list_cohorts(), see=see)
