"""How the files in splits/ were made: from the TCGA tables and from the embedded cohorts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from survbench.cohort.catalogue import list_cohorts, load_cohort
from survbench.cohort.folds import (
    FOLDS,
    SITE_SUFFIX,
    Folds,
    fold_table,
    make_folds,
    make_site_folds,
    write_folds,
)
from survbench.errors import SplitError

TCGA = ("tcga_blca", "tcga_brca", "tcga_gbmlgg", "tcga_luad", "tcga_ucec")
SUMS = "SHA256SUMS"


def tcga_cases(folder: str | Path) -> pd.DataFrame:
    """Cases of a TCGA data folder: time, event, and paired = also has pathology.

    `folder` holds manifest.csv: case_id, survival_months, censorship, has_pathology.
    """
    path = Path(folder) / "manifest.csv"
    if not path.is_file():
        msg = f"{path} does not exist; give the folder that holds {', '.join(TCGA)}"
        raise SplitError(msg)
    table = pd.read_csv(path, index_col="case_id")
    return pd.DataFrame(
        {
            "time": table["survival_months"].astype(float),
            "event": table["censorship"] == 0,
            "paired": table["has_pathology"] == 1,
        }
    )


def make_splits(name: str, cases: pd.DataFrame) -> Folds:
    """Folds of splits/<name>.csv, from the cases of that cohort."""
    return make_folds(cases, name=name, balance=cases.get("paired"))


def make_site_splits(name: str, cases: pd.DataFrame) -> Folds:
    """Folds of splits/<name>.site.csv, from the cases of that cohort."""
    return make_site_folds(cases, name=name + SITE_SUFFIX)


def write_fixed_splits(data: str | Path | None, out: str | Path) -> list[str]:
    """Write the files of splits/ and their SHA256SUMS; returns the table rows of its README.

    `data` is the folder of the TCGA tables; without it only the embedded cohorts' files are made.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in TCGA if data is not None else ():
        cases = tcga_cases(Path(data or "") / name)
        for folds in (make_splits(name, cases), make_site_splits(name, cases)):
            write_folds(folds, folder / f"{folds.name}.csv")
            rows.append(deviation_row(folds, cases))
    for name in list_cohorts():
        cases = load_cohort(name).cases
        folds = make_splits(name, cases)
        write_folds(folds, folder / f"{name}.csv")
        rows.append(deviation_row(folds, cases))
    files = sorted(folder.glob("*.csv"))
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8", newline="\n")
    return rows


def deviation_row(folds: Folds, cases: pd.DataFrame) -> str:
    """Line of the table in splits/README.md: how even the folds are."""
    table = fold_table(folds, cases)
    patients, events = (_from_even(table[column]) for column in ("patients", "events"))
    rate = (table["rate"] - cases["event"].mean()).abs().max()
    cells = [
        folds.name,
        " ".join(map(str, table["patients"])),
        " ".join(map(str, table["events"])),
        f"{patients:.1%}",
        f"{events:.1%}",
        f"{rate:.3f}",
        folds.hash[:12],
    ]
    return f"| {' | '.join(cells)} |"


def _from_even(count: pd.Series[int]) -> float:
    """Largest relative deviation of a fold from the even number."""
    even = count.sum() / FOLDS
    return float(np.abs(count / even - 1).max())
