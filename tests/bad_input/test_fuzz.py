"""Changed bytes: every reader gives a sound object or survbench's own one-line error.

The examples are the same each time; `SURVBENCH_FUZZ=2000 pytest tests/bad_input/test_fuzz.py` looks
at that many others.
"""

import gzip
import io
import os
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from survbench.cohort import Regime
from survbench.cohort.description import describe
from survbench.cohort.features import find_slides, measure, read_slide
from survbench.cohort.folder import read_cohort
from survbench.cohort.folds import read_splits
from survbench.cohort.tables import read_signatures, read_table
from survbench.errors import InputError
from survbench.report.cost.rows import CostReport, CostRow, read_report
from survbench.report.submissions.submission import find_submissions
from survbench.score.predictions import read_predictions
from tests.bad_input import cohorts, submissions
from tests.bad_input.folds import mcat
from tests.bad_input.records import ROWS
from tests.bad_input.tables import TABLE
from tests.report.submissions.submitted import seal

OTHERS = os.environ.get("SURVBENCH_FUZZ")
FUZZ = settings(
    max_examples=int(OTHERS or 25),
    derandomize=OTHERS is None,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NUMBERS = [b"\x00", b"\xff" * 4, b"\x7f" * 8, b"nan", b"-inf", b"1e999", b"9" * 30, b"-1"]
SIGNS = [b"", b'"', b",", b"\n", b"\r", b"\xef\xbb\xbf", b"[", b"{"]
WORDS = st.sampled_from([*NUMBERS, *SIGNS, b"case_id", b"fold", b"null", b"../../x"])
EDIT = st.tuples(st.floats(0, 1), st.integers(0, 24), WORDS | st.binary(max_size=8))
EDITS = st.lists(EDIT, min_size=1, max_size=4)
Edits = list[tuple[float, int, bytes]]


def edited(data: bytes, edits: Edits) -> bytes:
    """Bytes of which some are replaced, removed or put in."""
    for place, length, new in edits:
        at = int(place * len(data))
        data = data[:at] + new + data[at + length :]
    return data


def survives(read: Callable[[], object]) -> None:
    """Either the reader takes it, or it says in one line what is wrong."""
    try:
        read()
    except InputError as error:
        told = str(error)
    else:
        return
    assert told
    assert len(told) < 2000


@cache
def feature_files() -> dict[str, bytes]:
    """Sound feature files: plain and compressed HDF5, packed, tensors old and new."""
    import torch

    features, places = np.arange(60, dtype=np.float32).reshape(20, 3), np.zeros((20, 2), np.int64)
    made = {}
    with TemporaryDirectory() as folder:
        for name in ("plain.h5", "zipped.h5", "packed.h5"):
            with h5py.File(Path(folder, name), "w") as file:
                holder = file.create_group("A") if name == "packed.h5" else file
                more: dict[str, Any] = {"compression": "gzip"} if name == "zipped.h5" else {}
                holder.create_dataset("features", data=features, **more)
                holder.create_dataset("coords", data=places, **more)
                holder.attrs["encoder"], holder.attrs["n_slides"] = "uni_v2", 2
            made[name] = Path(folder, name).read_bytes()
    for name, thing, new in (
        ("tensor.pt", torch.from_numpy(features), True),
        ("old.pt", torch.from_numpy(features), False),
        ("array.pt", features, False),
    ):
        data = io.BytesIO()
        torch.save(thing, data, _use_new_zipfile_serialization=new)
        made[name] = data.getvalue()
    return made


def archived(suffix: str, data: bytes) -> bytes:
    """A table as it is in a file of this suffix."""
    if suffix == ".csv.gz":
        return gzip.compress(data, mtime=0)
    if suffix == ".csv.zip":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo("table.csv"), data)
        return file.getvalue()
    return data


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.zip"])
@given(edits=EDITS)
@FUZZ
def test_tables(tmp_path: Path, suffix: str, edits: Edits) -> None:
    path = tmp_path / f"table{suffix}"
    path.write_bytes(edited(archived(suffix, TABLE.encode()), edits))
    survives(lambda: read_table(path))
    survives(lambda: read_signatures(path))


