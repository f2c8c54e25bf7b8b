"""Cohort folders: what is written comes back, nothing half-written stays, damage is named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from survbench.cohort import Bags, Cohort, CohortInfo, GeneGroups
from survbench.cohort.content import hash_cohort
from survbench.cohort.description import describe
from survbench.cohort.folder import check_cohort, read_cohort, read_index
from survbench.cohort.write_folder import BagStream, write_cohort, write_parts
from survbench.errors import CohortError


def tiny(dtype: DTypeLike = np.float16) -> Cohort:
    """Four patients: one without P, one without G; the last gene column is in no group."""
    features: NDArray[np.floating] = np.arange(18).reshape(6, 3).astype(dtype)
    bags = Bags(
        features,
        start=np.array([0, 0, 1, 4]),
        length=np.array([1, 0, 3, 2]),
        coords=np.arange(12).reshape(6, 2),
    )
    genes = GeneGroups.of(
        np.arange(16, dtype=np.float32).reshape(4, 4) / 7,
        ["A_rnaseq", "A_mut", "B_cnv", "C_mut"],
        ["rna", "mut", "cnv", "mut"],
        {"Cytokines and Growth Factors": [1, 0], "two/2": [2, 0]},
        np.array([True, True, True, False]),
    )
    cases = pd.DataFrame(
        {
            "time": [1 / 3, 12.0, 7.25, 30.0],
            "event": [True, False, True, False],
            "age": [61.5, np.nan, 40, 70],
            "sex": ["female", "male", "", "male"],
            "site": ["05", "NA", "1e3", 'a,"b"'],
        },
        index=pd.Index(["p1", "p2", "p3", "p4"], name="case_id"),
    )
    info = CohortInfo(
        horizon_months=24,
        standardise=("P",),
        default_splits="tiny",
        provenance='from "here"\nwith \\ and \x7f and é',
        encoder_saw_tcga="no",
        dropped={"p9": "survival_months is 0, must be > 0"},
    )
    return Cohort("tiny", cases, {"P": bags, "G": genes}, info)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_cohort(tiny(), tmp_path / "tiny")
    return tmp_path / "tiny"


def bags_of(cohort: Cohort, name: str = "P") -> Bags:
    bags = cohort.modalities[name]
    assert isinstance(bags, Bags)
    return bags


def genes_of(cohort: Cohort) -> GeneGroups:
    genes = cohort.modalities["G"]
    assert isinstance(genes, GeneGroups)
    return genes


def test_everything_written_is_read_back(folder: Path) -> None:
    cohort, original = read_cohort(folder), tiny()
    pd.testing.assert_frame_equal(cohort.cases, original.cases, check_index_type=False)
    assert replace(cohort.info, data_hash="") == original.info
    bags, genes = bags_of(cohort), genes_of(cohort)
    assert bags.features.dtype == np.float16
    assert bags.coords is not None
    for row in range(4):
        assert np.array_equal(bags.bag(row), bags_of(original).bag(row))
    assert np.array_equal(bags.coords, np.arange(12).reshape(6, 2))
    assert bags.present.tolist() == [True, False, True, True]
    assert genes.present.tolist() == [True, True, True, False]
    assert list(genes.groups) == ["Cytokines and Growth Factors", "two/2"]


def test_only_grouped_gene_columns_are_loaded_unless_asked_for(folder: Path) -> None:
    some, everything = (
        genes_of(read_cohort(folder)),
        genes_of(read_cohort(folder, all_columns=True)),
    )
    assert some.columns == ("A_rnaseq", "A_mut", "B_cnv")
    assert everything.columns == ("A_rnaseq", "A_mut", "B_cnv", "C_mut")
    for name, index in some.groups.items():
        named = [some.columns[i] for i in index]
        assert named == [everything.columns[i] for i in everything.groups[name]]
    original = genes_of(tiny()).matrix([0, 2])
    assert np.array_equal(everything.matrix([0, 2]), original)
    assert np.array_equal(some.matrix([0, 2]), original[:, :3])


def test_features_are_a_memory_map_of_the_file(folder: Path) -> None:
    features = bags_of(read_cohort(folder)).features
    assert isinstance(features, np.memmap)
    assert Path(str(features.filename)) == folder / "P.h5"
    assert not features.flags.writeable


def test_a_selected_cohort_writes_only_its_own_patches(tmp_path: Path) -> None:
    write_cohort(tiny().select(np.array([3, 0])), tmp_path / "part")
    cohort = read_cohort(tmp_path / "part")
    assert cohort.case_id.tolist() == ["p4", "p1"]
    assert bags_of(cohort).features.shape == (3, 3)
    assert np.array_equal(bags_of(cohort).bag(0), bags_of(tiny()).bag(3))
    assert genes_of(cohort).values.shape[0] == 1


def test_data_hash_is_the_same_twice_and_leaves_provenance_out(tmp_path: Path) -> None:
    cohort = tiny()
    first = write_cohort(cohort, tmp_path / "a")
    info = replace(cohort.info, provenance="elsewhere", horizon_months=12, default_splits=None)
    assert write_cohort(replace(cohort, info=info, name="b"), tmp_path / "b") == first
    assert read_cohort(tmp_path / "a").info.data_hash == first == hash_cohort(cohort)


@pytest.mark.parametrize("change", ["time", "site", "feature", "gene", "endpoint", "standardise"])
def test_data_hash_changes_with_whatever_results_depend_on(change: str) -> None:
    cohort = tiny()
    info, cases, parts = cohort.info, cohort.cases.copy(), dict(cohort.modalities)
    if change == "time":
        cases.loc["p1", "time"] = np.nextafter(1 / 3, 1)
    elif change == "site":
        cases.loc["p1", "site"] = "5"
    elif change == "feature":
        features = np.array(bags_of(cohort).features)
        features[5, 2] += 1
        parts["P"] = replace(bags_of(cohort), features=features)
    elif change == "gene":
        parts["G"] = replace(genes_of(cohort), values=genes_of(cohort).values + np.float32(1))
    elif change == "endpoint":
        info = replace(info, endpoint="progression-free survival")
    else:
        info = replace(info, standardise=())
    assert hash_cohort(replace(cohort, cases=cases, modalities=parts, info=info)) != hash_cohort(
        cohort
    )


def test_an_existing_cohort_is_kept_unless_forced(folder: Path) -> None:
    with pytest.raises(CohortError, match="already holds a cohort"):
        write_cohort(tiny(), folder)
    write_cohort(tiny(np.float32), folder, force=True)
    assert bags_of(read_cohort(folder)).features.dtype == np.float32
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_a_folder_that_is_no_cohort_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "draft.txt").write_text("years of work")
    with pytest.raises(CohortError, match="exists and is no cohort"):
        write_cohort(tiny(), tmp_path / "thesis", force=True)
    assert (tmp_path / "thesis" / "draft.txt").read_text() == "years of work"


FAILURES = (OSError(28, "No space left on device"), KeyboardInterrupt())


@pytest.mark.parametrize("failure", FAILURES, ids=["full disk", "interrupt"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_on_the_way_leaves_what_was_there(
    tmp_path: Path, failure: BaseException, exists: bool
) -> None:
    folder = tmp_path / "tiny"
    if exists:
        write_cohort(tiny(), folder)

    def parts() -> Iterator[tuple[NDArray[np.floating], None]]:
        yield np.zeros((2, 3), np.float32), None
        raise failure

    stream = BagStream(np.array([2, 2, 2, 2]), 3, np.dtype(np.float32), False, parts())
    expected = CohortError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_parts(folder, "tiny", tiny().cases, {"P": stream}, CohortInfo(), force=True)
    assert [path.name for path in tmp_path.iterdir()] == (["tiny"] if exists else [])
    if exists:
        assert check_cohort(folder) == []


def test_a_kill_leaves_no_cohort_and_the_next_attempt_succeeds(tmp_path: Path) -> None:
    def parts() -> Iterator[tuple[NDArray[np.floating], None]]:
        yield np.zeros((2, 3), np.float32), None
        os._exit(9)  # as a kill: no handler, no clean-up

    stream = BagStream(np.array([2, 2, 2, 2]), 3, np.dtype(np.float32), False, parts())
    child = os.fork()
    if child == 0:
        write_parts(tmp_path / "tiny", "tiny", tiny().cases, {"P": stream}, CohortInfo())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not (tmp_path / "tiny").exists()
    write_cohort(tiny(), tmp_path / "tiny")
    assert check_cohort(tmp_path / "tiny") == []


def test_a_cohort_larger_than_the_disk_is_refused_before_copying(tmp_path: Path) -> None:
    stream = BagStream(np.full(4, 10**12), 1536, np.dtype(np.float32), False, iter(()))
    with pytest.raises(CohortError, match="GiB are free there"):
        write_parts(tmp_path / "big", "big", tiny().cases, {"P": stream}, CohortInfo())
    assert not list(tmp_path.iterdir())


def test_a_sound_cohort_has_no_findings(folder: Path) -> None:
    assert check_cohort(folder) == []


def test_a_copied_folder_is_hashed_once_and_then_trusted(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(copy / "P.h5", ns=(1, 1))
    read_cohort(copy)
    recorded = read_index(copy)["files"]["P.h5"]["mtime_ns"]
    assert (copy / "P.h5").stat().st_mtime_ns == recorded


def test_a_changed_file_is_refused_by_name(folder: Path) -> None:
    text = (folder / "cases.csv").read_text()
    (folder / "cases.csv").write_text(text.replace("12.0", "13.0"))
    with pytest.raises(
        CohortError, match=r"cases\.csv changed since the cohort was built; restore"
    ):
        read_cohort(folder)


def test_check_finds_a_change_that_kept_size_and_mtime(folder: Path) -> None:
    path = folder / "P.h5"
    status = path.stat()
    with h5py.File(path, "r+") as file:
        file["features"][0, 0] = np.float16(99)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    read_cohort(folder)  # trusted by size and mtime
    findings = check_cohort(folder)
    assert any("P.h5 changed" in finding for finding in findings)
    assert any("data hash" in finding for finding in findings)


def test_check_finds_strangers_and_missing_files(folder: Path) -> None:
    (folder / "extra.txt").touch()
    assert "extra.txt is not part of the cohort" in check_cohort(folder)[0]
    (folder / "G.h5").unlink()
    assert any("G.h5 is missing" in finding for finding in check_cohort(folder))
    with pytest.raises(CohortError, match=r"G\.h5 is missing"):
        read_cohort(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 99", "schema 99, this survbench reads 1 to 1; upgrade"),
        ("schema = 1", "", "schema None"),
        ("schema = 1", "schema = ", "not readable"),
        ('[files."cases.csv"]', '[files."other.csv"]', "'cases.csv' is not listed"),
        ('[files."cases.csv"]', '[files."../x"]\nsize = 0\n[files."cases.csv"]', r"'\.\./x'"),
        ("[modalities.P]", '[modalities."../P"]', r"\.\./P"),
    ],
)
def test_a_cohort_toml_that_cannot_be_used_is_refused(
    folder: Path, old: str, new: str, message: str
) -> None:
    path = folder / "cohort.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(CohortError, match=message):
        read_cohort(folder)


def test_a_folder_without_cohort_toml_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"no cohort\.toml; build one with"):
        read_cohort(tmp_path)


def test_fitted_transforms_are_not_written(tmp_path: Path) -> None:
    cohort = tiny()
    bags = replace(bags_of(cohort), shift=np.zeros(3), scale=np.ones(3))
    with pytest.raises(CohortError, match="write the raw cohort"):
        write_cohort(replace(cohort, modalities={"P": bags}), tmp_path / "c")


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (CohortInfo(standardise=("G",)), "standardise names 'G', which is no bag modality"),
        (CohortInfo(encoder_saw_tcga="maybe"), "allowed are yes, no, unknown"),
    ],
)
def test_info_that_makes_no_sense_is_refused(
    tmp_path: Path, info: CohortInfo, message: str
) -> None:
    with pytest.raises(CohortError, match=message):
        write_cohort(replace(tiny(), info=info), tmp_path / "c")


def test_a_case_id_cannot_leave_the_folder(tmp_path: Path) -> None:
    cohort = tiny()
    cases = cohort.cases.rename(index={"p1": "../p1"})
    with pytest.raises(CohortError, match=r"'\.\./p1' is not allowed"):
        write_cohort(replace(cohort, cases=cases), tmp_path / "c")


def test_more_than_two_modalities_and_no_patches_at_all(tmp_path: Path) -> None:
    nobody = Bags(np.empty((0, 5), np.float32), np.zeros(4, np.int64), np.zeros(4, np.int64))
    cohort = replace(tiny(), modalities={**tiny().modalities, "R": nobody})
    write_cohort(cohort, tmp_path / "c")
    read = read_cohort(tmp_path / "c")
    assert list(read.modalities) == ["P", "G", "R"]
    assert bags_of(read, "R").features.shape == (0, 5)
    assert check_cohort(tmp_path / "c") == []


def test_describe_counts_what_a_reader_wants_to_know(folder: Path) -> None:
    summary = describe(read_cohort(folder))
    assert (summary["cases"], summary["events"], summary["paired"]) == (4, 2, 2)
    assert summary["median_time"] == pytest.approx((7.25 + 12) / 2)
    patches = summary["modalities"]["P"]
    found = [patches[key] for key in ("cases", "patches_min", "patches_median", "patches_max")]
    assert found == [3, 1, 2.0, 3]
    assert summary["modalities"]["G"]["groups"]["two/2"] == {"rna": 1, "cnv": 1}


texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=6)


@given(
    times=st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=5),
    lengths=st.lists(st.integers(0, 3), min_size=5, max_size=5),
    site=texts,
    note=st.text(st.characters(codec="utf-8"), max_size=20),
)
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_cohorts_read_back_bit_equal(
    tmp_path: Path, times: list[float], lengths: list[int], site: str, note: str
) -> None:
    n = len(times)
    length = np.array(lengths[:n])
    features = np.random.default_rng(n).normal(size=(int(length.sum()), 2)).astype(np.float32)
    cases = pd.DataFrame(
        {"time": times, "event": True, "site": site},
        index=pd.Index([f"p{i}" for i in range(n)], name="case_id"),
    )
    start = np.where(length > 0, np.cumsum(length) - length, 0)
    cohort = Cohort("c", cases, {"P": Bags(features, start, length)}, CohortInfo(note=note))
    write_cohort(cohort, tmp_path / "c", force=True)
    read = read_cohort(tmp_path / "c")
    assert read.time.tolist() == times
    assert read.cases["site"].tolist() == [site] * n
    assert read.info.note == note
    assert np.array_equal(bags_of(read).features, features)
    assert np.array_equal(bags_of(read).length, length)
