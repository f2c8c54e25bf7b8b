"""Nothing is lost under faults; `python -m tests.faults` tries them all, as often as it takes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("processes are found and disks filled as Linux does it", allow_module_level=True)

from tests.faults.strikes import spread
from tests.faults.study import Study, study
from tests.faults.table import FAULTS, QUICK, Fault, render, tried

CASES = [
    pytest.param(fault, id=fault.kind, marks=() if fault.how == QUICK else pytest.mark.slow)
    for fault in FAULTS
]


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Study, Study]]:
    with study(tmp_path_factory.mktemp("study"), full=False) as both:
        yield both


@pytest.mark.parametrize("fault", CASES)
def test_the_promise_holds_under_a_fault(fault: Fault, studies: tuple[Study, Study]) -> None:
    assert tried(fault, studies, fault.few) == [""] * fault.few, fault.promise


def test_what_is_lost_is_found(studies: tuple[Study, Study], tmp_path: Path) -> None:
    here, _ = studies
    results = tmp_path / "results"
    assert here.finish(results) == ""
    assert here.lost_on_board(results) == ""
    prediction = next(results.glob("small/plain/*/*/predictions/none.csv"))
    text = prediction.read_text()
    prediction.write_text(text.replace(",1,", ",0,", 1))
    assert here.lost(results).endswith("none.csv differs")
    prediction.unlink()
    assert here.lost(results).endswith("none.csv is gone")
    prediction.write_text(text)
    (results / ".work").mkdir()
    (results / ".work" / "half").write_text("")
    assert here.lost(results) == ".work/half should not be there"


def test_steps_are_spread_over_the_whole_run() -> None:
    assert spread(9, 3) == [1, 5, 9]
    assert spread(3, 5) == [1, 2, 3]


def test_the_table_counts_what_was_lost() -> None:
    table = render([(FAULTS[0], ["", "a cell"]), (FAULTS[1], [""])]).splitlines()
    assert table[2].split()[-4:] == ["2", "1", "a", "cell"]
    assert table[3].split()[-3:] == ["1", "0", "nothing"]
    assert table[-1].split() == ["all", "3", "1"]