@pytest.mark.parametrize(
    "name", ["plain.h5", "zipped.h5", "packed.h5", "tensor.pt", "old.pt", "array.pt"]
)
@given(edits=EDITS)
@FUZZ
def test_feature_files(tmp_path: Path, name: str, edits: Edits) -> None:
    path = tmp_path / name
    path.write_bytes(edited(feature_files()[name], edits))

    def read() -> None:
        for slide in find_slides(path):
            extent = measure(slide)
            assert len(read_slide(slide).features) == extent.patches

    survives(read)


@pytest.mark.parametrize("name", ["cohort.toml", "cases.csv", "dropped.csv", "P.h5", "G.h5"])
@given(edits=EDITS)
@FUZZ
def test_cohort_folders(name: str, edits: Edits) -> None:
    with TemporaryDirectory() as made:
        folder = Path(made)
        cohorts.sound(folder)
        path = folder / "mine" / name
        path.write_bytes(edited(path.read_bytes(), edits))
        if name != "cohort.toml":
            cohorts.seal(folder / "mine", name)

        def read() -> None:
            cohort = read_cohort(folder / "mine")
            describe(cohort)
            for row in range(len(cohort)):
                if cohort.modalities["P"].present[row]:
                    cohort.modalities["P"].gather([row])  # type: ignore[union-attr]

        survives(read)


@given(edits=EDITS)
@FUZZ
def test_splits(tmp_path: Path, edits: Edits) -> None:
    path = tmp_path / "folds.csv"
    path.write_bytes(edited(b"case_id,fold\na,0\nb,1\nc,2\nd,3\ne,4\n", edits))
    survives(lambda: read_splits(path).hash)


@given(edits=EDITS, number=st.integers(0, 4))
@FUZZ
def test_mcat_folders(edits: Edits, number: int) -> None:
    with TemporaryDirectory() as made:
        mcat()(Path(made))
        path = Path(made, f"mcat/splits_{number}.csv")
        path.write_bytes(edited(path.read_bytes(), edits))
        survives(lambda: read_splits(Path(made, "mcat")))


TERM = st.text("PG@.0123456789+none-e_ ", max_size=12)


@given(text=st.lists(TERM | st.text(max_size=6), max_size=4).map("+".join))
@settings(FUZZ, max_examples=10 * FUZZ.max_examples)
def test_regimes(text: str) -> None:
    def read() -> None:
        regime = Regime.parse(text)
        assert Regime.parse(str(regime)) == regime
        assert all(0 < rate <= 1 for _, rate in regime.rates)

    survives(read)


@pytest.mark.parametrize("name", ["cells.json", "predictions.csv.gz", "train.csv", "SHA256SUMS"])
@given(edits=EDITS)
@FUZZ
def test_submissions(name: str, edits: Edits) -> None:
    with TemporaryDirectory() as made:
        place = submissions.sound(Path(made))
        data = (place / name).read_bytes()
        inside = gzip.decompress(data) if name.endswith(".gz") else data
        changed = edited(inside, edits)
        (place / name).write_bytes(gzip.compress(changed) if name.endswith(".gz") else changed)
        if name != "SHA256SUMS":
            seal(place)
        survives(lambda: [one.read() for one in find_submissions(Path(made, "leaderboards"))])


@given(edits=EDITS)
@FUZZ
def test_predictions(tmp_path: Path, edits: Edits) -> None:
    path = tmp_path / "none.csv"
    path.write_bytes(edited(ROWS.encode(), edits))
    survives(lambda: read_predictions(path))


@given(edits=EDITS)
@FUZZ
def test_cost_reports(tmp_path: Path, edits: Edits) -> None:
    path = tmp_path / "cost.json"
    row = CostRow("cox", "quick", "cpu", 100, 64, "none", flops=7, by_operator={"mm": 7})
    path.write_bytes(edited(CostReport({"device": "cpu"}, {}, (row,)).to_json().encode(), edits))
    survives(lambda: read_report(path))
