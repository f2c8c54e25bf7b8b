"""Tables: what is read, what is repaired and said, and what is refused by name."""

from __future__ import annotations

import gzip
import zipfile
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from survbench.cohort.tables import Table, group_columns, read_signatures, read_table
from survbench.errors import CohortError

# Columns per group, rna/cnv/mut, from ../shared/data/README.md.
GROUPS = {
    "tcga_blca/genomics": "82/2/18 305/9/22 493/4/21 415/15/4 134/21/44 421/21/2",
    "tcga_brca/genomics": "82/7/4 305/24/1 493/34/2 415/44/1 134/85/4 425/25/0",
    "tcga_gbmlgg/genomics": "82/1/4 305/1/4 493/1/2 413/0/0 134/0/4 411/16/0",
    "tcga_luad/genomics": "82/2/10 305/10/19 493/4/34 415/22/34 134/34/50 422/5/13",
    "tcga_ucec/genomics": "0/0/20 0/2/61 0/0/78 0/0/28 0/2/148 0/0/9",
    "tcga_ucec/genomics_mcat_full": "0/3/55 0/24/202 0/21/340 0/22/182 0/65/788 0/15/81",
}
# Rows, patients, deaths, rna/cnv/mut columns, columns in no group; the same source.
COUNTS = {
    "tcga_blca/genomics": (437, 373, 169, "1554/256/371", 468),
    "tcga_brca/genomics": (1022, 956, 130, "1558/1333/21", 1150),
    "tcga_gbmlgg/genomics": (1011, 569, 187, "1544/30/16", 17),
    "tcga_luad/genomics": (515, 453, 158, "1555/517/864", 1180),
    "tcga_ucec/genomics": (538, 480, 75, "0/5/1406", 1117),
    "tcga_ucec/genomics_mcat_full": (539, 480, 75, "0/935/8137", 7483),
}


def small(**columns: list[object]) -> pd.DataFrame:
    """Three slides of two patients, in the MCAT layout; keywords replace or add columns."""
    table: dict[str, list[object]] = {
        "case_id": ["TCGA-05-0001", "TCGA-NA-0002", "TCGA-05-0001"],
        "slide_id": ["a-slides.svs", "b.svs", "c.svs"],
        "age": [61, "", 61],
        "site": ["05", "NA", "05"],
        "survival_months": [12.5, 3.25, 12.5],
        "censorship": [0, 1, 0],
        "is_female": [1, 0, 1],
        "oncotree_code": ["LUAD", "LUAD", "LUAD"],
        "train": [1.0, 0.0, 1.0],
        "BBB_rnaseq": [0.5, -1.5, 0.5],
        "AAA_cnv": [-2, 1, -2],
        "AAA_mut": [1, 0, 1],
    }
    return pd.DataFrame({**table, **columns})


def written(folder: Path, table: pd.DataFrame) -> Path:
    path = folder / "table.csv"
    table.to_csv(path)  # with the unnamed index of the published files
    return path


def kinds_of(kind: NDArray[np.str_]) -> str:
    return "/".join(str((kind == k).sum()) for k in ("rna", "cnv", "mut"))


def test_one_row_per_patient_with_event_from_censorship(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, small()))
    assert table.rows == 3
    assert list(table.cases.index) == ["TCGA-05-0001", "TCGA-NA-0002"]
    assert table.cases["time"].tolist() == [12.5, 3.25]
    assert table.cases["event"].tolist() == [True, False]
    assert table.cases["sex"].tolist() == ["female", "male"]
    assert table.cases["histology"].tolist() == ["LUAD", "LUAD"]
    assert np.isnan(table.cases["age"].iloc[1])
    assert table.columns == ("BBB_rnaseq", "AAA_cnv", "AAA_mut")
    assert table.kind.tolist() == ["rna", "cnv", "mut"]
    assert table.values.tolist() == [[0.5, -2, 1], [-1.5, 1, 0]]
    assert table.ignored == ("Unnamed: 0", "train")


def test_site_codes_05_and_na_stay_text(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, small())).cases["site"].tolist() == ["05", "NA"]


def test_lost_leading_zero_of_a_site_is_restored_and_said(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, small(site=["5", "NA", "5"])))
    assert table.cases["site"].tolist() == ["05", "NA"]
    assert "'5' to '05'" in table.notes[0]


def test_svs_is_removed_as_a_suffix_not_as_letters(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, small()))
    assert set(table.slides) == {"a-slides", "b", "c"}


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.zip"])
def test_compressed_tables_read_alike(tmp_path: Path, suffix: str) -> None:
    text = small().to_csv(index=False)
    path = tmp_path / f"table{suffix}"
    if suffix == ".csv.gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif suffix == ".csv.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("table.csv", text)
    else:
        path.write_text(text)
    assert read_table(path).cases["time"].tolist() == [12.5, 3.25]


def test_truncated_gzip_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(small().to_csv().encode())[:-20])
    with pytest.raises(CohortError, match=r"table\.csv\.gz: cannot be read as a CSV"):
        read_table(path)


