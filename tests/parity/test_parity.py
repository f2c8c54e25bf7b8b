from pathlib import Path

import numpy as np
import pytest

from tests.parity.__main__ import main
from tests.parity.fixture import checker_of, checkers, compare, read_fixture

FOLDER = Path("reference", "parity")

# Reference numbers we do not reproduce, because they contradict the rest of their own file.
DISPUTED = {"must_algebra": ["loss_warm_standard"]}


def altered(source: Path, target: Path, **changes: np.ndarray) -> Path:
    """Copy of a fixture with some arrays replaced or added ('__' stands for '/')."""
    with np.load(source, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays |= {name.replace("__", "/"): value for name, value in changes.items()}
    np.savez(target, **arrays)
    return target


@pytest.mark.parametrize("name", checkers())
def test_outputs_agree_with_the_reference(shared: Path, name: str) -> None:
    differences = compare(read_fixture(shared / FOLDER / f"{name}.npz"))
    assert differences
    wrong = [difference for difference in differences if not difference.good]
    assert [difference.output for difference in wrong] == DISPUTED.get(name, []), wrong


def test_the_disputed_number_contradicts_its_own_file(shared: Path) -> None:
    # A death costs -log S(y-1) more in the standard loss than in the literal one, so the standard
    # loss cannot be the smaller, whatever the network; from the recorded logits it is 3.958.
    fixture = read_fixture(shared / FOLDER / "must_algebra.npz")
    theirs = fixture.outputs
    assert theirs["loss_warm_standard"] < theirs["loss_warm_literal"]
    row, label, event = (
        np.arange(fixture.meta["n"]),
        fixture.inputs["label"],
        fixture.inputs["event"],
    )
    total = 0.0
    for name in ("warm_logits_P", "warm_logits_G"):
        hazard = 1 / (1 + np.exp(-theirs[name].astype(np.float64)))
        survival = np.cumprod(1 - hazard, axis=1)
        before = np.hstack([np.ones((len(row), 1)), survival])[row, label]
        died, lived = before * hazard[row, label], survival[row, label]
        total -= np.log(np.where(event == 1, died, lived)).mean()
    np.testing.assert_allclose(total, 3.958322, atol=1e-6)
    ours = checker_of(fixture.path, fixture.meta)(fixture)
    np.testing.assert_allclose(float(ours["loss_warm_standard"]), total, atol=1e-6)


def test_a_fixture_is_known_by_its_name_with_a_suffix(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = altered(shared / FOLDER / "mlp.npz", tmp_path / "mlp_2.npz")
    assert main([str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("mlp_2.npz: ") and line.endswith("ok") for line in lines)


def test_a_fixture_under_another_name_is_known_by_its_meta(shared: Path, tmp_path: Path) -> None:
    assert main([str(altered(shared / FOLDER / "snn.npz", tmp_path / "renamed.npz"))]) == 0


def test_a_number_that_is_off_fails(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(shared / FOLDER / "mlp.npz") as stored:
        risk = stored["output/risk"] + np.float32(1e-4)
    file = altered(shared / FOLDER / "mlp.npz", tmp_path / "mlp.npz", output__risk=risk)
    assert main([str(file)]) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if "FAIL" in line]
    assert len(wrong) == 1
    assert "risk" in wrong[0]
    assert "1.00e-04" in wrong[0]


@pytest.mark.parametrize("value", [np.full(5, np.nan), np.zeros(4)])
def test_a_value_that_is_none_or_of_another_shape_fails(
    shared: Path, tmp_path: Path, value: np.ndarray
) -> None:
    file = altered(shared / FOLDER / "mlp.npz", tmp_path / "mlp.npz", output__risk=value)
    assert main([str(file)]) == 1


def test_an_output_nobody_computes_fails(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = altered(shared / FOLDER / "mlp.npz", tmp_path / "mlp.npz", output__new=np.zeros(1))
    assert main([str(file)]) == 1
    assert "no checker for this output" in capsys.readouterr().out


def test_files_nobody_can_check_are_input_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "riddle.npz", meta=np.array('{"method": "riddle"}'))
    (tmp_path / "text.npz").write_text("no archive")
    for name, said in (("riddle", "no checker"), ("text", "no parity fixture"), ("gone", "gone")):
        assert main([str(tmp_path / f"{name}.npz")]) == 2
        assert said in capsys.readouterr().err
    assert main([]) == 2
