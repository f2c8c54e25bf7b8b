"""The `survbench` command: its subcommands, and what an error looks like.

Exit codes: 0 done, 1 something failed (it is named), 2 wrong input.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

import survbench
from survbench.bench.disk import FULL
from survbench.cli.boards import leaderboard, score, submit
from survbench.cli.check import check
from survbench.cli.cohorts import cohort
from survbench.cli.console import DONE, FAILED, INTERRUPTED, WRONG_INPUT, Commands, say
from survbench.cli.cost import cost
from survbench.cli.folds import splits
from survbench.cli.methods import methods
from survbench.cli.new_method import new_method
from survbench.cli.plot import plot
from survbench.cli.reproduce import reproduce
from survbench.cli.run import run
from survbench.errors import InputError, PluginError, SurvbenchError


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
        say("interrupted; what is finished stays, the same command continues")
        return INTERRUPTED
    except click.ClickException as error:
        return _explain(error, error.format_message(), WRONG_INPUT, debug=debug)
    except Exception as error:  # the border: nobody should see a traceback unasked
        return _explain(error, *_in_words(error), debug=debug)
    return code if isinstance(code, int) else DONE


def _in_words(error: Exception) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    if isinstance(error, SurvbenchError):
        wrong = isinstance(error, (InputError, PluginError))
        return str(error), WRONG_INPUT if wrong else FAILED
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", WRONG_INPUT
    if isinstance(error, OSError) and error.errno in FULL:  # stdout's, too
        return f"cannot write: {error.strerror}; make room and run the same command again", FAILED
    kind = type(error).__name__
    return f"unexpected {kind}: {error}; please report it with what --debug shows", FAILED


def _explain(error: Exception, message: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    line = " ".join(message.split())
    say("error: " + "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line))
    return code


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(survbench.__version__, message="survbench %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Benchmark multimodal survival methods when a modality is missing."""


for command in (
    run,
    leaderboard,
    submit,
    score,
    methods,
    cohort,
    splits,
    check,
    cost,
    plot,
    new_method,
    reproduce,
):
    cli.add_command(command)
