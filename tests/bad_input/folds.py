"""Splits: files of folds, MCAT folders, and folds that do not fit their cohort."""

from __future__ import annotations

from pathlib import Path

from tests.bad_input.case import Case, Make, nothing, text_file

CHECK = "splits check folds.csv --cohort demo"


def folds(content: str | bytes) -> Make:
    return text_file("folds.csv", content)


def mcat(**changes: str | bytes) -> Make:
    """An MCAT folder of five patients, with the text of some files replaced."""

    def make(folder: Path) -> None:
        for k in range(5):
            others = [f"p{i}" for i in range(5) if i != k]
            rows = [f"{i},{case},{f'p{k}' if i == 0 else ''}\n" for i, case in enumerate(others)]
            text = changes.get(f"splits_{k}", ",train,val\n" + "".join(rows))
            text_file(f"mcat/splits_{k}.csv", text)(folder)

    return make


def short_mcat(folder: Path) -> None:
    mcat()(folder)
    (folder / "mcat/splits_3.csv").unlink()


MCAT = "splits check mcat --cohort demo"

CASES = [
    Case("splits of no name", nothing, "splits check nowhere", "unknown splits 'nowhere'", "Known"),
    Case(
        "splits of nearly a name",
        nothing,
        "run --method cox --splits tcga_laud",
        "unknown splits 'tcga_laud'",
        "Did you mean 'tcga_luad'?",
    ),
    Case(
        "splits that do not exist",
        nothing,
        CHECK,
        "splits file 'folds.csv' does not exist",
        "give a name, a CSV file or a folder",
    ),
    Case(
        "splits of no cohort",
        nothing,
        "splits check tcga_blca",
        "say of which cohort",
        "survbench splits check tcga_blca --cohort FOLDER",
    ),
    Case("empty splits", folds(""), CHECK, "folds.csv: cannot be read", "is it whole?"),
    Case(
        "splits without a case",
        folds("case_id,fold\n"),
        CHECK,
        "splits 'folds'",
        "at least one case",
    ),
    Case(
        "splits that are no text",
        folds(b"\xff\xfe\x00\x01" * 40),
        CHECK,
        "folds.csv: cannot be read",
        "is it whole?",
    ),
    Case(
        "splits under other names",
        folds("case,k\na,0\n"),
        CHECK,
        "folds.csv: needs the columns case_id and fold",
        "found case, k",
    ),
    Case(
        "two fold columns",
        folds("case_id,fold,fold\na,0,1\n"),
        CHECK,
        "folds.csv: column 'fold' stands twice",
        "keep one",
    ),
    Case(
        "a fold too many in a line",
        folds("case_id,fold\na,0\nb,1,2\n"),
        CHECK,
        "folds.csv: cannot be read",
        "Expected 2 fields in line 3, saw 3",
    ),
    *(
        Case(
            f"a fold that is {what}",
            folds(f"case_id,fold\na,0\nb,{fold}\n"),
            CHECK,
            f"folds.csv, line 3: case 'b' has fold '{fold}'",
            "every line needs a case id and a fold 0, 1, ...",
        )
        for what, fold in (
            ("blank", ""),
            ("text", "x"),
            ("below zero", "-1"),
            ("a fraction", "1.5"),
            ("larger than any integer", "9" * 40),
        )
    ),
    Case(
        "a fold of nobody",
        folds("case_id,fold\n,0\n"),
        CHECK,
        "folds.csv, line 2: case ''",
        "every line needs a case id",
    ),
    Case(
        "one case in two folds",
        folds("case_id,fold\na,0\na,1\n"),
        CHECK,
        "case 'a' stands twice",
        "give each patient one fold",
    ),
    Case(
        "an MCAT folder with a file missing",
        short_mcat,
        MCAT,
        "splits folder 'mcat' lacks splits_3.csv",
        "it needs all 5",
    ),
    Case(
        "an MCAT file under other names",
        mcat(splits_2=",a,b\n0,p1,p2\n"),
        MCAT,
        "splits_2.csv: needs the columns train and val",
        "found Unnamed: 0, a, b",
    ),
    Case(
        "an MCAT file that is no text",
        mcat(splits_2=b",train,val\n0,\xff,p2\n"),
        MCAT,
        "splits_2.csv: cannot be read",
        "is it whole?",
    ),
    Case(
        "an MCAT file with a test list",
        mcat(splits_2=",train,val,test\n0,p1,p2,p3\n"),
        MCAT,
        "splits_2.csv: has a test list",
        "whose val lists are the test sets",
    ),
    Case(
        "an MCAT case on both sides",
        mcat(splits_2=",train,val\n0,p2,p2\n"),
        MCAT,
        "splits_2.csv: case 'p2' is in train and in val",
        "give each patient one side",
    ),
    Case(
        "an MCAT case tested twice",
        mcat(splits_2=",train,val\n0,p1,p2\n1,,p0\n"),
        MCAT,
        "splits_2.csv: case 'p0' is tested here and in splits_0.csv",
        "must not overlap",
    ),
    Case(
        "an MCAT case never tested",
        mcat(splits_2=",train,val\n0,stranger,p2\n"),
        MCAT,
        "1 training cases are in no val list, first 'stranger'",
        "must cover all cases",
    ),
    Case(
        "splits of other patients",
        nothing,
        "run --method cox --splits tcga_blca",
        "splits 'tcga_blca' and cohort 'demo' have no case in common",
        "survbench splits make --cohort demo",
    ),
    Case(
        "splits that know one patient",
        folds("case_id,fold\nDEMO-0001,0\n"),
        "run --method cox --splits folds.csv",
        "no fold for 199 of 200 cases of cohort 'demo'",
        "survbench splits make --cohort demo",
    ),
    # making them
    Case(
        "one fold",
        nothing,
        "splits make --cohort demo --folds 1",
        "cannot make 1 folds of 200 cases",
        "give 2 to 200",
    ),
    Case(
        "more folds than patients",
        nothing,
        "splits make --cohort demo --folds 1000000000",
        "cannot make 1000000000 folds",
        "give 2 to 200",
    ),
    Case(
        "folds that share no site where no site is known",
        nothing,
        "splits make --cohort gse7390 --by-site",
        "site of case 'GSE7390-001' is unknown",
        "add a column site",
    ),
    Case(
        "splits that are there already",
        text_file("demo.csv", "mine\n"),
        "splits make --cohort demo",
        "demo.csv exists",
        "replace it with --force",
    ),
    Case(
        "splits into a folder that does not exist",
        nothing,
        "splits make --cohort demo --out gone/demo.csv",
        "there is no folder gone",
        "make it first",
    ),
]
