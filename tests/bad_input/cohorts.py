"""Cohort folders: cohort.toml, the tables and the arrays, changed by somebody who also reseals."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np

from survbench.cohort.write_folder import write_cohort
from tests.bad_input.case import Case, Make, both, nothing, text_file
from tests.cohort.test_folder import tiny

SHOW = "cohort show mine"
AGAIN = "build the cohort again"


@cache
def written() -> dict[str, bytes]:
    """Files of a sound cohort of four patients."""
    with TemporaryDirectory() as made:
        write_cohort(tiny(), Path(made, "mine"))
        return {path.name: path.read_bytes() for path in Path(made, "mine").iterdir()}


def sound(folder: Path) -> None:
    (folder / "mine").mkdir(exist_ok=True)
    for name, data in written().items():
        (folder / "mine" / name).write_bytes(data)


def toml(old: str, new: str) -> Make:
    """A cohort whose cohort.toml says something else."""

    def make(folder: Path) -> None:
        sound(folder)
        path = folder / "mine/cohort.toml"
        text = path.read_text()
        assert re.search(old, text)
        path.write_text(re.sub(old, lambda _: new, text, count=1))

    return make


def seal(cohort: Path, name: str) -> None:
    """Record a changed file as if it had always been so."""
    path = cohort / name
    status = path.stat()
    facts = {
        "sha256": f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"',
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
    }
    section = f'[files."{name}"]\n' + "".join(f"{key} = {value}\n" for key, value in facts.items())
    index = cohort / "cohort.toml"
    found = re.compile(rf'\[files\."{re.escape(name)}"\]\n(?:\w+ = .*\n)+')
    index.write_text(found.sub(lambda _: section, index.read_text()))


def changed(name: str, old: str, new: str) -> Make:
    """A cohort in which a table says something else."""

    def make(folder: Path) -> None:
        sound(folder)
        path = folder / "mine" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        seal(folder / "mine", name)

    return make


def rewritten(name: str, key: str, write: Callable[[h5py.File], object]) -> Make:
    """A cohort in which one array is another."""

    def make(folder: Path) -> None:
        sound(folder)
        path = folder / "mine" / name
        with h5py.File(path, "r+") as file:
            del file[key]
            write(file)
        seal(folder / "mine", name)

    return make


def array(name: str, key: str, values: object) -> Make:
    return rewritten(name, key, lambda file: file.__setitem__(key, values))


def link_to_other_file(file: h5py.File) -> None:
    file["features"] = h5py.ExternalLink("/etc/passwd", "features")


def absurd_rows(file: h5py.File) -> None:
    file.create_dataset("row", (10**12,), np.int64, chunks=(1000,))


def absurd_names(file: h5py.File) -> None:
    file.create_dataset("columns", (10**12,), h5py.string_dtype(), chunks=(1000,))


def objects(file: h5py.File) -> None:
    file["features"] = np.array([["a", "b"]], h5py.string_dtype())


def cut(folder: Path) -> None:
    """Features that say more bytes than their file has."""
    sound(folder)
    path = folder / "mine/P.h5"
    path.write_bytes(path.read_bytes()[:-8])
    seal(folder / "mine", "P.h5")


def line(text: str) -> Make:
    """A cohort.toml with one more line at its top."""
    return toml(r"^", f"{text}\n")


CASES = [
    Case("a cohort folder of nothing", nothing, "cohort check .", ". is no cohort folder", "build"),
    Case(
        "a cohort that is a file",
        text_file("mine", "x"),
        SHOW,
        "'mine' is no cohort folder",
        "make one with 'survbench cohort build'",
    ),
    Case("a cohort.toml that is no TOML", toml("^", "= 5\n"), SHOW, "mine/cohort.toml", AGAIN),
    Case(
        "a cohort.toml of brackets",
        both(sound, text_file("mine/cohort.toml", "x = " + "[" * 5000)),
        SHOW,
        "mine/cohort.toml: not readable",
        AGAIN,
    ),
    Case(
        "a cohort.toml that is no text",
        both(sound, text_file("mine/cohort.toml", b"name = '\xff'")),
        SHOW,
        "mine/cohort.toml: not readable",
        AGAIN,
    ),
    Case(
        "a cohort.toml with an endless number",
        line(f"more = {'9' * 5000}"),
        SHOW,
        "mine/cohort.toml: not readable",
        AGAIN,
    ),
    Case(
        "a cohort of a later survbench",
        toml("schema = 1", "schema = 99"),
        SHOW,
        "mine/cohort.toml: schema 99",
        "upgrade survbench",
    ),
    Case(
        "a cohort without files",
        text_file("mine/cohort.toml", "schema = 1\n[modalities]\n"),
        "run --method cox --cohort mine",
        "mine/cohort.toml: no [files] or [modalities]",
        AGAIN,
    ),
    Case(
        "a cohort that lists a file elsewhere",
        toml(r"\[files\.\"cases.csv\"\]", '[files."../../x"]\nsize = 0\n[files."cases.csv"]'),
        SHOW,
        "mine/cohort.toml: '../../x' is not listed as it must be",
        AGAIN,
    ),
    Case(
        "a modality that is a path",
        toml(r"\[modalities\.P\]", '[modalities."../P"]'),
        SHOW,
        "mine/cohort.toml: '../P.h5' is not listed",
        AGAIN,
    ),
    Case(
        "a modality of no kind",
        toml('kind = "bags"', 'sort = "bags"'),
        SHOW,
        "mine/P.h5: cannot be read ('kind')",
        AGAIN,
    ),
    Case(
        "a file whose size is a word",
        toml(r"(?<=\[files\.\"P.h5\"\]\n)(sha256 = .*\n)size = \d+", 'size = "large"'),
        SHOW,
        "mine/P.h5 changed since the cohort was built",
        "restore it or build the cohort again",
    ),
    *(
        Case(f"a cohort whose {id}", toml(old, new), SHOW, f"mine/cohort.toml: {names}", AGAIN)
        for id, old, new, names in (
            ("name is HTML", "(?m)^name = .*", 'name = "<script>"', "name is '<script>'"),
            ("name is a number", "(?m)^name = .*", "name = 7", "name is 7"),
            ("horizon is a word", "horizon_months = .*", 'horizon_months = "soon"', "horizon_mo"),
            ("horizon is nan", "horizon_months = .*", "horizon_months = nan", "horizon_months is"),
            ("splits are a list", "default_splits = .*", "default_splits = [1]", "default_splits"),
            ("standardised is nobody", "standardise = .*", 'standardise = ["Q"]', "standardise is"),
        )
    ),
    # tables
    Case(
        "a cohort whose table was changed",
        both(sound, text_file("mine/cases.csv", "case_id,time,event\np1,1,1\n")),
        SHOW,
        "mine/cases.csv changed since the cohort was built",
        "restore it or build the cohort again",
    ),
    Case(
        "a cohort whose table is gone",
        both(sound, lambda folder: (folder / "mine/dropped.csv").unlink()),
        SHOW,
        "mine/dropped.csv is missing",
        AGAIN,
    ),
    Case(
        "a cohort case that leads elsewhere",
        changed("cases.csv", "p2", "../../p2"),
        SHOW,
        "mine/cases.csv, line 3: case id '../../p2'",
        "use letters, digits",
    ),
    Case(
        "a cohort case twice",
        changed("cases.csv", "p2", "p1"),
        SHOW,
        "case 'p1' stands twice",
        "one row per patient",
    ),
    Case(
        "a cohort time below zero",
        changed("cases.csv", "12.0", "-12.0"),
        SHOW,
        "mine/cases.csv: time of case 'p2' must be > 0",
        AGAIN,
    ),
    Case(
        "a cohort event that is a word",
        changed("cases.csv", "12.0,0", "12.0,dead"),
        SHOW,
        "mine/cases.csv: event of case 'p2'",
        "must be 0 or 1",
    ),
    Case(
        "a cohort age without end",
        changed("cases.csv", "61.5", "inf"),
        SHOW,
        "mine/cases.csv: column 'age' is infinite in line 2",
        "give finite numbers",
    ),
    Case(
        "a cohort that drops in other columns",
        changed("dropped.csv", "slide_id", "slide"),
        SHOW,
        "mine/dropped.csv: no column 'slide_id'",
        "needed are case_id, reason, slide_id",
    ),
    # arrays
    Case("cohort features that break off", cut, SHOW, "mine/P.h5: cannot be read", AGAIN),
    Case(
        "cohort features in another file",
        rewritten("P.h5", "features", link_to_other_file),
        SHOW,
        "mine/P.h5: P: 'features' is a link",
        "survbench reads only what is inside the file",
    ),
    Case(
        "cohort features that are texts",
        rewritten("P.h5", "features", objects),
        SHOW,
        "mine/P.h5: features hold object",
        "not numbers",
    ),
    Case(
        "cohort features of double precision",
        array("P.h5", "features", np.zeros((6, 3))),
        SHOW,
        "mine/P.h5: features must be float16 or float32",
        "found float64",
    ),
    Case(
        "a bag that begins outside",
        array("P.h5", "start", np.array([0, 0, 2**62, 4])),
        SHOW,
        "mine/P.h5: a bag begins or ends outside the 6 patches",
        AGAIN,
    ),
    Case(
        "a bag of a fraction of a patch",
        array("P.h5", "length", np.array([1, 0, 2.5, 2])),
        SHOW,
        "mine/P.h5: length must be whole numbers (n,)",
        AGAIN,
    ),
    Case(
        "a trillion patients with genes",
        rewritten("G.h5", "row", absurd_rows),
        SHOW,
        "mine/G.h5: G: row claim 8000000000000 bytes, 0 are stored",
        "forged or cut off",
    ),
    Case(
        "a trillion gene names",
        rewritten("G.h5", "columns", absurd_names),
        SHOW,
        "mine/G.h5: G: columns claim",
        "forged or cut off",
    ),
    Case(
        "genes of a patient who is not there",
        array("G.h5", "row", np.array([0, 1, 9, -1])),
        SHOW,
        "mine/G.h5: rows reach past the 3 patients with genes",
        AGAIN,
    ),
    Case(
        "a gene group of columns that are not there",
        array("G.h5", "group_columns", np.array([1, 0, 99, 0])),
        SHOW,
        "mine/G.h5: cannot be read (index 99 is out of bounds",
        AGAIN,
    ),
    Case(
        "gene groups that do not add up",
        array("G.h5", "group_sizes", np.array([2, -1])),
        SHOW,
        "mine/G.h5: gene groups of 4 columns do not add up",
        AGAIN,
    ),
    Case(
        "fewer patients than the table has",
        array("G.h5", "row", np.array([0, 1])),
        SHOW,
        "mine/G.h5: 2 patients, but 4 in cases.csv",
        AGAIN,
    ),
]
