from dataclasses import replace

from survbench.report import render
from survbench.score.bootstrap import Comparison
from tests.report.tables.test_formats import DASH, ROW


def body(text: str) -> list[str]:
    """Lines of the first table between its outer rules."""
    inside = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    return inside.splitlines()[1:]


def line_of(text: str, method: str) -> str:
    (found,) = (line for line in body(text) if f"{{{method}}}" in line)
    return found


def test_every_line_has_the_same_columns_and_braces_are_balanced() -> None:
    text = render([ROW, DASH], "latex")
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert text.isascii()
    lines = [line for line in body(text) if "&" in line.replace(r"\&", "")]
    assert len({line.replace(r"\&", "").count("&") for line in lines}) == 1
    assert r"0.612 $\pm$ 0.035" in text
    assert r"snn\_100\%" in text


def test_what_tex_would_read_is_printed_as_it_stands() -> None:
    text = render([replace(DASH, reason=r'a|b ~^\$&#_{} <"> --set')], "latex")
    wanted = (
        r"a\textbar{}b \textasciitilde{}\textasciicircum{}\textbackslash{}\$\&\#\_\{\} "
        r"\textless{}''\textgreater{} -{}-set"
    )
    assert wanted in text


def test_the_best_is_bold_and_the_second_underlined_among_ranked_rows() -> None:
    rows = [
        replace(ROW, method="site", c_index=0.9),
        replace(ROW, method="cox", c_index=0.7, mark="*"),
        replace(ROW, method="abmil", c_index=0.65),
        replace(ROW, method="must", c_index=0.6),
        replace(ROW, method="partial", c_index=0.8, about=replace(ROW.about, whole=False)),
    ]
    text = render(rows, "latex")
    assert r"{\textbf{0.700} $\pm$ 0.035*}" in line_of(text, "cox")
    assert r"{\underline{0.650} $\pm$ 0.035}" in line_of(text, "abmil")
    for method in ("site", "must", "partial"):
        assert r"\textbf" not in line_of(text, method)
        assert r"\underline" not in line_of(text, method)
    assert "second underlined" in text


def test_numbers_that_look_the_same_are_emphasised_alike() -> None:
    values = {"cox": 0.70001, "abmil": 0.69999, "must": 0.6}
    text = render([replace(ROW, method=m, c_index=v) for m, v in values.items()], "latex")
    assert r"\textbf{0.700}" in line_of(text, "cox")
    assert r"\textbf{0.700}" in line_of(text, "abmil")
    assert r"\underline{0.600}" in line_of(text, "must")


def test_a_method_alone_in_its_regime_is_not_the_best_of_anything() -> None:
    text = render([ROW, replace(ROW, method="cox", regime="P")], "latex")
    assert r"\textbf" not in text
    assert "second underlined" not in text


def test_emphasis_starts_anew_in_every_regime_and_headings_tell_them_apart() -> None:
    rows = [
        replace(ROW, method=method, regime=regime, c_index=value)
        for regime, values in (("none", (0.7, 0.6)), ("P", (0.55, 0.53)))
        for method, value in zip(("cox", "must"), values, strict=True)
    ]
    text = render(rows, "latex")
    bold = [line for line in body(text) if r"\textbf" in line]
    assert [r"\textbf{0.700}" in bold[0], r"\textbf{0.550}" in bold[1]] == [True, True]
    headings = [line for line in body(text) if r"\textit" in line]
    assert "nothing missing at test" in headings[0]
    assert "P missing at test" in headings[1]


def test_a_dagger_stands_only_where_the_corrected_comparison_is_significant() -> None:
    def row(method: str, p_holm: float) -> object:
        made = Comparison(0.1, 0.05, 0.15, 0.001, p_holm)
        about = replace(ROW.about, comparison=made, reference="cox", family=2)
        return replace(ROW, method=method, about=about)

    text = render([ROW, row("must", 0.049), row("smil", 0.051)], "latex")  # type: ignore[list-item]
    assert r"$^\dagger$" in line_of(text, "must")
    assert r"$^\dagger$" not in line_of(text, "smil")
    assert r"$^\dagger$" not in line_of(text, "abmil")


def test_the_caption_counts_patients_deaths_folds_and_seeds() -> None:
    text = render([ROW], "latex")
    caption = text[text.index(r"\caption") : text.index(r"\footnotesize")]
    for told in ("200 test patients", "90 deaths", "5 folds", "seeds 0"):
        assert told in caption


def test_no_rows_are_told_in_words() -> None:
    assert "no results yet" in render([], "latex")
    assert "no results yet" in render([], "latex", "paper")
