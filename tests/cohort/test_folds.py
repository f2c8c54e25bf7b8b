"""Folds: made, read in both formats, hashed, matched to cohorts, checked."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from survbench.cohort.catalogue import list_cohorts, load_cohort
from survbench.cohort.cohort import Cohort
from survbench.cohort.fixed_splits import (
    TCGA,
    deviation_row,
    make_site_splits,
    make_splits,
    tcga_cases,
    write_fixed_splits,
)
from survbench.cohort.folds import (
    Folds,
    check_folds,
    list_splits,
    make_folds,
    make_site_folds,
    read_splits,
    sites,
    write_folds,
)
from survbench.errors import SplitError, UnknownNameError

SITE_TRACKS = [
    pytest.param(name, marks=() if name == "tcga_ucec" else pytest.mark.slow) for name in TCGA
]


def cases_of(n: int = 60, site_count: int = 12) -> pd.DataFrame:
    """Cases with every outcome different and sites of different sizes."""
    draw = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "time": np.linspace(1, 90, n),
            "event": np.arange(n) % 3 > 0,
            "site": [f"S{k:02d}" for k in (site_count * draw.random(n) ** 2).astype(int)],
        },
        index=pd.Index([f"case{i:02d}" for i in range(n)], name="case_id"),
    )


def cohort_of(cases: pd.DataFrame) -> Cohort:
    return Cohort("toy", cases, {})


def write_mcat(folder: Path, folds: Folds) -> Path:
    """Write folds as MCAT does: an unnamed index, and train and val padded with blanks."""
    folder.mkdir()
    for k in folds.numbers:
        train, val = (
            list(folds.fold.index[folds.fold != k]),
            list(folds.fold.index[folds.fold == k]),
        )
        table = pd.DataFrame({"train": pd.Series(train), "val": pd.Series(val)})
        table.to_csv(folder / f"splits_{k}.csv")
    return folder


# What the hash is over


def test_hash_is_over_the_sorted_pairs() -> None:
    expected = hashlib.sha256(b"a,1\nb,0\n").hexdigest()
    assert Folds("one", {"b": 0, "a": 1}).hash == expected
    assert Folds("other", {"a": 1, "b": 0}).hash == expected
    assert Folds("one", {"a": 0, "b": 1}).hash != expected


def test_csv_and_mcat_folder_of_the_same_folds_agree(tmp_path: Path) -> None:
    folds = make_folds(cases_of())
    write_folds(folds, tmp_path / "mine.csv")
    from_csv = read_splits(tmp_path / "mine.csv")
    from_folder = read_splits(write_mcat(tmp_path / "mcat", folds))
    assert from_csv.hash == from_folder.hash == folds.hash
    assert (from_csv.name, from_folder.name) == ("mine", "mcat")


@pytest.mark.parametrize("name", TCGA)
def test_published_mcat_folders_read_and_survive_a_csv(
    shared: Path, tmp_path: Path, name: str
) -> None:
    folds = read_splits(shared / "data" / name / "splits_mcat")
    cases = tcga_cases(shared / "data" / name)
    assert folds.name == f"{name}.mcat"
    assert folds.numbers == (0, 1, 2, 3, 4)
    assert sorted(folds.fold.index) == sorted(cases.index)  # every patient, each once
    write_folds(folds, tmp_path / "again.csv")
    assert read_splits(tmp_path / "again.csv").hash == folds.hash


# The files in splits/


def test_sums_agree_with_the_committed_files() -> None:
    folder = resources.files("survbench.splits")
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    sums = {file: digest for digest, file in (line.split("  ") for line in lines)}
    assert sorted(sums) == sorted(f"{name}.csv" for name in list_splits())
    for file, expected in sums.items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == expected


def test_the_names_are_those_of_the_tcga_and_embedded_cohorts() -> None:
    expected = {*TCGA, *(f"{name}.site" for name in TCGA), *list_cohorts()}
    assert set(list_splits()) == expected


def readme() -> list[str]:
    return (resources.files("survbench.splits") / "README.md").read_text().splitlines()


@pytest.mark.parametrize("name", TCGA)
def test_committed_tcga_folds_are_made_by_the_code(shared: Path, name: str) -> None:
    cases = tcga_cases(shared / "data" / name)
    folds = make_splits(name, cases)
    assert folds.hash == read_splits(name).hash
    assert deviation_row(folds, cases) in readme()
    assert all(finding.passed for finding in check_folds(folds, cases))


@pytest.mark.parametrize("name", SITE_TRACKS)
def test_committed_site_folds_are_made_by_the_code(shared: Path, name: str) -> None:
    cases = tcga_cases(shared / "data" / name)
    folds = make_site_splits(name, cases)
    assert folds.hash == read_splits(f"{name}.site").hash
    assert deviation_row(folds, cases) in readme()


@pytest.mark.parametrize("name", TCGA)
def test_committed_site_folds_share_no_site(shared: Path, name: str) -> None:
    cases = tcga_cases(shared / "data" / name)
    folds = read_splits(f"{name}.site")
    assert all(finding.passed for finding in check_folds(folds, cases) if finding.required)
    pairs = {(case[5:7], fold) for case, fold in folds.fold.items() if isinstance(case, str)}
    assert len(pairs) == len({site for site, _ in pairs})


@pytest.mark.parametrize("name", ["tcga_brca", "tcga_luad"])
def test_patients_with_both_modalities_are_spread_evenly(shared: Path, name: str) -> None:
    cases = tcga_cases(shared / "data" / name)
    paired = cases["paired"].groupby(read_splits(name).fold).sum()
    assert paired.max() - paired.min() <= 2


@pytest.mark.parametrize("name", list_cohorts())
def test_committed_folds_of_embedded_cohorts_are_made_by_the_code(name: str) -> None:
    cohort = load_cohort(name)
    folds = make_splits(name, cohort.cases)
    assert folds.hash == read_splits(name).hash
    assert deviation_row(folds, cohort.cases) in readme()
    assert all(finding.passed for finding in check_folds(folds, cohort.cases))
    aligned = read_splits(name).align(cohort)
    assert aligned.left_out == 0
    assert np.array_equal(aligned.fold, folds.fold.loc[cohort.cases.index])


def test_written_files_are_the_committed_ones_byte_for_byte(tmp_path: Path) -> None:
    write_fixed_splits(None, tmp_path)
    committed = resources.files("survbench.splits")
    for name in list_cohorts():
        file = f"{name}.csv"
        assert (tmp_path / file).read_bytes() == (committed / file).read_bytes()


# Making folds


def test_folds_differ_by_at_most_one_patient_and_one_event() -> None:
    cases = cases_of(n=203)
    fold = make_folds(cases).fold
    for count in (fold.groupby(fold).size(), cases["event"].groupby(fold).sum()):
        assert count.max() - count.min() <= 1


def test_each_time_quartile_of_deaths_is_spread_evenly() -> None:
    cases = cases_of(n=203)
    fold = make_folds(cases).fold
    deaths = cases[cases["event"]]
    quartile = pd.qcut(deaths["time"], 4, labels=False)
    count = pd.crosstab(quartile, fold)
    assert (count.max(axis=1) - count.min(axis=1) <= 1).all()


def test_folds_depend_neither_on_order_nor_on_chance_but_on_the_seed() -> None:
    cases = cases_of()
    shuffled = cases.sample(frac=1, random_state=1)
    assert make_folds(cases).hash == make_folds(shuffled).hash
    assert make_site_folds(cases).hash == make_site_folds(shuffled).hash
    assert make_folds(cases, seed=1).hash != make_folds(cases).hash


def test_site_folds_find_the_even_answer_where_there_is_one() -> None:
    """Sites of 6, 4, 3, 3, 2, 2 patients fit into two folds of ten."""
    sizes = {"A": 6, "B": 4, "C": 3, "D": 3, "E": 2, "F": 2}
    site = [name for name, size in sizes.items() for _ in range(size)]
    cases = pd.DataFrame(
        {"time": 1.0, "event": True, "site": site}, index=[f"c{i:02d}" for i in range(20)]
    )
    fold = make_site_folds(cases, folds=2).fold
    assert fold.groupby(fold).size().tolist() == [10, 10]
    assert fold.groupby(cases["site"]).nunique().max() == 1


def test_a_dominant_site_is_alone_with_what_cannot_be_avoided() -> None:
    """One site with 12 of 20 patients: the others are shared by the remaining folds."""
    site = ["big"] * 12 + [f"s{k}" for k in range(8)]
    cases = pd.DataFrame(
        {"time": 1.0, "event": True, "site": site}, index=[f"c{i:02d}" for i in range(20)]
    )
    fold = make_site_folds(cases, folds=5).fold
    assert fold.groupby(fold).size().tolist() == [12, 2, 2, 2, 2]


def test_site_is_told_by_a_tcga_id_or_a_column() -> None:
    tcga = pd.DataFrame(index=["TCGA-05-4249", "TCGA-5T-A9QA"])
    assert sites(tcga).tolist() == ["05", "5T"]
    assert sites(cases_of()).equals(cases_of()["site"])
    with pytest.raises(SplitError, match="site of case 'case00' is unknown"):
        sites(cases_of().drop(columns="site"))


def test_more_folds_than_cases_or_sites_are_refused() -> None:
    with pytest.raises(SplitError, match="cannot make 5 folds of 3 cases"):
        make_folds(cases_of(3))
    with pytest.raises(SplitError, match="of 2 sites"):
        make_site_folds(cases_of(site_count=2))


# Folds and cohorts


def test_aligned_folds_follow_the_cohort_and_count_who_is_not_in_it() -> None:
    cases = cases_of()
    folds = make_folds(cases)
    some = cases.iloc[[7, 3, 40]]
    aligned = folds.align(cohort_of(some))
    assert aligned.fold.tolist() == [folds.fold[case] for case in some.index]
    assert aligned.left_out == 57


def test_a_case_without_a_fold_is_an_error_that_names_it() -> None:
    folds = make_folds(cases_of(60))
    message = r"no fold for 2 of 62 cases of cohort 'toy', first 'case60'.*splits make"
    with pytest.raises(SplitError, match=message):
        folds.align(cohort_of(cases_of(62)))


def test_no_case_in_common_is_an_error() -> None:
    other = Folds("tcga_luad", {"TCGA-05-4249": 0})
    with pytest.raises(SplitError, match="no case in common"):
        other.align(cohort_of(cases_of()))


def test_check_finds_uneven_events_missing_folds_and_split_sites() -> None:
    cases = cases_of()
    by_event = Folds("bad", cases["event"].astype(int))
    failed = [finding.text for finding in check_folds(by_event, cases) if not finding.passed]
    assert any(text.startswith("folds are 0, 1;") for text in failed)
    assert any("event rate" in text for text in failed)
    by_site = check_folds(make_folds(cases), cases, by_site=True)
    assert any("sites in several folds" in f.text and not f.passed for f in by_site)
    absent = check_folds(Folds("few", {"case00": 0}), cases)
    assert any("59 cases without a fold, first 'case01'" in f.text for f in absent)


def test_check_reports_deviations_of_site_folds_without_requiring_them() -> None:
    cases = cases_of()
    findings = check_folds(make_site_folds(cases, name="toy.site"), cases)
    assert [f.required for f in findings if "event rate" in f.text] == [False]
    assert all(f.passed for f in findings if f.required)


# Files that are wrong


def test_a_local_folder_does_not_shadow_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert len(read_splits("demo")) == 200


def test_unknown_names_and_paths_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'tcga_luad'\?"):
        read_splits("tcga_laud")
    with pytest.raises(SplitError, match="does not exist"):
        read_splits(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,fold\na,0\n", "needs the columns case_id and fold, found case, fold"),
        ("case_id,fold\na,0\nb,\n", "line 3: case 'b'"),
        ("case_id,fold\na,x\n", "line 2: case 'a' has fold 'x'"),
        ("case_id,fold\na,0\na,1\n", "case 'a' stands twice"),
        ("case_id,fold\n", "at least one case"),
    ],
)
def test_a_wrong_csv_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "wrong.csv").write_text(text)
    with pytest.raises(SplitError, match=message):
        read_splits(tmp_path / "wrong.csv")


def test_case_ids_stay_text(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("case_id,fold\n007,0\nNA,1\n")
    assert read_splits(tmp_path / "ids.csv").fold.to_dict() == {"007": 0, "NA": 1}


@pytest.mark.parametrize(
    ("column", "line", "message"),
    [
        ("val", "case00", "is tested here and in splits_|in train and in val"),
        ("train", "stranger", "1 training cases are in no val list, first 'stranger'"),
        ("test", "case00", "has a test list"),
    ],
)
def test_a_wrong_mcat_file_is_refused(tmp_path: Path, column: str, line: str, message: str) -> None:
    folder = write_mcat(tmp_path / "mcat", make_folds(cases_of()))
    table = pd.read_csv(folder / "splits_2.csv", index_col=0)
    extra = pd.DataFrame({column: [line]})
    pd.concat([table, extra], ignore_index=True).to_csv(folder / "splits_2.csv")
    with pytest.raises(SplitError, match=message):
        read_splits(folder)


def test_a_folder_with_a_fold_missing_is_refused(tmp_path: Path) -> None:
    folder = write_mcat(tmp_path / "mcat", make_folds(cases_of()))
    (folder / "splits_3.csv").unlink()
    with pytest.raises(SplitError, match=r"lacks splits_3\.csv"):
        read_splits(folder)
