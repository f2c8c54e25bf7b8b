"""Submissions that somebody sent: hashed anew, so that nothing but the change is wrong."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from survbench.bench.setting import Setting
from survbench.report.submissions.pack import pack
from tests.bad_input.case import Case, Make, nothing
from tests.report.results import DATA, SPLIT, write_method
from tests.report.submissions.submitted import change_cells, change_predictions, seal

SUBMIT = "submit"  # renders the boards of leaderboards/ anew
SETTING = Setting(DATA, SPLIT, "paired", "none", "snn", 1, {}).id
PLACE = f"leaderboards/toy/snn/{SETTING}"


@cache
def packed() -> dict[str, bytes]:
    """Files of a sound submission of two fits."""
    with TemporaryDirectory() as made:
        top = Path(made)
        write_method(top / "results", "snn", setting=SETTING, folds=(0,), seeds=(0, 1))
        (top / "leaderboards").mkdir()
        pack(top / "results", top / "leaderboards")
        files = (top / PLACE).iterdir()
        return {file.name: file.read_bytes() for file in files}


def sound(folder: Path) -> Path:
    place = folder / PLACE
    place.mkdir(parents=True)
    for name, data in packed().items():
        (place / name).write_bytes(data)
    return place


def sent(change: Callable[[Path], object]) -> Make:
    """A submission changed by somebody who then hashes it anew."""

    def make(folder: Path) -> None:
        place = sound(folder)
        change(place)
        seal(place)

    return make


def file(name: str, content: bytes) -> Make:
    return sent(lambda place: (place / name).write_bytes(content))


def cells(change: Callable[[dict[str, Any]], object]) -> Make:
    def change_it(told: dict[str, Any]) -> None:
        change(told)

    return sent(lambda place: change_cells(place, change_it))


def record(**values: object) -> Make:
    """Other values in the record of the first fit."""
    return cells(lambda told: told["cells"][0]["record"].update(values))


def rows(change: Callable[[list[list[str]]], list[list[str]]]) -> Make:
    return sent(lambda place: change_predictions(place, change))


def cell(column: str, value: str) -> Make:
    """Another value in the first row of the predictions."""

    def change(table: list[list[str]]) -> list[list[str]]:
        table[1][table[0].index(column)] = value
        return table

    return rows(change)


def unsealed(name: str, content: bytes) -> Make:
    """A file that is not what its hash says."""
    return lambda folder: (sound(folder) / name).write_bytes(content)


def linked_file(folder: Path) -> None:
    place = sound(folder)
    (folder / "secret").write_text("password\n")
    (place / "train.csv").unlink()
    (place / "train.csv").symlink_to(folder / "secret")


def linked_folder(folder: Path) -> None:
    place = sound(folder)
    shutil.move(place, folder / "elsewhere")
    place.symlink_to(folder / "elsewhere")


def pipe(folder: Path) -> None:
    place = sound(folder)
    (place / "cells.json").unlink()
    os.mkfifo(place / "cells.json")


def named(*parts: str) -> Make:
    return lambda folder: (folder / "leaderboards").joinpath(*parts).mkdir(parents=True)


def listed(name: str) -> Make:
    """SHA256SUMS names one more file."""

    def make(folder: Path) -> None:
        with (sound(folder) / "SHA256SUMS").open("a") as sums:
            sums.write(f"{'0' * 64}  {name}\n")

    return make


def second_is_bad(folder: Path) -> None:
    """A sound board, and after it one that cannot be made."""
    sound(folder)
    cell("risk", "high")(folder / "other")
    text = (folder / "other" / PLACE / "cells.json").read_text()
    place = folder / f"leaderboards/zoo/snn/{SETTING}"
    shutil.copytree(folder / "other" / PLACE, place)
    shutil.rmtree(folder / "other")
    (place / "cells.json").write_text(text.replace('"cohort": "toy"', '"cohort": "zoo"'))
    seal(place)


BOMB = gzip.compress(b"0" * 2**20)
TEXT_LIMIT = ("survbench.report.submissions.untrusted.MAX_TEXT", 2**18)
DEEP = b'{"schema": 1, "cells": ' + b"[" * 100_000
CELLS, ROWS = f"{PLACE}/cells.json", f"{PLACE}/predictions.csv.gz"
FRESH = "take a fresh copy of the submission"
RUN = "run the cell again or take a fresh copy"

CASES = [
    # where it lies
    Case("no folder of submissions", nothing, SUBMIT, "no folder 'leaderboards'", "<cohort>/<meth"),
    Case(
        "results to nowhere",
        nothing,
        "submit . --to nowhere",
        "no folder 'nowhere'",
        "name one with --to",
    ),
    Case(
        "nothing to submit",
        nothing,
        "submit . --to .",
        "no finished fit to submit in .",
        "see 'survbench run --help'",
    ),
    Case(
        "nothing to verify",
        nothing,
        "leaderboard --verify .",
        "no submission below .",
        "name the folder 'leaderboards' of a checkout",
    ),
    Case(
        "verifying nowhere",
        nothing,
        "leaderboard --verify nowhere",
        "no folder 'nowhere'",
        "<cohort>/<method>/<setting>",
    ),
    *(
        Case(
            f"a submission whose {kind} is {what}",
            named(*parts),
            SUBMIT,
            f"{kind} {told} cannot name a submission",
            "letters, digits, '_', '-' and '.' can",
        )
        for kind, what, parts, told in (
            ("method", "the folder above", ("toy", "..snn", SETTING), "'..snn'"),
            ("method", "HTML", ("toy", "<b>snn<b>", SETTING), "'<b>snn<b>'"),
            ("setting", "no id", ("toy", "snn", "ABC"), "'ABC'"),
        )
    ),
    Case("a file behind a link", linked_file, SUBMIT, f"{PLACE}/train.csv is no plain file", FRESH),
    Case("a file that is a pipe", pipe, SUBMIT, f"{CELLS} is no plain file", FRESH),
    Case(
        "a submission behind a link",
        linked_folder,
        SUBMIT,
        f"{PLACE} is reached by a link",
        "made of plain folders",
    ),
    # its files
    *(
        Case(
            f"a submission that lists {what}",
            listed(name),
            SUBMIT,
            f"{PLACE}/SHA256SUMS must name",
            "and nothing else",
        )
        for what, name in (
            ("a file elsewhere", "../../../../../etc/passwd"),
            ("a file too many", "extra.csv"),
        )
    ),
    Case(
        "predictions that are not the hashed ones",
        unsealed("predictions.csv.gz", BOMB),
        SUBMIT,
        f"{ROWS} is damaged",
        "its sha256 is not the one in SHA256SUMS",
    ),
    Case(
        "a file larger than any submission needs",
        unsealed("train.csv", b"0" * 2**17),
        SUBMIT,
        "is larger than 0 MiB",
        "more than a submission can need",
        limit=("survbench.report.submissions.untrusted.MAX_FILE", 2**16),
    ),
    Case(
        "predictions that unpack to too much",
        file("predictions.csv.gz", BOMB),
        SUBMIT,
        f"{ROWS} unpacks to more than 0 MiB",
        FRESH,
        limit=TEXT_LIMIT,
    ),
    Case(
        "predictions that are no gzip",
        file("predictions.csv.gz", b"\x80\x04c"),
        SUBMIT,
        f"{ROWS} cannot be read",
        FRESH,
    ),
    Case(
        "predictions in Latin-1",
        file("predictions.csv.gz", gzip.compress(b"regime,seed,fold,\xe4\n")),
        SUBMIT,
        f"{ROWS} cannot be read",
        FRESH,
    ),
    # cells.json
    Case(
        "cells.json of brackets", file("cells.json", DEEP), SUBMIT, f"{CELLS} cannot be read", FRESH
    ),
    Case(
        "cells.json with an endless number",
        file("cells.json", b'{"schema": %s}' % (b"9" * 5000)),
        SUBMIT,
        f"{CELLS} cannot be read",
        FRESH,
    ),
    Case(
        "cells.json that is a list",
        file("cells.json", b"[1]"),
        SUBMIT,
        f"{CELLS} holds no object with 'schema' and 'cells'",
        FRESH,
    ),
    Case(
        "cells.json of a later survbench",
        cells(lambda told: told.update(schema=99)),
        SUBMIT,
        f"{CELLS} has schema 99, this survbench reads up to 1",
        "upgrade survbench",
    ),
    Case(
        "cells.json whose cells are a number",
        cells(lambda told: told.update(cells=5)),
        SUBMIT,
        f"{CELLS} must hold each seed and fold once",
        "pack the results again",
    ),
    Case(
        "cells.json with one fit twice",
        cells(lambda told: told["cells"].append(told["cells"][0])),
        SUBMIT,
        f"{CELLS} must hold each seed and fold once",
        "pack the results again",
    ),
    Case(
        "a record that lacks its edges",
        cells(lambda told: told["cells"][1]["record"].pop("edges")),
        SUBMIT,
        f"{CELLS} cell 1: no 'edges' in its record",
        FRESH,
    ),
    Case(
        "a record of another setting",
        cells(lambda told: told["cells"][1]["record"]["setting"].update(version=99)),
        SUBMIT,
        f"{CELLS} cell 1 is about toy/snn/",
        FRESH,
    ),
    Case(
        "a setting with a field of its own",
        cells(lambda told: told["cells"][0]["record"]["setting"].update(__class__="x")),
        SUBMIT,
        f"{CELLS} cell 0: its setting cannot be read",
        FRESH,
    ),
    *(
        Case(
            f"a record whose {key} {what}",
            record(**{key: value}),
            SUBMIT,
            f"{CELLS} cell 0: {key} is {told}",
            FRESH,
        )
        for key, what, value, told in (
            ("seed", "is a list", [1], "'[1]'"),
            ("fold", "is a word", "first", "'first'"),
            ("edges", "are words", ["0", "soon"], repr("['0', 'soon']")),
            ("edges", "fall", [0.0, 5.0, 1.0], "'[0.0, 5.0, 1.0]'"),
            ("test", "are nobody", None, "'None'"),
            ("left_out", "are a number", 3, "'3'"),
            ("modalities", "are a number", 2, "'2'"),
            ("contract", "is empty", {}, "'{}'"),
            ("cohort_info", "is a list", [], "'[]'"),
            ("changed", "is a text", "<script>", "'<script>'"),
        )
    ),
    Case(
        "refusals that are a list",
        cells(lambda told: told["cells"][0].update(refusals=["G"])),
        SUBMIT,
        f"{CELLS} cell 0: refusals",
        FRESH,
    ),
    # predictions.csv.gz and train.csv
    Case(
        "predictions without their key",
        rows(lambda table: [["a", *table[0][1:]], *table[1:]]),
        SUBMIT,
        f"{ROWS} row 1",
        "the first columns must be regime, seed, fold",
    ),
    Case(
        "a seed of five thousand digits",
        cell("seed", "9" * 5000),
        SUBMIT,
        f"{ROWS} row 2: seed '999",
        "need numbers",
    ),
    Case(
        "a predicted regime that is a path",
        cell("regime", "../../x"),
        SUBMIT,
        f"{ROWS} holds regime '../../x'",
        "write none, P, G",
    ),
    Case(
        "a patient who leads elsewhere",
        cell("case_id", "../../../etc/passwd"),
        SUBMIT,
        f"{ROWS}, regime none, seed 0, fold 0: case id '../../../etc/passwd'",
        "use letters, digits",
    ),
    Case(
        "a patient who is HTML",
        cell("case_id", "<img src=x onerror=alert(1)>"),
        SUBMIT,
        "case id '<img src=x onerror=alert(1)>'",
        "use letters, digits",
    ),
    Case(
        "a risk that is not a number",
        cell("risk", "nan"),
        SUBMIT,
        f"{ROWS}, row 2, column 'risk': 'nan'",
        "a finite number is needed",
    ),
    Case(
        "a survival above one",
        cell("survival_1", "1.5"),
        SUBMIT,
        f"{ROWS}, row 2, column 'survival_1': '1.5'",
        "falls from 1 towards 0",
    ),
    Case(
        "a time below zero",
        cell("time", "-3"),
        SUBMIT,
        f"{ROWS}, row 2, column 'time': '-3'",
        "months above 0 are needed",
    ),
    Case(
        "rows out of order",
        rows(lambda table: [*table, table[1]]),
        SUBMIT,
        "stands out of order",
        f"{ROWS} row",
    ),
    Case(
        "a row that is too short",
        rows(lambda table: [*table[:-1], table[-1][:-1]]),
        SUBMIT,
        "cells; the header has",
        f"{ROWS} row",
    ),
    Case(
        "training patients of no fold",
        file("train.csv", b"case_id,time,event,folds\na,1,1,7\n"),
        SUBMIT,
        f"{PLACE}/train.csv has no training patient of fold 0",
        FRESH,
    ),
    Case(
        "training patients that are no text",
        file("train.csv", b"case_id,time,event,folds\n\xff,1,1,0\n"),
        SUBMIT,
        f"{PLACE}/train.csv",
        RUN,
    ),
    Case(
        "a training patient who leads elsewhere",
        file("train.csv", b"case_id,time,event,folds\n../a,1,1,0 1\n"),
        SUBMIT,
        f"{PLACE}/train.csv: case id '../a'",
        "use letters, digits",
    ),
    # the boards
    Case(
        "one bad submission after a sound one",
        second_is_bad,
        SUBMIT,
        f"leaderboards/zoo/snn/{SETTING}/predictions.csv.gz, row 2, column 'risk': 'high'",
        "a number is needed",
    ),
]
