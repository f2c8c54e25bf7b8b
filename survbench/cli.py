"""The command line: parse, call, print.

Exit codes: 0 done, 1 something failed (it is named), 2 wrong input.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import survbench
from survbench.errors import InputError, SurvbenchError, UnknownNameError

if TYPE_CHECKING:
    from survbench.bench.plan import Plan

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
_FORMATS = "text, github, latex, csv or json"
_Command = TypeVar("_Command", bound=Callable[..., Any])


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        words = [word for word in words if word != "--debug"]
        code = cli.main(words, prog_name="survbench", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted; what is finished stays, the same command continues")
        return INTERRUPTED
    except click.ClickException as error:
        return _explain(error, error.format_message(), WRONG_INPUT, debug=debug)
    except Exception as error:  # the border: nobody should see a traceback unasked
        return _explain(error, *_in_words(error), debug=debug)
    return code if isinstance(code, int) else DONE


def _in_words(error: Exception) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    if isinstance(error, SurvbenchError):
        return str(error), WRONG_INPUT if isinstance(error, InputError) else FAILED
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", WRONG_INPUT
    kind = type(error).__name__
    return f"unexpected {kind}: {error}; please report it with what --debug shows", FAILED


def _explain(error: Exception, message: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    _say("error: " + " ".join(message.split()))
    return code


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Commands(click.Group):
    """Commands that answer a wrong name with the closest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command the first word names."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            kind, see = "command", f"'{ctx.command_path} --help'"
            raise UnknownNameError(kind, args[0], self.list_commands(ctx), see)
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(survbench.__version__, message="survbench %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Benchmark multimodal survival methods when a modality is missing."""


def _listed(text: Sequence[str]) -> tuple[str, ...]:
    """Values given as a,b or by repeating the option, each once."""
    parts = [part.strip() for value in text for part in value.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))


def _whole_numbers(option: str, text: Sequence[str]) -> tuple[int, ...]:
    numbers = []
    for part in _listed(text):
        if not part.isdecimal():
            msg = f"{option}: {part!r} is not a whole number from 0; write {option} 0,1"
            raise InputError(msg)
        numbers.append(int(part))
    return tuple(numbers)


# --- run and leaderboard ---


@cli.command()
@click.option("--method", "methods", multiple=True, required=True, help="NAME[,NAME] or all.")
@click.option("--missing", multiple=True, help="Test regimes besides none: P, G, P@0.4, ...")
@click.option("--cohort", default="demo", show_default=True, help="Name or cohort folder.")
@click.option("--splits", help="Name, CSV file or MCAT folder; default: as the cohort says.")
@click.option("--folds", multiple=True, help="Default: all.")
@click.option("--seed", "seeds", multiple=True, default=("0",), show_default=True)
@click.option("--population", default="paired", show_default=True, help="paired or all.")
@click.option("--train-missing", default="none", show_default=True, help="Training regime.")
@click.option("--preset", help="quick, standard or paper; default: quick for embedded cohorts.")
@click.option("--set", "changes", multiple=True, help="[METHOD.]key=value of a config; repeat.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--jobs", type=int, help="Processes at once; default: cores / threads.")
@click.option("--threads", type=int, default=1, show_default=True, help="Threads of a cell.")
@click.option("--timeout", type=float, metavar="MIN", help="Minutes a cell may take.")
@click.option("--retry-failed", is_flag=True, help="Try kept failures again.")
@click.option("--dry-run", is_flag=True, help="Only list the cells there are to do.")
@click.option("--results", type=Path, default=Path("results"), show_default=True)
def run(
    methods: Sequence[str],
    missing: Sequence[str],
    folds: Sequence[str],
    seeds: Sequence[str],
    changes: Sequence[str],
    dry_run: bool,
    **rest: Any,
) -> int:
    """Fit methods on every fold and predict every regime; finished cells are kept."""
    from survbench.bench.plan import Request, make_plan

    request = Request(
        methods=_listed(methods),
        missing=_listed(missing),
        folds=_whole_numbers("--folds", folds) if folds else None,
        seeds=_whole_numbers("--seed", seeds),
        changes=tuple(changes),
        **rest,
    )
    plan = make_plan(request)
    for note in plan.notes:
        _say(note)
    if dry_run:
        for task in plan.todo:
            print(f"{task.cell.place}: {', '.join(task.cell.missing(task.regimes))}")
        print(f"{len(plan.todo)} of {len(plan.tasks)} cells to do")
        return DONE
    return _carry_out(plan)


