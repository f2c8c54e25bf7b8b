"""Figures: what is drawn follows from the predictions, and files hold what a page needs."""

import re
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from sksurv.metrics import concordance_index_censored

from survbench.errors import ResultError, UnknownNameError
from survbench.report.cost import CostReport, CostRow
from survbench.report.figures import (
    Drawing,
    calibration,
    cost,
    degradation,
    forest,
    km,
    km_grid,
    plots,
)
from survbench.report.figures.drawing import apart, file_name, month_ticks
from survbench.report.leaderboard import Scored
from survbench.score import FoldPredictions
from tests.report.tables.test_formats import DASH, ROW
from tests.score.simulated import fold as simulated

SVG = "{http://www.w3.org/2000/svg}"


def scored(
    method: str = "abmil", regime: str = "none", stream: int = 0, **changes: object
) -> Scored:
    """A row of three folds and its predictions."""
    folds = tuple(simulated(number, stream=stream) for number in range(3))
    about = replace(ROW.about, folds=(0, 1, 2), horizon=12.0)
    row = replace(ROW, method=method, regime=regime, folds=3, about=about)
    return Scored(replace(row, **changes), folds)  # type: ignore[arg-type]


def unscored(method: str, regime: str) -> Scored:
    return Scored(replace(DASH, method=method, regime=regime))


