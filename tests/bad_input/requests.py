"""Regimes, configs, names and numbers on the command line."""

from __future__ import annotations

from tests.bad_input.case import Case, nothing, text_file

COX = "run --method cox"
MISSING = f"{COX} --missing"
GRAMMAR = "write none, P, G, P@0.4 or P@0.3+G@0.3"


def told(id: str, command: str, names: str, advises: str) -> Case:
    """The command line alone is wrong."""
    return Case(id, nothing, command, names, advises)


REGIMES = [
    told("a rate above one", f"{MISSING} P@2", "regime 'P@2': rate 2 is outside 0 to 1", GRAMMAR),
    told("a rate below zero", f"{MISSING} P@-0.1", "cannot read 'P@-0.1'", GRAMMAR),
    told("a rate that is a word", f"{MISSING} P@half", "cannot read 'P@half'", GRAMMAR),
    told("a rate that is not a number", f"{MISSING} P@nan", "cannot read 'P@nan'", GRAMMAR),
    told("a rate of two points", f"{MISSING} P@0.3.1", "'0.3.1' is not a number", GRAMMAR),
    told("no rate behind the sign", f"{MISSING} P@", "cannot read 'P@'", GRAMMAR),
    told("a rate of nothing", f"{MISSING} @0.3", "cannot read '@0.3'", GRAMMAR),
    told("a rate with an exponent", f"{MISSING} P@1e-3", "cannot read 'P@1e-3'", GRAMMAR),
    told("a rate in other digits", f"{MISSING} P@\u0660.\u0664", "cannot read", GRAMMAR),
    told("a plus without a term", f"{MISSING} P++G", "regime 'P++G': cannot read ''", GRAMMAR),
    told("nothing and something", f"{MISSING} none+P", "cannot read 'none'", GRAMMAR),
    told("one modality twice", f"{MISSING} P+P@0.3", "names 'P' twice", "one rate"),
    told("a modality of no cohort", f"{MISSING} X", "regime 'X' names 'X'", "'demo' has P, G"),
    told("a regime that is a path", f"{MISSING} ../../P", "cannot read '../../P'", GRAMMAR),
    told(
        "a rate longer than a file name",
        f"{MISSING} P@0.{'0' * 300}1",
        "regime 'P@0.",
        GRAMMAR,
    ),
    told(
        "a training regime of no cohort",
        f"{COX} --train-missing Q",
        "regime 'Q' names 'Q'",
        "'demo' has P, G",
    ),
]

CONFIGS = [
    told("a config key with a typo", f"{COX} --set compnents=3", "'compnents'", "'components'"),
    told(
        "a config key that is Python's",
        f"{COX} --set __class__=int",
        "unknown config key of cox '__class__'",
        "See 'survbench methods cox'",
    ),
    told("a word for a number", f"{COX} --set components=x", "cox.components='x'", "whole number"),
    told(
        "an endless number",
        f"{COX} --set components={'9' * 5000}",
        "cox.components='999",
        "a whole number",
    ),
    told("a learning rate of nan", "run --method abmil --set lr=nan", "abmil.lr='nan'", "finite"),
    told("a value that is refused", "run --method abmil --set epochs=-1", "epochs is -1", "must"),
    told("a choice that is none", f"{COX} --set use=Q", "cox needs modality 'Q'", "has: P, G"),
    told("a config without a value", f"{COX} --set use", "--set 'use' is not key=value", "write"),
    told("a config key twice", f"{COX} --set use=P --set use=G", "cox.use twice", "keep one"),
    told(
        "a config of nobody",
        "run --method cox,switch --set use=P",
        "--set 'use=P' does not say whose key",
        "write --set METHOD.use=P",
    ),
    told(
        "a config of another method",
        f"{COX} --set abmil.lr=1",
        "unknown method in --set 'abmil'",
        "--method of this run",
    ),
    told("a fill that does not exist", f"{COX} --fill median", "fill 'median'", "zero, zero:N"),
    told("a fill of no patch", f"{COX} --fill zero:0", "fill 'zero:0'", "zero:N (N patches)"),
]