def _carry_out(plan: Plan) -> int:
    """Run a plan, print the table of its own rows and what failed."""
    from survbench.bench.execute import execute
    from survbench.bench.progress import shown
    from survbench.report import leaderboard, render

    kept = len(plan.tasks) - len(plan.todo)
    if kept:
        _say(f"{kept} of {len(plan.tasks)} cells are there already")
    with shown(sys.stderr, len(plan.todo)) as watcher:
        execute(plan, watcher)
    rows = leaderboard(plan.results, cohort=plan.ground.cohort.name, settings=plan.settings)
    print(render([row for row in rows if row.regime in plan.regimes]), end="")
    failures = plan.failures()
    for failure in failures:
        _say(f"failed: {failure}")
    if failures:
        _say("try again what failed with --retry-failed")
    return FAILED if failures else DONE


@cli.command()
@click.option("--results", type=Path, required=True, help="Folder that 'survbench run' wrote.")
@click.option("--cohort", help="Only this cohort.")
@click.option("--format", default="text", show_default=True, help=_FORMATS)
def leaderboard(results: Path, cohort: str | None, format: str) -> None:
    """Score the predictions in a results folder and show its leaderboards."""
    from survbench.bench.cell import find_cells
    from survbench.report import leaderboard as rows_of
    from survbench.report import render

    render([], format)  # a wrong format is told before the scoring
    rows = rows_of(results, cohort=cohort)
    if cohort is not None and not rows:
        known = {cell.cohort for cell in find_cells(results)}
        kind, see = "cohort in these results", f"'survbench leaderboard --results {results}'"
        raise UnknownNameError(kind, cohort, known, see)
    print(render(rows, format), end="")


@cli.command()
@click.argument("files", nargs=-1, type=Path)
def score(files: Sequence[Path]) -> None:
    """Score prediction files one by one; no features are needed."""
    from survbench.report.files import render_files, score_files

    print(render_files(score_files(files)), end="")


# --- methods ---


@cli.command()
@click.argument("name", required=False)
def methods(name: str | None) -> None:
    """List the methods with their papers, or show one: what it is, needs, and its config."""
    from survbench.registry import list_methods

    if name is not None:
        print(_described(name))
        return
    entries = list_methods()
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        print(f"{entry.name:{width}}  {entry.summary}")
        if entry.paper:
            print(f"{'':{width}}    {entry.paper}")


def _described(name: str) -> str:
    """Docstring, contract, config and presets of a method."""
    from dataclasses import fields
    from inspect import getdoc, getmodule

    from survbench.registry import get_method

    method = get_method(name)
    lines = [getdoc(getmodule(method)) or getdoc(method) or "", ""]
    declared = {
        "version": method.version,
        "uses": _names(method().uses),
        "tolerates": _names(method.tolerates),
        "trains without": _names(method.trains_without),
        "fill": method.fill or "nothing",
    }
    lines += [f"{key}: {value}" for key, value in declared.items()]
    config, known = method.preset("standard"), fields(method.Config)
    lines += ["", "config (preset standard):" if known else "config: nothing to set"]
    lines += [
        f"  {each.name}={getattr(config, each.name)}  ({_type_name(each.type)})" for each in known
    ]
    for preset, values in method.presets.items():
        lines.append(f"preset {preset}: {' '.join(f'{k}={v}' for k, v in values.items())}")
    return "\n".join(lines)