def joined(folds: Sequence[FoldPredictions]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time, event, and who is above the median risk of their fold."""
    high = [cell.risk > np.median(cell.risk) for cell in folds]
    return (
        np.concatenate([cell.time for cell in folds]),
        np.concatenate([cell.event for cell in folds]),
        np.concatenate(high),
    )


def steps(axes: Axes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Corners of each line."""
    return [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in axes.lines]


def texts(drawing: Drawing) -> list[str]:
    return [str(node.text) for node in ET.fromstring(drawing.svg()).iter(f"{SVG}text")]


def test_km_draws_the_curves_of_lifelines_while_ten_are_at_risk() -> None:
    entry = scored()
    time, event, high = joined(entry.folds)
    last = np.sort(time)[-10]
    axes = km(entry).figure.axes[0]
    assert axes.get_xlim() == (0, last)
    for (x, y), members in zip(steps(axes), (~high, high), strict=True):
        model = KaplanMeierFitter().fit(time[members], event[members])
        at = np.linspace(0, min(x[-1], last) * 0.999, 50)
        drawn = y[np.searchsorted(x, at, side="right") - 1]
        assert drawn == pytest.approx(model.predict(at).to_numpy(), abs=1e-12)


def test_km_tells_p_groups_and_patients_at_risk() -> None:
    entry = scored()
    time, event, high = joined(entry.folds)
    p = logrank_test(time[high], time[~high], event[high], event[~high]).p_value
    drawing = km(entry)
    assert f"log-rank p = {p:.0e} (nominal)" in drawing.alt
    assert f"high risk {high.sum()} patients with {event[high].sum()} deaths" in drawing.alt
    shown = texts(drawing)
    assert shown.count(str(high.sum())) >= 1
    assert str((time[high] >= 12).sum()) in shown
    assert str((time[~high] >= 12).sum()) in shown


def test_km_at_the_training_cut_needs_what_was_recorded() -> None:
    entry = scored()
    with pytest.raises(ResultError, match="was not recorded"):
        km(entry, "train")
    folds = tuple(replace(cell, train_median_risk=0.5) for cell in entry.folds)
    high = sum(int((cell.risk > 0.5).sum()) for cell in folds)
    drawing = km(replace(entry, folds=folds), "train")
    assert f"high risk {high} patients" in drawing.alt
    assert "median risk in training" in drawing.alt


def test_calibration_of_equal_predictions_is_one_point_at_kaplan_meier() -> None:
    entry = scored()
    half = [np.full_like(cell.survival, 0.5) for cell in entry.folds]
    edges = np.array([0.0, 12.0, 24.0, 36.0])
    folds = tuple(
        replace(cell, survival=each, edges=edges)
        for cell, each in zip(entry.folds, half, strict=True)
    )
    drawing = calibration(replace(entry, folds=folds))
    months = float(re.findall(r"at (\d+) months", drawing.title)[0])
    time, event, _ = joined(folds)
    observed = KaplanMeierFitter().fit(time, event).predict(months)
    assert f"0.50 predicted, {observed:.2f} observed" in drawing.alt
    assert "of 1 groups" in drawing.alt


def test_calibration_without_survival_says_why() -> None:
    entry = scored()
    folds = tuple(replace(cell, survival=None) for cell in entry.folds)
    with pytest.raises(ResultError, match="no calibration of abmil, nothing missing: fold 0"):
        calibration(replace(entry, folds=folds))


def harrell(folds: Sequence[FoldPredictions]) -> float:
    each = [
        concordance_index_censored(cell.event, cell.time, cell.risk, tied_tol=1e-8)[0]
        for cell in folds
    ]
    return float(np.mean(each))


def test_a_degradation_curve_runs_from_the_complete_to_the_missing_c_index() -> None:
    whole, lacking = scored(), scored(regime="P", stream=7)
    drawing = degradation([whole, lacking], "P")
    share, drawn = steps(drawing.figure.axes[0])[0]
    assert share[[0, -1]].tolist() == [0, 100]
    assert drawn[0] == pytest.approx(harrell(whole.folds), abs=1e-12)
    assert drawn[-1] == pytest.approx(harrell(lacking.folds), abs=1e-12)
    assert f"abmil from {drawn[0]:.3f} [" in drawing.alt


@pytest.mark.parametrize("methods", [2, 5, 7])
def test_degradation_shows_every_method_however_many(methods: int) -> None:
    entries = [
        scored(f"m{i}", regime, stream, setting=f"s{i}")
        for i in range(methods)
        for stream, regime in ((i, "none"), (50 + i, "P"))
    ]
    shown = texts(degradation(entries, "P"))
    assert all(f"m{i}" in shown for i in range(methods))


def test_degradation_without_both_regimes_says_what_is_there() -> None:
    with pytest.raises(ResultError, match=r"'none' and for 'G'; there are P, none"):
        degradation([scored(), scored(regime="P")], "G")


def test_a_forest_has_each_c_index_its_interval_and_a_dash_for_none() -> None:
    rows = [
        replace(ROW, method="site", c_index=0.6),
        replace(ROW, method="cox", c_index=0.7, c_index_low=0.65, c_index_high=0.75, mark="*"),
        replace(DASH, regime="none"),
    ]
    drawing = forest(rows)
    (axes,) = drawing.figure.axes
    bars = [x.tolist() for x, _ in steps(axes) if len(x) == 2]
    assert [0.65, 0.75] in bars
    drawn = zip(steps(axes), axes.lines, strict=True)
    points = {float(x[0]): line for (x, _), line in drawn if len(x) == 1}
    assert set(points) == {0.6, 0.7}
    assert points[0.6].get_marker() == "s"  # never ranked
    assert points[0.7].get_markerfacecolor() == "white"  # filled in
    assert "-" in texts(drawing)
    assert "cox 0.700*" in drawing.alt


def test_a_grid_has_a_panel_for_each_method_cohort_and_regime() -> None:
    entries = [
        scored("cox"),
        scored("cox", "P"),
        scored("cox", cohort="other"),
        scored("must", stream=1),
        unscored("must", "P"),
    ]
    drawing = km_grid(entries)
    panels = drawing.figure.axes
    assert len(panels) == 2 * 3
    assert sum(len(axes.lines) == 2 for axes in panels) == 4
    assert "must on toy with P missing: no number" in drawing.alt


def test_a_grid_refuses_two_rows_for_one_panel() -> None:
    with pytest.raises(ResultError, match="settings aaa and bbb of abmil on toy would share"):
        km_grid([scored(setting="aaa"), scored(setting="bbb")])


def test_cost_draws_what_was_measured_and_names_what_is_there() -> None:
    rows = tuple(
        CostRow("must", "standard", "cpu", patches, 1024, "none", median_ms=ms)
        for patches, ms in ((1000, 3.0), (4000, 9.0))
    )
    report = CostReport({}, {}, rows)
    drawing = cost(report)
    (axes,) = drawing.figure.axes
    ((x, y),) = steps(axes)
    assert (x.tolist(), y.tolist()) == ([1000, 4000], [3.0, 9.0])
    assert "must 9 at 4000 patches" in drawing.alt
    with pytest.raises(ResultError, match="with P missing: the report has none"):
        cost(report, "P")


def test_an_svg_is_the_same_again_and_holds_no_date() -> None:
    first, second = km(scored()).svg(), km(scored()).svg()
    assert first == second
    assert "<dc:date>" not in first
    assert re.search(r"20\d\d-\d\d-\d\d", first) is None


def test_ids_of_two_figures_in_one_page_never_clash_and_every_reference_has_its_target() -> None:
    seen: set[str] = set()
    for drawing in (km(scored()), km(scored(stream=1)), forest([ROW])):
        text = drawing.svg()
        ids = re.findall(r'\sid="([^"]+)"', text)
        references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)
        assert len(ids) == len(set(ids))
        assert not seen & set(ids)
        assert {a or b for a, b in references} <= set(ids)
        assert references
        seen |= set(ids)


