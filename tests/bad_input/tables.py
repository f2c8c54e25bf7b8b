"""Survival tables, gene groups, slide indexes and the options of `survbench cohort build`."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from pathlib import Path

from tests.bad_input.case import Case, Make, both, nothing, text_file

TABLE = """case_id,slide_id,survival_months,censorship,is_female,age,A_rnaseq,B_mut
A,a.svs,12.5,0,1,61,0.5,1
B,b.svs,3.25,1,0,70,-1.5,0
A,a2.svs,12.5,0,1,61,0.5,1
"""
BUILD = "cohort build out --table table.csv"
GROUPS = f"{BUILD} --signatures groups.csv"
BOMB = ("survbench.cohort.text_table.MAX_UNPACKED", 2**20)


def table(old: str = "", new: str = "") -> Make:
    """A sound table in which `old` became `new`."""
    assert old in TABLE
    return text_file("table.csv", TABLE.replace(old, new, 1) if old else TABLE)


def zipped(*members: tuple[str, str], flag: int = 0) -> Make:
    """table.csv.zip with these members; `flag` is set in their headers."""

    def make(folder: Path) -> None:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        raw = bytearray(data.getvalue())
        raw[raw.index(b"PK\x01\x02") + 8] |= flag
        raw[6] |= flag
        (folder / "table.csv.zip").write_bytes(bytes(raw))

    return make


def flipped_zip(folder: Path) -> None:
    """An archive whose content is not what its checksum says."""
    zipped(("table.csv", TABLE))(folder)
    path = folder / "table.csv.zip"
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\x01\x02") + 16  # the checksum in the directory
    raw[at] ^= 0xFF
    path.write_bytes(bytes(raw))


def sound_with(name: str, content: str | bytes) -> Make:
    return both(table(), text_file(name, content))


def dangling(folder: Path) -> None:
    (folder / "table.csv").symlink_to("gone.csv")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "table.csv")


def endless(folder: Path) -> None:
    (folder / "table.csv").symlink_to("/dev/zero")


CASES = [
    # the file
    Case("no table is named", nothing, "cohort build out", "'--table'", "Missing option"),
    Case("the table does not exist", nothing, BUILD, "no table at table.csv", "give a .csv"),
    Case("the table is a link to nothing", dangling, BUILD, "no table at table.csv", "give a .csv"),
    Case("the table is a pipe", pipe, BUILD, "no table at table.csv", "give a .csv"),
    Case("the table never ends", endless, BUILD, "no table at table.csv", "give a .csv"),
    Case("an empty table", text_file("table.csv", b""), BUILD, "table.csv", "is it whole?"),
    Case(
        "a header without rows",
        text_file("table.csv", TABLE.splitlines()[0] + "\n"),
        BUILD,
        "table.csv: the table has a header",
        "no rows",
    ),
    Case(
        "bytes that are no text",
        text_file("table.csv", bytes(range(256))),
        BUILD,
        "table.csv: cannot be read as a CSV",
        "is it whole?",
    ),
    Case(
        "a table in Latin-1",
        text_file("table.csv", TABLE.replace("a.svs", "\u00e4.svs", 1).encode("latin-1")),
        BUILD,
        "can't decode byte 0xe4",
        "is it whole?",
    ),
    Case(
        "a table in UTF-16",
        text_file("table.csv", TABLE.encode("utf-16")),
        BUILD,
        "table.csv: cannot be read as a CSV",
        "is it whole?",
    ),
    Case(
        "a column twice behind a byte order mark",
        text_file("table.csv", ("\ufeff" + TABLE).replace("slide_id", "case_id", 1)),
        BUILD,
        "table.csv: column 'case_id' stands twice",
        "keep one",
    ),
    Case(
        "a quote that never ends",
        table("B,b.svs", 'B,"b.svs'),
        BUILD,
        "table.csv: cannot be read as a CSV",
        "is it whole?",
    ),
    Case(
        "a row longer than the header",
        table("70,-1.5,0", "70,-1.5,0,9"),
        BUILD,
        "Expected 8 fields in line 3, saw 9",
        "is it whole?",
    ),
    Case(
        "every row longer than the header",
        text_file("table.csv", "case_id,survival_months,censorship\nA,1,0,7\nB,2,1,8\n"),
        BUILD,
        "table.csv: rows are longer than the header",
        "every column needs a name",
    ),
    # archives
    Case(
        "a gzip that breaks off",
        text_file("table.csv.gz", gzip.compress(TABLE.encode())[:-20]),
        f"{BUILD}.gz",
        "table.csv.gz: cannot be read as a CSV",
        "is it whole?",
    ),
    Case(
        "a gzip bomb",
        text_file("table.csv.gz", gzip.compress(TABLE.encode() + b"0" * 2**21)),
        f"{BUILD}.gz",
        "table.csv.gz",
        "unpacks to more than 1 MiB",
        limit=BOMB,
    ),
    Case(
        "a zip bomb",
        zipped(("table.csv", TABLE + "0" * 2**21)),
        f"{BUILD}.zip",
        "table.csv.zip",
        "unpacks to more than 1 MiB",
        limit=BOMB,
    ),
    Case(
        "an archive whose member leads elsewhere",
        zipped(("../../table.csv", TABLE)),
        f"{BUILD}.zip",
        "table.csv.zip: '../../table.csv'",
        "one plain .csv file",
        process=True,
    ),
    Case(
        "an archive of two tables",
        zipped(("a.csv", TABLE), ("b.csv", TABLE)),
        f"{BUILD}.zip",
        "table.csv.zip: 2 files",
        "one plain .csv file",
    ),
    Case(
        "an archive of nothing",
        text_file("table.csv.zip", b"PK\x05\x06" + bytes(18)),
        f"{BUILD}.zip",
        "table.csv.zip: 0 files",
        "one plain .csv file",
    ),
    Case(
        "an archive with a password",
        zipped(("table.csv", TABLE), flag=1),
        f"{BUILD}.zip",
        "table.csv.zip",
        "encrypted",
    ),
    Case(
        "an archive with a wrong checksum",
        flipped_zip,
        f"{BUILD}.zip",
        "table.csv.zip: cannot be read as a CSV",
        "is it whole?",
    ),
    # the columns
    Case(
        "a column twice",
        table("A_rnaseq", "B_mut"),
        BUILD,
        "table.csv: column 'B_mut' stands twice",
        "keep one",
    ),
    Case(
        "a needed column is missing",
        table("censorship", "status"),
        BUILD,
        "no column 'censorship'",
        "needed are case_id, survival_months, censorship",
    ),
    Case(
        "the time column that is named does not exist",
        table(),
        f"{BUILD} --time-column months",
        "no column 'months'",
        "needed are case_id, months, censorship",
    ),
    Case(
        "one column for time and for censoring",
        table(),
        f"{BUILD} --time-column censorship",
        "column 'censorship'",
        "name two columns",
    ),
    Case(
        "text in a gene column",
        table("0.5,1", "high,1"),
        BUILD,
        "column 'A_rnaseq' holds 'high' at line 2, case 'A'",
        "a number is needed",
    ),
    Case(
        "a number with an underscore",
        table("0.5,1", "1_000,1"),
        BUILD,
        "column 'A_rnaseq' holds '1_000' at line 2, case 'A'",
        "a number is needed",
    ),
    Case(
        "a decimal comma",
        table("-1.5,0", '"-1,5",0'),
        BUILD,
        "column 'A_rnaseq' holds '-1,5' at line 3, case 'B'",
        "a number is needed",
    ),
    Case(
        "a gene value is blank",
        table("-1.5,0", ",0"),
        BUILD,
        "column 'A_rnaseq' is blank at line 3, case 'B'",
        "fill it in or leave the column out",
    ),
    Case(
        "a gene value is infinite",
        table("-1.5,0", "inf,0"),
        BUILD,
        "column 'A_rnaseq' is infinite at line 3, case 'B'",
        "leave the column out",
    ),
    Case(
        "a gene value beyond single precision",
        table("-1.5,0", "1e300,0"),
        BUILD,
        "column 'A_rnaseq' is infinite at line 3, case 'B'",
        "leave the column out",
    ),
    # patients
    Case(
        "a time that is text",
        table("3.25", "soon"),
        BUILD,
        "column 'survival_months' holds 'soon' at line 3, case 'B'",
        "a number is needed",
    ),
    Case(
        "a time without end",
        table("3.25", "1e999"),
        BUILD,
        "survival_months is infinite at line 3, case 'B'",
        "give months",
    ),
    Case(
        "times in days",
        table("3.25", "2104"),
        BUILD,
        "survival_months is 2104 at line 3, case 'B'",
        "divide days by 30.44",
    ),
    Case(
        "no usable time",
        text_file("table.csv", TABLE.replace("12.5", "0").replace("3.25", "-1")),
        BUILD,
        "table.csv: no usable case among 2",
        "survival_months is 0, must be > 0",
    ),
    Case(
        "a censoring beyond 0 and 1",
        table("3.25,1", "3.25,2"),
        BUILD,
        "censorship is 2 at line 3, case 'B'",
        "allowed are 1 (censored) and 0 (died)",
    ),
    Case(
        "a sex that is no 0 or 1",
        table("3.25,1,0", "3.25,1,f"),
        BUILD,
        "is_female is 'f' at line 3, case 'B'",
        "allowed are 1 and 0",
    ),
    Case(
        "an age that is text",
        table(",70,", ",old,"),
        BUILD,
        "column 'age' holds 'old' at line 3, case 'B'",
        "a number is needed",
    ),
    Case(
        "two survival times of one patient",
        table("a2.svs,12.5", "a2.svs,13"),
        BUILD,
        "case 'A' has survival time 12.5 in line 2 but 13 in line 4",
        "must agree",
    ),
    Case(
        "two measurements of one patient",
        table("a2.svs,12.5,0,1,61,0.5", "a2.svs,12.5,0,1,61,0.6"),
        BUILD,
        "case 'A' has A_rnaseq 0.5 in line 2 but 0.6 in line 4",
        "must agree",
    ),
    # case ids
    *(
        Case(
            f"a case id that {what}",
            table("\nB,", f"\n{written},"),
            BUILD,
            f"table.csv, line 3: case id {told}",
            "use letters, digits, '.', '_' and '-'",
        )
        for what, written, told in (
            ("leads upwards", "../../B", "'../../B'"),
            ("is absolute", "/etc/passwd", "'/etc/passwd'"),
            ("is the folder above", "..", "'..'"),
            ("is HTML", "<script>alert(1)</script>", "'<script>alert(1)</script>'"),
            ("is blank", "", "''"),
            ("breaks the line", '"B\nC"', "'B\\nC'"),
            ("commands the terminal", "\x1b[2JB", "'\\x1b[2JB'"),
            ("is longer than a file name", "B" * 300, "'BBB"),
        )
    ),
    # gene groups
    Case(
        "gene groups that do not exist",
        table(),
        GROUPS,
        "no table at groups.csv",
        "give a .csv",
    ),
    Case(
        "gene groups of other genes",
        sound_with("groups.csv", "one,two\nX,Y\n"),
        GROUPS,
        "no gene column (A_rnaseq, B_mut, ...) is in any of the groups one, two",
        "columns are named SYMBOL_rnaseq",
    ),
    Case(
        "gene groups without a gene",
        sound_with("groups.csv", "one,two\n,\n"),
        GROUPS,
        "groups.csv: no gene symbols",
        "one column per group",
    ),
    Case(
        "one gene group under two spellings",
        sound_with("groups.csv", "one, one\nA,B\n"),
        GROUPS,
        "groups.csv: group 'one' stands twice",
        "keep one",
    ),
    # slide index
    Case(
        "a slide index without its columns",
        both(table(), text_file("p/a.h5", b""), text_file("index.csv", "slide,case\na,A\n")),
        f"{BUILD} --patches p --slide-index index.csv",
        "index.csv: no column 'case_id'",
        "a slide index has case_id and slide_id",
    ),
    Case(
        "a slide of two patients",
        both(
            table(),
            text_file("p/a.h5", b""),
            text_file("index.csv", "case_id,slide_id\nA,a.svs\nB,a\n"),
        ),
        f"{BUILD} --patches p --slide-index index.csv",
        "index.csv: slide 'a' belongs to 'A' and to 'B'",
        "keep one",
    ),
    # options
    Case(
        "nothing to predict from",
        text_file("table.csv", "case_id,survival_months,censorship\nA,1,0\n"),
        BUILD,
        "table.csv has no gene columns",
        "no patch features were given",
    ),
    *(
        Case(
            f"a horizon of {text}",
            table(),
            f"{BUILD} --horizon {text}",
            f"horizon_months is {text}",
            "must be above 0",
        )
        for text in ("nan", "-12.0")
    ),
    Case(
        "a modality to standardise that is not there",
        table(),
        f"{BUILD} --standardise Q",
        "standardise names 'Q'",
        "no bag modality",
    ),
    Case(
        "an encoder that may have seen TCGA",
        table(),
        f"{BUILD} --encoder-saw-tcga maybe",
        "encoder_saw_tcga is 'maybe'",
        "allowed are yes, no, unknown",
    ),
    Case(
        "a cohort name that is HTML",
        table(),
        f"{BUILD} --name '<script>alert(1)</script>'",
        "cohort name '<script>alert(1)</script>'",
        "use letters, digits, '.', '_' and '-'",
    ),
    Case(
        "a cohort name that leads elsewhere",
        table(),
        f"{BUILD} --name ../results",
        "cohort name '../results'",
        "use letters, digits, '.', '_' and '-'",
    ),
    Case(
        "default splits that do not exist",
        table(),
        f"{BUILD} --splits tcga_laud",
        "unknown splits 'tcga_laud'",
        "Did you mean 'tcga_luad'?",
    ),
    # where to
    Case(
        "a folder that is no cohort",
        both(table(), text_file("out/thesis.txt", "years of work")),
        f"{BUILD} --force",
        "out exists and is no cohort",
        "choose another place",
    ),
    Case(
        "a folder that holds a cohort",
        both(table(), text_file("out/cohort.toml", "schema = 1\n")),
        BUILD,
        "out already holds a cohort",
        "choose another place",
    ),
    Case(
        "a folder inside a file",
        both(table(), text_file("file", "")),
        "cohort build file/out --table table.csv",
        "could not write file/out",
        "nothing was left there",
    ),
]
