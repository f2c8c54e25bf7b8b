"""`survbench check` as it is typed."""

import pytest

from survbench.check import PROMISES
from survbench.cli import main
from tests.check.broken import DividesBySpread, Honest

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def _given(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every name be the method of the test."""
    monkeypatch.setattr("survbench.registry.get_method", lambda name: request.param)


@pytest.mark.parametrize("_given", [Honest], indirect=True)
@pytest.mark.usefixtures("_given")
def test_a_kept_promise_is_one_line_and_exit_code_0(capsys: Capture) -> None:
    assert main(["check", "honest", "--quick"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(PROMISES) + 1
    assert lines[4] == "ok              Risk is finite, one per patient, in the cohort's order"
    assert lines[-1].startswith("honest: 25 ok, 4 not applicable, 2 not tried; ")


@pytest.mark.parametrize("_given", [DividesBySpread], indirect=True)
@pytest.mark.usefixtures("_given")
def test_a_broken_promise_is_told_with_its_reason_and_exit_code_1(capsys: Capture) -> None:
    assert main(["check", "spread", "--quick"]) == 1
    broken = [line for line in capsys.readouterr().out.splitlines() if line.startswith("BROKEN")]
    assert len(broken) == 1
    assert "no column varies: SurvbenchError: " in broken[0]
    assert "a risk that is not finite" in broken[0]


def test_an_unknown_method_is_wrong_input(capsys: Capture) -> None:
    assert main(["check", "abmli"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown method 'abmli'. Did you mean")
