import pytest
import torch

from survbench.report.cost.measure import QUANTITIES, Place, Subject, Task
from survbench.report.cost.patients import Sizes
from survbench.report.cost.worker import (
    OUT_OF_MEMORY,
    REFUSED,
    TIMEOUT,
    Answer,
    _Process,
    answer,
    is_out_of_memory,
    measured,
)

PLACE = Place(seconds=0.01, repeats=3)
SMALL = Sizes(10, 8, (3, 4))


def outcomes(task: Task, **limits: float | None) -> list[Answer]:
    found = measured([task], PLACE, **{"timeout": 100.0, "memory_gib": None, **limits})  # type: ignore[arg-type]
    return next(iter(found))[1]


def test_every_quantity_is_answered_from_another_process() -> None:
    found = outcomes(Task("abmil", "quick", SMALL))
    assert [each.quantity for each in found] == list(QUANTITIES)
    assert all(each.values and not each.outcome for each in found)


def test_too_little_memory_is_a_value() -> None:
    found = outcomes(Task("abmil", "quick", Sizes(2_000_000, 1024, (3,))), memory_gib=3.0)
    assert [each.outcome for each in found] == [OUT_OF_MEMORY]


def test_too_long_is_a_value() -> None:
    found = outcomes(Task("abmil", "quick", SMALL), timeout=0.01)
    assert [each.outcome for each in found] == [TIMEOUT]
    assert found[0].reason == "took longer than 0.01 seconds"


def test_a_process_that_is_killed_is_a_value_and_the_next_question_gets_another() -> None:
    process = _Process(PLACE, None)
    try:
        first, _ = process._living()
        first.kill()
        first.join()
        task = Task("abmil", "quick", SMALL)
        died = process.ask(task, "latency", 100.0)
        assert died.outcome == OUT_OF_MEMORY
        assert "killed by SIGKILL" in died.reason
        assert process.ask(task, "latency", 100.0).outcome == ""
    finally:
        process.end()


def test_a_refused_regime_ends_the_cell() -> None:
    found = outcomes(Task("abmil", "quick", SMALL, ("P",)))
    assert [each.outcome for each in found] == [REFUSED]


def test_an_error_is_told_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Subject, task: Task) -> dict[str, object]:
        msg = "the roof is leaking"
        raise RuntimeError(msg)

    monkeypatch.setattr(Subject, "_latency", broken)
    found = answer(Task("abmil", "quick", SMALL), "latency", PLACE, [])
    assert (found.outcome, found.reason) == ("failed", "RuntimeError: the roof is leaking")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_memory_errors_are_known_wherever_they_come_from(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