OPTIONS = [
    told("a command with a typo", "rnu", "unknown command 'rnu'", "Did you mean 'run'?"),
    told("a subcommand with a typo", "cohort biuld", "unknown command 'biuld'", "'build'?"),
    told("no method", "run", "'--method'", "Missing option"),
    told(
        "a method with a typo", "run --method coxx", "unknown method 'coxx'", "Did you mean 'cox'"
    ),
    told("all methods and one", "run --method all,cox", "all,cox", "'all' stands alone"),
    told("a shown method with a typo", "methods coxx", "unknown method 'coxx'", "'cox'?"),
    told("an option with a typo", f"{COX} --mising P", "No such option '--mising'", "--missing"),
    told("a seed that is a fraction", f"{COX} --seed 1.5", "--seed: '1.5'", "write --seed 0,1"),
    told("a seed below zero", f"{COX} --seed -1", "--seed: '-1'", "whole number from 0"),
    told("a seed of forty digits", f"{COX} --seed {'9' * 40}", "--seed: '999", "whole number"),
    told(
        "a billion seeds",
        f"{COX} --seed 0-999999999",
        "--seed: '0-999999999' is no range of 1 to 1000 numbers",
        "write --seed 0-4",
    ),
    told("a range that falls", f"{COX} --folds 4-0", "--folds: '4-0' is no range", "--folds 0-4"),
    told("a fold that is a word", f"{COX} --folds a", "--folds: 'a'", "write --folds 0,1 or 0-4"),
    told("a fold that is none", f"{COX} --folds 9", "have no fold 9", "they have 0, 1, 2, 3, 4"),
    told("no fold", f"{COX} --folds ,", "--folds", "names no fold"),
    told("jobs that are a word", f"{COX} --jobs x", "'--jobs'", "Invalid value"),
    told("no jobs", f"{COX} --jobs 0", "--jobs is 0", "a whole number from 1"),
    told("no threads", f"{COX} --threads 0", "--threads is 0", "a whole number from 1"),
    told("no time", f"{COX} --timeout -3", "--timeout is -3.0", "minutes above 0"),
    told("a device of elsewhere", f"{COX} --device tpu", "unknown device 'tpu'", "'cpu'?"),
    told("half a population", f"{COX} --population half", "'half'", "use paired or all"),
    told("a preset that is none", f"{COX} --preset fast", "unknown preset 'fast'", "standard"),
    told("a control that is none", f"{COX} --control permut", "unknown control", "'permute'?"),
    told("a cohort that is none", f"{COX} --cohort nowhere", "unknown cohort 'nowhere'", "demo"),
    told("a shown cohort with a typo", "cohort show dmeo", "unknown cohort 'dmeo'", "'demo'?"),
    Case(
        "results that are a file",
        text_file("results", "mine"),
        COX,
        "results folder 'results' is a file",
        "give a folder with --results",
    ),
    told(
        "a board of no cohort",
        "leaderboard --cohort ../demo",
        "unknown cohort in the committed boards '../demo'",
        "See 'survbench leaderboard'",
    ),
    told("a board in no format", "leaderboard --results . --format txt", "'txt'", "'text'?"),
    told("a ledger in no format", "leaderboard --ledger --format latex", "'latex'", "See"),
    told("two views", "leaderboard --site s --ledger", "--site and --ledger", "give one of them"),
    told(
        "a view in no format",
        "leaderboard --contrasts --format csv",
        "--contrasts has no other format",
        "leave --format and --layout out",
    ),
    told(
        "a control of a cohort that has none",
        "leaderboard --control --cohort tcga_nowhere",
        "'tcga_nowhere'",
        "survbench leaderboard --control",
    ),
    told("results of nowhere", "leaderboard --results nowhere", "'nowhere' does not exist", "see"),
    told(
        "a cohort that is not in the results",
        "leaderboard --results . --cohort demo",
        "unknown cohort in these results 'demo'",
        "See 'survbench leaderboard --results .'",
    ),
    told("verifying and more", "leaderboard --verify . --ledger", "--verify", "stands alone"),
    told("a plot of no kind", "plot kmm --results .", "'kmm'", "'km'?"),
    told("a plot in no format", "plot km --results . --format gif", "unknown format 'gif'", "svg"),
    told("a plot of nothing", "plot km --results .", "nothing to plot: .", "survbench leaderboard"),
    told(
        "a plot of nowhere", "plot km --cohort x", "committed boards 'x'", "'survbench leaderboard'"
    ),
    told("a cost without patches", "cost --method cox", "--patches is missing", "write --patches"),
    told(
        "gene widths that are words",
        "cost --method cox --patches 9 --gene-widths a",
        "a: not",
        "write",
    ),
    told("a new method that is a path", "new-method ../x --package", "'../x' cannot", "lower-case"),
    told("a new method that is taken", "new-method cox --package", "'cox'", "another"),
]

CASES = REGIMES + CONFIGS + OPTIONS
