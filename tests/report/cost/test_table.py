from survbench.report.cost.table import line_of, render_report
from tests.report.cost.reports import report, row

CENSUS = [
    {"operator": "fft_r2c", "calls": 1, "elements": 512, "simple": False},
    {"operator": "softmax", "calls": 1, "elements": 4096, "simple": True},
]


def line(text: str, start: str) -> str:
    return next(each for each in text.splitlines() if each.startswith(start))


def test_numbers_have_three_digits_and_a_unit() -> None:
    measured = row(
        parameters=920_069, flops=3_222_538_240, macs=1_611_269_120, median_ms=12.345, calls=20
    )
    words = line(render_report(report(measured)), "abmil").split()
    assert words[:4] == ["abmil", "none", "1,000", "1024"]
    assert words[4:10] == ["920", "k", "3.22", "G", "1.61", "G"]
    assert words[10:13] == ["-", "12.3", "-"]


def test_out_of_memory_and_timeouts_stand_in_the_row() -> None:
    text = render_report(
        report(
            row(patches=200_000, outcome="out of memory", reason="latency needs more memory"),
            row(patches=50, outcome="timeout", reason="took longer than 3 seconds"),
        )
    )
    assert "out of memory" in line(text, "abmil")
    assert "missing none: timeout, took longer than 3 seconds (abmil)" in text


def test_a_regime_the_method_refuses_is_a_dash_with_its_reason() -> None:
    text = render_report(
        report(
            row(
                regime="P",
                outcome="refused",
                reason="1 of 1 test patients lack P, which abmil needs",
            )
        )
    )
    assert set(line(text, "abmil").split()[4:]) == {"-"}
    assert "lack P, which the method needs (abmil)" in text


def test_reasons_are_told_once_for_all_methods_they_concern() -> None:
    why = {"flops": "not counted: no torch network"}
    text = render_report(report(row("cox", missing=why), row("switch", missing=why)))
    assert text.count("no torch network") == 1
    assert "(cox, switch)" in text


def test_the_census_stands_beside_the_number_and_marks_heavy_operators() -> None:
    text = render_report(report(row(flops=10, macs=5, uncounted=CENSUS)))
    assert "abmil (none, 1,000 patches): fft_r2c! 512, softmax 4.1 k" in text


def test_the_head_names_device_threads_clock_and_versions() -> None:
    first = render_report(report(row())).splitlines()[0]
    for told in ("Abacus 3000", "2 threads of 4 cores", "float32", "2500.0 MHz", "torch 2.13.0"):
        assert told in first


def test_a_step_is_shown_with_its_patients_and_a_filled_row_with_its_mark() -> None:
    text = render_report(report(row(mark="*", regime="G", step_ms=12.0, step_patients=4)))
    assert "G *" in line(text, "abmil")
    assert line(text, "abmil").endswith("12 / 4")


def test_progress_is_one_line() -> None:
    assert line_of(row(median_ms=2.0, flops=1000)) == (
        "abmil, 1000 patches x 1024, missing none: 2 ms, 1 k FLOP"
    )
