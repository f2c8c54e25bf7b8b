"""Building a cohort: which slides become whose bag, who is left out, and the real counts."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from survbench.cohort import Bags, Cohort, GeneGroups
from survbench.cohort.build import BuildReport, build_cohort, default_horizon
from survbench.cohort.description import describe
from survbench.cohort.folder import check_cohort, read_cohort, read_index
from survbench.errors import CohortError, SurvbenchError

SLIDE = "TCGA-{}-01Z-00-DX{}.4f2a"


def write_slide(
    folder: Path, name: str, value: float, count: int = 2, width: int = 3, dtype: str = "f4"
) -> None:
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / f"{name}.h5", "w") as file:
        file["features"] = np.full((count, width), value, dtype)
        file["coords"] = np.zeros((count, 2), np.int64)


def write_table(folder: Path, **columns: list[object]) -> Path:
    table: dict[str, list[object]] = {
        "case_id": ["TCGA-05-0001", "TCGA-05-0002", "TCGA-AB-0003"],
        "slide_id": [f"{SLIDE.format('05-0001', 1)}.svs", "own.svs", ""],
        "survival_months": [12.5, 3.25, 7],
        "censorship": [0, 1, 0],
        "site": ["05", "05", "AB"],
        "A_mut": [0, 1, 1],
        "B_rnaseq": [0.5, 1, 2],
    }
    path = folder / "table.csv"
    pd.DataFrame({**table, **columns}).to_csv(path, index=False)
    return path


def write_signatures(folder: Path) -> Path:
    path = folder / "signatures.csv"
    path.write_text("Oncogenes,Nothing\nA,Z\nB,\n")
    return path


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    patches = tmp_path / "features"
    write_slide(patches, SLIDE.format("05-0001", 2), 2.0, count=1)
    write_slide(patches, SLIDE.format("05-0001", 1), 1.0)
    write_slide(patches, SLIDE.format("AB-0003", 1), 3.0)
    return {
        "table": write_table(tmp_path),
        "signatures": write_signatures(tmp_path),
        "patches": patches,
    }


def bags_of(cohort: Cohort) -> Bags:
    bags = cohort.modalities["P"]
    assert isinstance(bags, Bags)
    return bags


def test_slides_of_a_patient_follow_each_other_in_file_name_order(
    tmp_path: Path, inputs: dict[str, Any]
) -> None:
    report = build_cohort(tmp_path / "c", **inputs)
    cohort = read_cohort(tmp_path / "c")
    assert cohort.name == "c"
    assert bags_of(cohort).bag(0)[:, 0].tolist() == [1, 1, 2]
    assert bags_of(cohort).present.tolist() == [True, False, True]
    assert (report.cases, report.events, report.slides, report.patches) == (3, 2, 3, 5)
    assert report.empty_groups == ("Nothing",)
    assert report.groups == {"Oncogenes": {"rna": 1, "mut": 1}}
    assert check_cohort(tmp_path / "c") == []
    assert report.data_hash == cohort.info.data_hash


def test_nobody_and_no_slide_disappears_silently(tmp_path: Path, inputs: dict[str, Any]) -> None:
    features = inputs["patches"]
    write_slide(features, "TCGA-05-0001-11A-00-DX1.x", 9.0)
    write_slide(features, "TCGA-05-0001-01A-01-TS1.x", 9.0)
    write_slide(features, SLIDE.format("ZZ-9999", 1), 9.0)
    write_slide(features, SLIDE.format("05-0002", 1), 9.0)
    write_slide(features, SLIDE.format("AB-0003", 2), 9.0, count=0)
    write_slide(features, "mystery", 9.0)
    table = write_table(tmp_path, survival_months=[12.5, 0, 7])
    report = build_cohort(tmp_path / "c", **{**inputs, "table": table})
    assert report.dropped == {"survival_months is 0, must be > 0": 1}
    assert report.dropped_slides == {
        "normal tissue (sample type 11)": 1,
        "frozen section (TS)": 1,
        "its case is not in the table": 1,
        "its case was dropped": 1,
        "its name tells no case": 1,
    }
    assert report.empty_slides == 1
    cohort = read_cohort(tmp_path / "c")
    assert cohort.info.dropped == {"TCGA-05-0002": "survival_months is 0, must be > 0"}
    assert not (bags_of(cohort).features == 9).any()
    listed = pd.read_csv(tmp_path / "c" / "dropped.csv")
    assert len(listed) == 7
    text = "\n".join(report.lines())
    assert "dropped 1 case: survival_months is 0" in text
    assert "left out 1 slide: normal tissue" in text
    assert "1 empty slides are absent" in text


def test_frozen_slides_are_kept_on_request(tmp_path: Path, inputs: dict[str, Any]) -> None:
    write_slide(inputs["patches"], "TCGA-05-0002-01A-01-TS1.x", 9.0)
    build_cohort(tmp_path / "c", **inputs, frozen_slides=True)
    assert bags_of(read_cohort(tmp_path / "c")).bag(1)[0, 0] == 9


def test_the_table_tells_whose_a_slide_without_a_tcga_name_is(
    tmp_path: Path, inputs: dict[str, Any]
) -> None:
    write_slide(inputs["patches"], "own", 4.0)
    build_cohort(tmp_path / "c", **inputs)
    assert bags_of(read_cohort(tmp_path / "c")).bag(1)[:, 0].tolist() == [4, 4]


def test_a_slide_index_overrides_names(tmp_path: Path, inputs: dict[str, Any]) -> None:
    index = tmp_path / "index.csv"
    index.write_text(f"case_id,slide_id\nTCGA-05-0002,{SLIDE.format('AB-0003', 1)}.svs\n")
    report = build_cohort(tmp_path / "c", **inputs, slide_index=index)
    assert bags_of(read_cohort(tmp_path / "c")).present.tolist() == [False, True, False]
    assert report.dropped_slides == {"not in the slide index": 2}


def test_a_slide_of_two_cases_in_the_index_is_refused(
    tmp_path: Path, inputs: dict[str, Any]
) -> None:
    index = tmp_path / "index.csv"
    index.write_text("case_id,slide_id\nA,s.svs\nB,s\n")
    with pytest.raises(CohortError, match="slide 's' belongs to 'A' and to 'B'"):
        build_cohort(tmp_path / "c", **inputs, slide_index=index)


def test_two_widths_are_refused_with_both_files(tmp_path: Path, inputs: dict[str, Any]) -> None:
    write_slide(inputs["patches"], SLIDE.format("05-0002", 1), 1.0, width=4)
    with pytest.raises(CohortError, match=r"05-0002-.* has width 4, .*05-0001-.*DX1.* has 3"):
        build_cohort(tmp_path / "c", **inputs)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(("other", "kept"), [("f2", "float16"), ("f4", "float32")])
def test_float16_is_kept_where_every_slide_is(tmp_path: Path, other: str, kept: str) -> None:
    features = tmp_path / "features"
    write_slide(features, SLIDE.format("05-0001", 1), 1.0, dtype="f2")
    write_slide(features, SLIDE.format("05-0002", 1), 1.0, dtype=other)
    build_cohort(tmp_path / "c", table=write_table(tmp_path), patches=features)
    assert bags_of(read_cohort(tmp_path / "c")).features.dtype == kept


def test_clam_tensors_build_a_cohort_without_coords(tmp_path: Path) -> None:
    (tmp_path / "pt_files").mkdir()
    torch.save(torch.ones(2, 3), tmp_path / "pt_files" / f"{SLIDE.format('05-0001', 1)}.pt")
    build_cohort(tmp_path / "c", table=write_table(tmp_path), patches=tmp_path / "pt_files")
    bags = bags_of(read_cohort(tmp_path / "c"))
    assert bags.coords is None
    assert bags.bag(0).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_features_for_nobody_are_an_error_that_counts_why(
    tmp_path: Path, inputs: dict[str, Any]
) -> None:
    table = write_table(tmp_path, case_id=["X", "Y", "Z"], slide_id=["", "", ""])
    with pytest.raises(
        CohortError, match=r"no slide with patches.*3 x its case is not in the table"
    ):
        build_cohort(tmp_path / "c", **{**inputs, "table": table})


def test_a_bad_feature_value_leaves_no_folder(tmp_path: Path, inputs: dict[str, Any]) -> None:
    write_slide(inputs["patches"], SLIDE.format("05-0002", 1), float("nan"))
    with pytest.raises(CohortError, match=r"05-0002.*feature 0 of patch 0 is nan"):
        build_cohort(tmp_path / "c", **inputs)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["features", "signatures.csv", "table.csv"]


def test_neither_genes_nor_patches_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("case_id,survival_months,censorship\nA,1,0\n")
    with pytest.raises(CohortError, match="nothing to predict from"):
        build_cohort(tmp_path / "c", table=path)


def test_genes_without_signatures_are_one_group_sorted_by_name(tmp_path: Path) -> None:
    build_cohort(tmp_path / "c", table=write_table(tmp_path))
    genes = read_cohort(tmp_path / "c").modalities["G"]
    assert isinstance(genes, GeneGroups)
    assert [genes.columns[i] for i in genes.groups["all genes"]] == ["A_mut", "B_rnaseq"]


def test_rows_in_another_order_give_the_same_hash(tmp_path: Path) -> None:
    table = write_table(tmp_path)
    first = build_cohort(tmp_path / "a", table=table)
    pd.read_csv(table, dtype=str, keep_default_na=False).iloc[::-1].to_csv(table, index=False)
    assert build_cohort(tmp_path / "b", table=table).data_hash == first.data_hash


def test_text_about_the_cohort_reaches_its_folder(tmp_path: Path, inputs: dict[str, Any]) -> None:
    build_cohort(
        tmp_path / "c",
        **inputs,
        name="luad",
        standardise=("P",),
        encoder="uni_v2",
        encoder_saw_tcga="no",
        cohort_level_preprocessing="z-scores",
        provenance="made up",
        horizon_months=36,
        default_splits="tcga_luad",
    )
    index = read_index(tmp_path / "c")
    assert (index["name"], index["horizon_months"], index["standardise"]) == ("luad", 36, ["P"])
    assert (index["encoder_saw_tcga"], index["provenance"]) == ("no", "made up")
    assert index["modalities"]["P"]["encoder"] == "uni_v2"


def test_unknown_default_splits_are_refused_before_building(
    tmp_path: Path, inputs: dict[str, Any]
) -> None:
    with pytest.raises(SurvbenchError, match="Did you mean 'tcga_luad'"):
        build_cohort(tmp_path / "c", **inputs, default_splits="tcga_laud")


def cases_with(times: Mapping[str, float]) -> pd.DataFrame:
    return pd.DataFrame({"time": times.values()}, index=pd.Index(list(times), name="case_id"))


def test_horizon_needs_ten_at_risk_in_every_fold() -> None:
    # Fold 0: ten patients of 36 months; fold 1: ten of 25 and one of 90.
    times = {f"a{i}": 36.0 for i in range(10)} | {f"b{i}": 25.0 for i in range(10)} | {"b": 90.0}
    folds = {case: int(case.startswith("b")) for case in times}
    assert default_horizon(cases_with(times), folds) == 24
    folds["b9"], times["b9"] = 0, 36.0
    assert default_horizon(cases_with(times), folds) == 24  # nine of 25, one of 90: ten
    times["b"] = 23.9
    assert default_horizon(cases_with(times), folds) == 12


def test_horizon_without_folds_needs_fifty_at_risk_and_is_at_most_five_years() -> None:
    times = {f"a{i}": 48.0 for i in range(50)}
    assert default_horizon(cases_with(times)) == 48
    assert default_horizon(cases_with({f"a{i}": 400.0 for i in range(50)})) == 60
    assert default_horizon(cases_with({f"a{i}": 400.0 for i in range(49)})) is None


def test_building_holds_about_one_slide_in_memory(tmp_path: Path) -> None:
    features, slide_bytes = tmp_path / "features", 4000 * 64 * 4
    cases = [f"TCGA-AA-{i:04d}" for i in range(12)]
    for case in cases:
        write_slide(features, f"{case}-01Z-00-DX1.x", 1.0, count=4000, width=64)
    table = tmp_path / "table.csv"
    pd.DataFrame({"case_id": cases, "survival_months": 5.0, "censorship": 0}).to_csv(table)
    tracemalloc.start()
    try:
        build_cohort(tmp_path / "c", table=table, patches=features)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # One slide, its finiteness mask, a hashing block of 4 MiB and small change: not twelve slides.
    assert peak < 3 * slide_bytes + 2**23


# Everything below is compared with ../shared/data/README.md.


def build_real(shared: Path, folder: Path, cohort: str, **options: Any) -> BuildReport:
    data = shared / "data"
    settings: dict[str, Any] = {
        "table": data / cohort / "genomics.csv.gz",
        "signatures": data / "signatures.csv",
        **options,
    }
    return build_cohort(folder, **settings)


@pytest.mark.parametrize(
    ("cohort", "cases", "events", "with_p", "events_with_p", "longest", "slides"),
    [
        ("tcga_luad", 453, 158, 422, 148, 232, 478),
        ("tcga_brca", 956, 130, 884, 118, 29, 884),
    ],
)
def test_tcga_cohorts_with_pathology(
    shared: Path,
    tmp_path: Path,
    cohort: str,
    cases: int,
    events: int,
    with_p: int,
    events_with_p: int,
    longest: int,
    slides: int,
) -> None:
    packed = shared / "data" / cohort / "pathology.h5"
    report = build_real(
        shared, tmp_path / "c", cohort, patches=packed, standardise=("P",), default_splits=cohort
    )
    assert (report.cases, report.events, report.slides, report.width) == (cases, events, slides, 89)
    assert not report.dropped
    assert not report.dropped_slides
    cohort_read = read_cohort(tmp_path / "c")
    summary = describe(cohort_read)
    patches = summary["modalities"]["P"]
    found = [patches[key] for key in ("patches_min", "patches_median", "patches_max")]
    assert found == [29, 29, longest]
    assert (patches["cases"], patches["events"]) == (with_p, events_with_p)
    assert (summary["paired"], summary["paired_events"]) == (with_p, events_with_p)
    assert summary["horizon_months"] in (12, 24, 36, 48, 60)
    assert check_cohort(tmp_path / "c") == []
    manifest = pd.read_csv(shared / "data" / cohort / "manifest.csv", index_col="case_id")
    bags = bags_of(cohort_read)
    assert dict(zip(cohort_read.case_id, bags.length, strict=True)) == dict(manifest["n_tokens"])
    with h5py.File(packed) as file:
        row = int(np.argmax(bags.length))
        assert np.array_equal(bags.bag(row), file[str(cohort_read.case_id[row])]["features"][()])


def test_the_trident_sample_fills_ten_of_453_bags(shared: Path, tmp_path: Path) -> None:
    sample = shared / "data" / "tcga_luad" / "trident_sample"
    report = build_real(
        shared,
        tmp_path / "c",
        "tcga_luad",
        patches=sample,
        slide_index=sample / "index.csv",
    )
    assert (report.cases_with, report.slides) == ({"P": 10, "G": 453}, 12)
    cohort = read_cohort(tmp_path / "c")
    assert sorted(bags_of(cohort).length[bags_of(cohort).present]) == [29] * 8 + [58] * 2
    assert int(cohort.event[cohort.paired].sum()) >= 4
    named = build_real(shared, tmp_path / "d", "tcga_luad", patches=sample)
    assert named.data_hash == report.data_hash
