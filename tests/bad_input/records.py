"""Prediction files given to `survbench score`, cost reports, and cards."""

from __future__ import annotations

from pathlib import Path

from tests.bad_input.case import Case, nothing, text_file

HEADER = "case_id,time,event,risk,survival_1,survival_2"
ROWS = f"{HEADER}\na,12.5,1,0.3,0.9,0.5\nb,3.25,0,0.1,0.7,0.6\n"
SCORE = "score one.csv"
COST = "cost --read cost.json"
WRITE = "write one with 'survbench cost --out cost.json'"


def predictions(id: str, old: str, new: str, names: str, advises: str) -> Case:
    """A prediction file in which `old` became `new`."""
    assert old in ROWS
    text = ROWS.replace(old, new, 1)
    return Case(id, text_file("one.csv", text), SCORE, f"one.csv{names}", advises)


def report(id: str, content: str | bytes, names: str) -> Case:
    """A cost report that is none."""
    return Case(
        id, text_file("cost.json", content), COST, f"cost.json is no cost report{names}", WRITE
    )


def folder_as_file(folder: Path) -> None:
    (folder / "one.csv").mkdir()


FRESH = "take a fresh copy"
FALLS = "a survival curve falls from 1 towards 0 and never rises"

PREDICTIONS = [
    Case("no file to score", nothing, "score", "no file given", "name prediction files, such as"),
    Case("a file that does not exist", nothing, SCORE, "cannot read one.csv: No such file", FRESH),
    Case("a folder to score", folder_as_file, SCORE, "cannot read one.csv: Is a directory", FRESH),
    Case(
        "an empty file to score", text_file("one.csv", ""), SCORE, "one.csv has no patient", FRESH
    ),
    Case(
        "bytes to score", text_file("one.csv", b"\xff\xfe\x00"), SCORE, "cannot read one.csv", FRESH
    ),
    predictions("a file that breaks off", "0.6\n", "0.6", ", row 3: the file breaks off", FRESH),
    predictions("no risk", "risk", "score", ", row 1: no column 'risk'", "needed once each"),
    predictions("risk twice", "survival_1", "risk", ", row 1: column 'risk' twice", "needed once"),
    predictions("a curve with a gap", "val_2", "val_3", ": survival columns are", "1, 2, ... K"),
    predictions("a longer row", "0.6", "0.6,1", ", row 3: 7 cells", "the header has 6"),
    predictions(
        "a scored patient twice", "\nb,", "\na,", ", row 3, column 'case_id'", "a row already"
    ),
    predictions(
        "a scored event of two", ",1,0.3", ",2,0.3", ", row 2, column 'event': '2'", "0 or 1"
    ),
    predictions(
        "an infinite risk", "0.3", "inf", ", row 2, column 'risk': 'inf'", "a finite number"
    ),
    predictions(
        "a scored time of zero", "3.25", "0", ", row 3, column 'time': '0'", "months above 0"
    ),
    predictions(
        "a rising curve", "0.7,0.6", "0.7,0.8", ", row 3, column 'survival_2': '0.8'", FALLS
    ),
    predictions("a curve below zero", "0.5", "-0.5", ", row 2, column 'survival_2': '-0.5'", FALLS),
]

COSTS = [
    Case("a report of nowhere", nothing, "cost --read nowhere", "nowhere", "No such file"),
    report("a report that is no JSON", "{", ""),
    report("a report of bytes", b"\x80\x04\xff", ""),
    report("a report of brackets", "[" * 100_000, ""),
    report("a report that is a list", "[]", ""),
    report(
        "a report of rows of text", '{"schema": 1, "machine": {}, "protocol": {}, "rows": [5]}', ""
    ),
    report(
        "a report of patches in words",
        '{"schema": 1, "machine": {}, "protocol": {}, "rows": [{"method": "cox", "preset": "quick",'
        ' "device": "cpu", "patches": "many", "width": 4, "regime": "none"}]}',
        """: TypeError("patches is 'many'")""",
    ),
    report(
        "a report of a machine in words",
        '{"schema": 1, "machine": 3, "protocol": {}, "rows": []}',
        "",
    ),
    Case(
        "a report of a later survbench",
        text_file("cost.json", '{"schema": 99, "machine": {}, "protocol": {}, "rows": []}'),
        COST,
        "cost.json has schema 99, this survbench reads up to 1",
        "upgrade survbench",
    ),
    Case(
        "a report into a folder that does not exist",
        nothing,
        "cost --method cox --patches 9 --out gone/cost.json",
        "there is no folder gone",
        "make it first",
    ),
]

CARDS = [
    Case(
        "a card into a folder that does not exist",
        nothing,
        "cohort card demo --out gone/demo.card.json",
        "gone/demo.card.json",
        "No such file or directory",
    ),
]

CASES = PREDICTIONS + COSTS + CARDS