def test_bare_symbols_are_mutations_where_0_and_1_else_other(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, small(TP53=[1, 0, 1], MKI67=[5.5, 0.1, 5.5])))
    assert dict(zip(table.columns, table.kind, strict=True))["TP53"] == "mut"
    assert dict(zip(table.columns, table.kind, strict=True))["MKI67"] == "other"


def test_other_outcomes_never_become_genes(tmp_path: Path) -> None:
    extra = {"survival_months_dss": [1, 2, 1], "OS": [1, 0, 1], "days_to_death": [9, 9, 9]}
    table = read_table(written(tmp_path, small(**extra)))  # type: ignore[arg-type]
    assert table.columns == ("BBB_rnaseq", "AAA_cnv", "AAA_mut")
    assert set(extra) <= set(table.ignored)


def test_cases_without_usable_time_are_dropped_with_their_reason(tmp_path: Path) -> None:
    table = small(case_id=["A", "B", "C"], survival_months=[0, -1.5, 3], censorship=[0, 1, 0])
    blank = pd.DataFrame({**table.iloc[:1], "case_id": ["D"], "survival_months": [""]})
    unknown = pd.DataFrame(
        {**table.iloc[:1], "case_id": ["E"], "survival_months": [1], "censorship": [""]}
    )
    read = read_table(written(tmp_path, pd.concat([table, blank, unknown])))
    assert list(read.cases.index) == ["C"]
    assert read.dropped == {
        "A": "survival_months is 0, must be > 0",
        "B": "survival_months is -1.5, must be > 0",
        "D": "survival_months is blank",
        "E": "censorship is blank",
    }


def test_a_patient_without_any_gene_value_is_absent_not_an_error(tmp_path: Path) -> None:
    blank = {name: [1, "", 1] for name in ("BBB_rnaseq", "AAA_cnv", "AAA_mut")}
    read = read_table(written(tmp_path, small(**blank)))
    assert read.present.tolist() == [True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"survival_months": [12.5, 3.25, 13]},
            r"'TCGA-05-0001' has survival time 12.5 in line 2 but 13 in line 4",
        ),
        ({"censorship": [0, 1, 1]}, r"'TCGA-05-0001' has censorship 0 in line 2 but 1 in line 4"),
        ({"AAA_cnv": [-2, 1, 0]}, r"'TCGA-05-0001' has AAA_cnv -2 in line 2 but 0 in line 4"),
        ({"AAA_cnv": [-2, "x", -2]}, r"'AAA_cnv' holds 'x' at line 3, case 'TCGA-NA-0002'"),
        ({"AAA_cnv": [-2, "", -2]}, r"'AAA_cnv' is blank at line 3, case 'TCGA-NA-0002'"),
        ({"AAA_cnv": [-2, "inf", -2]}, r"'AAA_cnv' is infinite at line 3"),
        ({"AAA_cnv": [-2, 1e300, -2]}, r"'AAA_cnv' is infinite at line 3"),
        ({"stage": ["I", "II", "I"]}, r"'stage' holds 'I' at line 2.*`ignore`"),
        ({"survival_months": [12.5, "soon", 12.5]}, r"'survival_months' holds 'soon' at line 3"),
        ({"survival_months": [12.5, "inf", 12.5]}, r"survival_months is infinite at line 3"),
        ({"censorship": [0, 2, 0]}, r"censorship is 2 at line 3.*1 \(censored\) and 0 \(died\)"),
        ({"is_female": [1, "f", 1]}, r"is_female is 'f' at line 3"),
        ({"case_id": ["A", "../B", "A"]}, r"line 3: case id '../B' is not allowed"),
        ({"case_id": ["A", "", "A"]}, r"line 3: case id '' is not allowed"),
        ({"case_id": ["A", "..", "A"]}, r"line 3: case id '..' is not allowed"),
        ({"case_id": ["A", "B\n", "A"]}, r"case id 'B\\n' is not allowed"),
    ],
)
def test_errors_name_value_place_and_case(
    tmp_path: Path, change: dict[str, list[object]], message: str
) -> None:
    with pytest.raises(CohortError, match=message):
        read_table(written(tmp_path, small(**change)))


def test_named_columns_are_ignored_on_request(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, small(stage=["I", "II", "I"])), ignore=["stage"])
    assert "stage" in table.ignored


def test_missing_column_is_named_with_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="no column 'censorship'; needed are case_id, surv"):
        read_table(written(tmp_path, small().drop(columns="censorship")))


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("case_id,survival_months,censorship,A_mut,A_mut\nX,1,0,1,0\n")
    with pytest.raises(CohortError, match="'A_mut' stands twice"):
        read_table(path)


def test_rows_longer_than_the_header_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("case_id,survival_months,censorship\nX,1,0,7\nY,2,1,8\n")
    with pytest.raises(CohortError, match=r"table\.csv"):
        read_table(path)


