"""`survbench leaderboard`, `submit` and `score`: predictions to numbers, here and committed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from survbench.cli.console import DONE, FAILED, listed, say
from survbench.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from survbench.report import Row
    from survbench.report.leaderboard import Scored

FORMATS = "text, github, latex, csv or json"
LAYOUTS = "board: all numbers; paper: methods by cohorts"
COMMITTED = "the committed folder"
SUBMISSIONS = "leaderboards"


@click.command()
@click.option("--results", type=Path, help="Folder that 'survbench run' wrote.")
@click.option("--cohort", help="Only this cohort.")
@click.option("--format", default="text", show_default=True, help=FORMATS)
@click.option("--layout", default="board", show_default=True, help=LAYOUTS)
@click.option("--control", is_flag=True, help="Only the negative controls.")
@click.option("--contrasts", is_flag=True, help="Added value, loss and rescue of each method.")
@click.option("--ledger", is_flag=True, help="The papers' numbers beside these.")
@click.option("--site", type=Path, help="Write all of it as a static site into this folder.")
@click.option(
    "--verify",
    is_flag=False,
    flag_value=COMMITTED,
    metavar="[FOLDER]",
    help="Recompute the boards of a folder of submissions, and name what disagrees.",
)
def leaderboard(
    results: Path | None,
    cohort: str | None,
    format: str,
    layout: str,
    control: bool,
    contrasts: bool,
    ledger: bool,
    site: Path | None,
    verify: str | None,
) -> int:
    """Show the committed leaderboards, or those of a results folder, scored anew."""
    views = {"verify": verify, "site": site, "control": control, "contrasts": contrasts}
    chosen = [f"--{name}" for name, asked in {**views, "ledger": ledger}.items() if asked]
    if verify is not None and (results is not None or len(chosen) > 1):
        msg = "--verify stands alone: it recomputes a folder of submissions"
        raise InputError(msg)
    if len(chosen) > 1:
        msg = f"{' and '.join(chosen)} show different things; give one of them"
        raise InputError(msg)
    if (format, layout) != ("text", "board") and any(views.values()):
        msg = f"{chosen[0]} has no other format or layout; leave --format and --layout out"
        raise InputError(msg)
    if verify is not None:
        return _verify(verify, cohort)

    if site is not None:
        from survbench.report.site import publish

        publish(site, results=results, cohort=cohort)
        print(f"open {site / 'index.html'}")
        return DONE
    if control or contrasts:
        print(_control(results, cohort) if control else _contrasts(results, cohort), end="")
        return DONE

    from survbench.report import render
    from survbench.report.ledger import ledger as beside
    from survbench.report.ledger import render_ledger

    # a wrong format is told before the scoring
    _ = render_ledger([], format) if ledger else render([], format, layout)
    rows = _rows(results, cohort)
    text = render_ledger(beside(rows), format) if ledger else render(rows, format, layout)
    print(text, end="")
    return DONE


def _rows(results: Path | None, cohort: str | None) -> Sequence[Row]:
    """Committed rows, or those of a results folder; never both."""
    from survbench.report import leaderboard as rows_of
    from survbench.report.submissions.rendered import rendered_rows

    if results is None:
        return rendered_rows(cohort)
    rows = rows_of(results, cohort=cohort)
    if cohort is not None and not rows:
        from survbench.bench.cell import find_cells

        known = {cell.cohort for cell in find_cells(results)}
        kind, see = "cohort in these results", f"'survbench leaderboard --results {results}'"
        raise UnknownNameError(kind, cohort, known, see)
    return rows


def _control(results: Path | None, cohort: str | None) -> str:
    """Table of the negative controls, of a results folder or of the committed ones."""
    from survbench.report.control import control_rows, permutations, render_control
    from survbench.report.submissions.permutations import committed_permutations

    if results is None:
        return render_control(control_rows(committed_permutations(cohort)))
    from survbench.bench.cell import find_cells

    return render_control(control_rows(permutations(find_cells(results, cohort))))


def _contrasts(results: Path | None, cohort: str | None) -> str:
    """Table of paired differences, of a results folder or of the committed submissions."""
    from survbench.report.contrasts import contrast_rows, render_contrasts

    return render_contrasts(contrast_rows(entries_of(results, cohort)))


def entries_of(results: Path | None, cohort: str | None) -> list[Scored]:
    """Rows with their predictions, of a results folder or of the committed submissions."""
    from survbench.report.leaderboard import scored_rows
    from survbench.report.submissions.rendered import committed_entries

    return committed_entries(cohort) if results is None else scored_rows(results, cohort=cohort)


def _verify(folder: str, cohort: str | None) -> int:
    """Say whether everything below a folder follows from its submissions."""
    from survbench.report.submissions.rendered import committed
    from survbench.report.submissions.verify import verify

    root = Path(str(committed())) if folder == COMMITTED else Path(folder)
    found = verify(root, cohort)
    for line in found.wrong:
        say(f"wrong: {line}")
    what = [
        _counted(found.boards, "board"),
        _counted(found.submissions, "submission"),
        _counted(found.rows, "row"),
    ]
    how = _counted(len(found.wrong), "disagreement") if found.wrong else "every number follows"
    print(f"{', '.join(what)} recomputed: {how}")
    return FAILED if found.wrong else DONE


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


@click.command()
@click.argument("results", required=False, type=Path)
@click.option(
    "--to", default=SUBMISSIONS, show_default=True, type=Path, help="Folder of submissions."
)
@click.option("--cohort", help="Only this cohort.")
@click.option("--method", multiple=True, help="Only these methods.")
@click.option("--setting", multiple=True, help="Only these setting ids.")
def submit(
    results: Path | None,
    to: Path,
    cohort: str | None,
    method: Sequence[str],
    setting: Sequence[str],
) -> int:
    """Pack the RESULTS of 'survbench run' for a pull request and render their boards.

    Without RESULTS every board is only rendered anew from the submissions that are there.
    """
    from survbench.report.submissions.pack import pack
    from survbench.report.submissions.submission import find_submissions
    from survbench.report.submissions.verify import render_boards

    if results is None:
        cohorts = {one.cohort for one in find_submissions(to, cohort)}
    else:
        packed = pack(results, to, cohort=cohort, methods=listed(method), settings=listed(setting))
        cohorts = {one.submission.cohort for one in packed.submissions}
        for one in packed.submissions:
            what = "written" if one.changed else "there already"
            print(f"{one.submission.place}: {one.fits} fits, {one.size / 1000:.0f} kB, {what}")
        for name, count in packed.permutations.items():
            print(f"control/{name}.csv: {count} permutations")
        if packed.permutations and not cohorts:
            return DONE
    if not cohorts:
        msg = f"no finished fit to submit in {results or to}; see 'survbench run --help'"
        raise InputError(msg)
    render_boards(to, sorted(cohorts))
    return max(_verify(str(to), name) for name in sorted(cohorts))


@click.command()
@click.argument("files", nargs=-1, type=Path)
def score(files: Sequence[Path]) -> None:
    """Score prediction files one by one; no features are needed."""
    from survbench.report.files import render_files, score_files

    print(render_files(score_files(files)), end="")
