"""GSE7390: 198 patients with node-negative breast cancer, as scikit-survival ships them.

G is the 76-gene signature of Wang et al. as one gene group. There are no slides: P is the
clinicopathological variables (age, tumour size, oestrogen receptor, grade) as a bag of one token,
and is said to be so wherever the cohort is shown. The event is distant metastasis, not death.

Source: Desmedt et al., Clinical Cancer Research 13, 2007; `sksurv.datasets.load_breast_cancer`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.cohort.cohort import Cohort, CohortInfo
from survbench.cohort.content import hash_cohort
from survbench.cohort.modality import Bags, GeneGroups, Modality

NAME = "gse7390"
DAYS_PER_MONTH = 30.44  # as cBioPortal, so that months mean the same in every cohort
HORIZON = 60.0  # months
NOTE = (
    "P is not pathology images but clinicopathological variables (age, size, ER, grade) as a "
    "one-token bag; the event is distant metastasis"
)
GRADES = ("poorly differentiated", "intermediate", "well differentiated", "unkown")  # sic
TOKEN = ("age", "size", "er_positive", "grade_poor", "grade_medium", "grade_well", "grade_unknown")


def gse7390() -> Cohort:
    """The cohort, with those left out and their reason in `info.dropped`."""
    from sksurv.datasets import load_breast_cancer  # noqa: PLC0415  (slow to import)

    table, outcome = load_breast_cancer()
    case_id = pd.Index([f"GSE7390-{i + 1:03d}" for i in range(len(table))], name="case_id")
    time = np.asarray(outcome["t.tdm"], np.float64) / DAYS_PER_MONTH
    kept = time > 0
    dropped = {str(case): "time <= 0" for case in case_id[~kept]}
    table, case_id = table[kept], case_id[kept]
    cases = pd.DataFrame(
        {
            "time": time[kept],
            "event": np.asarray(outcome["e.tdm"], bool)[kept],
            "age": table["age"].to_numpy(np.float64),
            "sex": "female",
        },
        index=case_id,
    )
    genes = [name for name in table.columns if name.startswith("X")]
    ones = np.ones(len(table), np.int64)
    modalities: dict[str, Modality] = {
        "P": Bags(_token(table), np.arange(len(table), dtype=np.int64), ones),
        "G": GeneGroups.of(
            table[genes].to_numpy(np.float64),
            [f"{name.removeprefix('X')}_rnaseq" for name in genes],
            ["rna"] * len(genes),
            {"76-gene signature": np.arange(len(genes))},
        ),
    }
    info = CohortInfo(
        endpoint="distant metastasis",
        horizon_months=HORIZON,
        standardise=("P",),
        default_splits=NAME,
        embedded=True,
        note=NOTE,
        provenance="sksurv.datasets.load_breast_cancer; Desmedt et al. 2007",
        cohort_level_preprocessing="microarray normalisation",
        encoder_saw_tcga="no",
        dropped=dropped,
    )
    cohort = Cohort(NAME, cases, modalities, info)
    return replace(cohort, info=replace(info, data_hash=hash_cohort(cohort)))


def _token(table: pd.DataFrame) -> NDArray[np.float32]:
    """Clinicopathological variables (N, 7), in the order of `TOKEN`."""
    columns = [table["age"], table["size"], table["er"] == "positive"]
    columns += [table["grade"] == grade for grade in GRADES]
    return np.stack([column.to_numpy(np.float32) for column in columns], axis=1)