@pytest.mark.parametrize("text", ["", "case_id,survival_months,censorship\n", "\x00\x01"])
def test_empty_or_binary_files_are_cohort_errors(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(CohortError, match=r"table\.csv"):
        read_table(path)


def test_groups_overlap_sort_by_name_and_report_empty_ones() -> None:
    columns = ("B_rnaseq", "A_mut", "C", "A_cnv", "D_rnaseq")
    groups, empty = group_columns(columns, {"two": ("B", "A"), "none": ("X",), "one": ("A", "C")})
    assert [columns[i] for i in groups["two"]] == ["A_cnv", "A_mut", "B_rnaseq"]
    assert [columns[i] for i in groups["one"]] == ["A_cnv", "A_mut", "C"]
    assert list(groups) == ["two", "one"]
    assert empty == ("none",)


def test_genes_in_no_group_at_all_are_an_error() -> None:
    with pytest.raises(CohortError, match="no gene column"):
        group_columns(("A_mut",), {"one": ("B",)})


def test_grouping_equals_the_reference_implementation(shared: Path) -> None:
    with np.load(shared / "reference" / "parity" / "data_protocol.npz") as fixture:
        columns = tuple(str(name) for name in fixture["input/gene_names"])
        signatures = {str(i): fixture[f"input/group{i}_genes"].tolist() for i in range(1, 7)}
        groups, empty = group_columns(columns, signatures)
        assert not empty
        for i in range(1, 7):
            ours = [columns[index] for index in groups[str(i)]]
            assert ours == fixture[f"output/group{i}_names"].tolist()


@cache
def published(path: Path) -> Table:
    """Table that several tests look at, read once."""
    return read_table(path)


@pytest.fixture(scope="module")
def signatures(shared: Path) -> dict[str, tuple[str, ...]]:
    return read_signatures(shared / "data" / "signatures.csv")


def test_signatures_keep_file_order_and_count(signatures: dict[str, tuple[str, ...]]) -> None:
    # One column repeats nine of its 452 symbols; the reference protocol counts 443.
    assert [len(symbols) for symbols in signatures.values()] == [82, 328, 513, 443, 1536, 452]
    assert next(iter(signatures)) == "Tumor Suppressor Genes"
    assert len({s for symbols in signatures.values() for s in symbols}) == 3047


@pytest.mark.parametrize("name", GROUPS)
def test_tcga_tables_have_the_published_counts(
    shared: Path, signatures: dict[str, tuple[str, ...]], name: str
) -> None:
    table = published(shared / "data" / f"{name}.csv.gz")
    groups, empty = group_columns(table.columns, signatures)
    grouped = np.unique(np.concatenate(list(groups.values())))
    found = (
        table.rows,
        len(table.cases),
        int(table.cases["event"].sum()),
        kinds_of(table.kind),
        len(table.columns) - len(grouped),
    )
    assert found == COUNTS[name]
    assert not empty
    assert " ".join(kinds_of(table.kind[index]) for index in groups.values()) == GROUPS[name]
    assert not table.dropped
    assert table.present.all()
    assert not (set(table.ignored) - {"Unnamed: 0", "train"})


@pytest.mark.parametrize(
    ("cohort", "median", "longest", "ageless"),
    [
        ("tcga_blca", 17.6, 163.2, 0),
        ("tcga_brca", 28.9, 282.7, 0),
        ("tcga_gbmlgg", 19.2, 211.0, 0),
        ("tcga_luad", 21.9, 238.1, 10),
        ("tcga_ucec", 31.0, 225.3, 2),
    ],
)
def test_tcga_follow_up_and_blank_ages(
    shared: Path, cohort: str, median: float, longest: float, ageless: int
) -> None:
    cases = published(shared / "data" / cohort / "genomics.csv.gz").cases
    assert cases["time"].median() == pytest.approx(median, abs=0.0501)
    assert cases["time"].max() == pytest.approx(longest, abs=0.0501)
    assert cases["age"].isna().sum() == ageless
    assert (cases["site"] == cases.index.str[5:7]).all()


names = st.text("ABCXYZ", min_size=1, max_size=4)
numbers = st.floats(-1e6, 1e6, width=32)


@given(
    times=st.lists(st.floats(1e-3, 400), min_size=1, max_size=6),
    genes=st.dictionaries(names, numbers, min_size=1, max_size=5),
    order=st.randoms(use_true_random=False),
)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_tables_read_back_as_written_in_any_column_order(
    tmp_path: Path,
    times: list[float],
    genes: dict[str, float],
    order: Random,
) -> None:
    ids = [f"case-{i}" for i in range(len(times))]
    table = pd.DataFrame({"case_id": ids, "survival_months": times, "censorship": 0})
    for symbol, value in genes.items():
        table[f"{symbol}_rnaseq"] = np.float32(value) * np.arange(1, len(ids) + 1)
    shuffled = list(table.columns)
    order.shuffle(shuffled)
    path = tmp_path / "table.csv"
    table[shuffled].to_csv(path, index=False)
    read = read_table(path)
    assert read.cases["time"].tolist() == times
    expected = table[list(read.columns)].to_numpy(np.float64).astype(np.float32)
    assert np.array_equal(read.values, expected)


@given(data=st.binary(max_size=300))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_garbage_is_refused_not_crashed_on(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    with pytest.raises(CohortError):
        read_table(path)