def _type_name(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _names(declared: frozenset[str]) -> str:
    return "every modality" if "*" in declared else ", ".join(sorted(declared)) or "nothing"


# --- cohort ---


@cli.group(cls=_Commands)
def cohort() -> None:
    """Build, check and show cohorts."""


@cohort.command("list")
def list_cohorts_() -> None:
    """List the cohorts that come with survbench."""
    from survbench.cohort.catalogue import list_cohorts, load_cohort

    for name in list_cohorts():
        known = load_cohort(name)
        print(f"{name:14} {len(known):4} patients, {known.event.sum():4} deaths: {known.info.note}")


@cohort.command()
@click.argument("source")
def show(source: str) -> None:
    """Show what a cohort (a name or a folder) holds."""
    from survbench.cohort.catalogue import load_cohort
    from survbench.cohort.folder import describe

    for key, value in describe(load_cohort(source)).items():
        if isinstance(value, dict):
            print(f"{key}:")
            for name, inner in value.items():
                print(f"  {name}: {_flat(inner)}")
        else:
            print(f"{key}: {_flat(value)}")


def _flat(value: object) -> str:
    """Value on one line."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {_flat(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


@cohort.command()
@click.argument("folder", type=Path)
def check(folder: Path) -> int:
    """Hash and look through everything in a cohort folder."""
    from survbench.cohort.folder import check_cohort, read_index

    read_index(folder)
    found = check_cohort(folder)
    for line in found:
        _say(f"wrong: {line}")
    if not found:
        print(f"{folder}: sound")
    return FAILED if found else DONE


def _build_options(command: _Command) -> _Command:
    """Options of `cohort build`, as parameters of `survbench.cohort.build.build_cohort`."""
    options = [
        click.option("--table", required=True, help="Survival and genomics, MCAT or PORPOISE CSV."),
        click.option("--signatures", help="Gene groups, one column each."),
        click.option("--patches", help="Packed .h5, or folder of slide features."),
        click.option("--patch-format", help="auto, h5, pt or packed."),
        click.option("--slide-index", help="CSV with case_id and slide_id."),
        click.option("--frozen-slides", is_flag=True, help="Keep slides of frozen tissue too."),
        click.option("--standardise", multiple=True, help="Bag modalities to standardise."),
        click.option("--encoder", default="", help="Patch encoder."),
        click.option("--encoder-saw-tcga", default="unknown", help="yes, no or unknown."),
        click.option("--preprocessing", "cohort_level_preprocessing", default=""),
        click.option("--provenance", default="", help="Where the data come from."),
        click.option("--note", default="", help="Said wherever the cohort is shown."),
        click.option("--endpoint", default="overall survival", show_default=True),
        click.option("--time-column", default="survival_months", show_default=True),
        click.option("--censor-column", default="censorship", show_default=True),
        click.option("--ignore", multiple=True, help="Columns that are no measurements."),
        click.option("--horizon", "horizon_months", type=float, help="Months of Uno's C and AUC."),
        click.option("--splits", "default_splits", help="Default splits: a name or a file."),
        click.option("--name", help="Name of the cohort; default: the folder's."),
        click.option("--force", is_flag=True, help="Replace an existing cohort folder."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@cohort.command()
@click.argument("folder", type=Path)
@_build_options
def build(folder: Path, **options: Any) -> None:
    """Build a cohort folder from a table, gene groups and patch features."""
    from survbench.cohort.build import build_cohort
    from survbench.cohort.folds import read_splits

    for name in ("standardise", "ignore"):
        options[name] = _listed(options[name])
    if options["default_splits"] is not None:
        folds = read_splits(options["default_splits"]).fold
        options["folds"] = {str(case): int(fold) for case, fold in folds.items()}
    for line in build_cohort(folder, **options).lines():
        print(line)


# --- splits ---


@cli.group(cls=_Commands)
def splits() -> None:
    """Make and check folds."""


@splits.command("list")
def list_splits_() -> None:
    """List the folds that come with survbench."""
    from survbench.cohort.folds import list_splits, read_splits

    for name in list_splits():
        folds = read_splits(name)
        print(f"{name:20} {len(folds):5} cases, {len(folds.numbers)} folds, {folds.hash[:12]}")


@splits.command()
@click.option("--cohort", "source", required=True, help="Name or cohort folder.")
@click.option("--out", type=Path, help="CSV file; default: <cohort>.csv.")
@click.option("--folds", type=int, default=5, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--by-site", is_flag=True, help="Folds that share no tissue source site.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def make(
    source: str,
    out: Path | None,
    folds: int,
    seed: int,
    by_site: bool,
    force: bool,
) -> None:
    """Make folds of a cohort's patients, balanced by event and time, or by site."""
    from survbench.cohort.catalogue import load_cohort
    from survbench.cohort.folds import fold_table, make_folds, make_site_folds, write_folds

    cohort = load_cohort(source)
    name = f"{cohort.name}.site" if by_site else cohort.name
    path = out or Path(f"{name}.csv")
    if path.exists() and not force:
        msg = f"{path} exists; name another file with --out, or replace it with --force"
        raise InputError(msg)
    if by_site:
        made = make_site_folds(cohort.cases, folds=folds, name=path.stem)
    else:
        balance = cohort.paired
        made = make_folds(cohort.cases, folds, name=path.stem, seed=seed, balance=balance)
    write_folds(made, path)
    print(fold_table(made, cohort.cases).to_string())
    print(f"{path}: {len(made)} cases, hash {made.hash[:12]}")


@splits.command("check")
@click.argument("name")
@click.option("--cohort", "source", help="Name or cohort folder; default: the splits' name.")
@click.option("--by-site", is_flag=True, default=None, help="They must share no site.")
def check_splits(name: str, source: str | None, by_site: bool | None) -> int:
    """Check that folds keep their promises for a cohort."""
    from survbench.cohort.catalogue import list_cohorts, load_cohort
    from survbench.cohort.folds import check_folds, read_splits

    folds = read_splits(name)
    if source is None and name not in list_cohorts():
        msg = f"say of which cohort: survbench splits check {name} --cohort FOLDER"
        raise InputError(msg)
    findings = check_folds(folds, load_cohort(source or name).cases, by_site=by_site)
    for finding in findings:
        mark = "ok" if finding.passed else "FAILED" if finding.required else "note"
        print(f"{mark}: {finding.text}")
    broken = any(finding.required and not finding.passed for finding in findings)
    return FAILED if broken else DONE