def test_an_svg_carries_its_title_and_words_and_is_one_element() -> None:
    drawing = km(scored())
    root = ET.fromstring(drawing.svg())
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    named = str(root.get("aria-labelledby")).split()
    told = {node.get("id"): node.text for node in root if node.get("id") in named}
    assert [told[each] for each in named] == [drawing.title, drawing.alt]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a"b', "$x_1$ $", "x\ny", "../up"])
def test_a_name_is_text_whatever_it_holds(name: str, tmp_path: Path) -> None:
    drawing = km(scored(name))
    assert "<script" not in drawing.svg()
    assert any(" ".join(name.split()) in each for each in texts(drawing))
    (path,) = drawing.save(tmp_path / "out", ["svg"])
    assert path.parent == tmp_path / "out"
    assert [each.name for each in tmp_path.rglob("*.svg")] == [path.name]


@pytest.mark.parametrize("changed", ["", "diffusion_steps=2 epochs=1 warm_epochs=1", "x" * 300])
@pytest.mark.parametrize("draw", [km, calibration])
def test_a_row_of_any_name_leaves_room_for_its_curves(
    draw: Callable[[Scored], Drawing], changed: str
) -> None:
    figure = draw(scored(changed=changed)).figure
    figure.draw_without_rendering()
    axes, whole = figure.axes[0], figure.bbox
    assert axes.get_window_extent().width > 0.5 * whole.width
    assert axes.get_window_extent().height > 0.5 * whole.height
    notes = [text for text in axes.texts if isinstance(text, Annotation) and text.xy == (0, 1)]
    assert 2 <= len(notes) <= 4
    ends = [text.get_window_extent().x1 / whole.width for text in notes]
    assert max(ends) < 1.02  # letters drawn in pixels are a little wider than their outlines


def test_a_png_is_as_wide_as_a_column_at_300_dots_per_inch(tmp_path: Path) -> None:
    (path,) = km(scored()).save(tmp_path, ["png"])
    width = struct.unpack(">I", path.read_bytes()[16:20])[0]
    assert width == pytest.approx(8.5 / 2.54 * 300, abs=1)


def test_settings_of_matplotlib_are_those_of_the_reader_afterwards() -> None:
    with mpl.rc_context({"font.size": 31.0, "svg.fonttype": "path", "text.usetex": True}):
        before = dict(mpl.rcParams)
        mine = km(scored()).svg()
        assert dict(mpl.rcParams) == before
    assert mine == km(scored()).svg()


def test_figures_do_not_load_pyplot() -> None:
    script = (
        "import sys; from survbench.report.figures import forest; "
        "from tests.report.tables.test_formats import ROW; forest([ROW]).png(); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    made = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert made.stdout.strip() == "False"


def test_plots_skip_rows_without_a_figure_and_have_names_of_their_own() -> None:
    entries = [
        scored(setting="aaa"),
        scored(setting="bbb"),
        unscored("snn", "G"),
    ]
    names = [drawing.name for drawing in plots("km", entries)]
    assert len(set(names)) == 2
    assert all("abmil" in name for name in names)
    with pytest.raises(ResultError, match="no curves of snn, G missing: it"):
        plots("km", [unscored("snn", "G")])


def test_an_unknown_kind_of_plot_is_refused_with_a_hint() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'forest'"):
        plots("forst", [])


def test_names_keep_their_order_and_their_distance() -> None:
    assert apart([0.0, 5.0, 9.0], 1, 0, 10) == [0.0, 5.0, 9.0]
    assert apart([3.0, 3.0, 3.0], 1, 0, 10) == [3.0, 4.0, 5.0]
    assert apart([10.0, 9.9], 1, 0, 10) == [10.0, 9.0]


def test_ticks_are_whole_half_years() -> None:
    assert month_ticks(30) == [0, 6, 12, 18, 24, 30]
    assert month_ticks(100) == [0, 24, 48, 72, 96]


def test_file_names_are_plain() -> None:
    assert file_name("km", "a/b c", "P@0.4") == "km-a_b_c-P@0.4"
