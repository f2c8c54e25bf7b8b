"""Errors a user can meet: one line that names what was wrong, where, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SurvbenchError(Exception):
    """Base of every error survbench raises on purpose."""


class InputError(SurvbenchError, ValueError):
    """Wrong data or a wrong argument; the command line exits with 2."""


class CohortError(InputError):
    """A cohort, table or feature file that cannot be used as it is."""


class SplitError(InputError):
    """Folds that do not fit the cohort or do not keep their promises."""


class MissingModalityError(InputError):
    """A method is asked to predict without what it needs: a dash in every table, never a number."""


class ResultError(InputError):
    """A result on disk that is damaged or does not belong to the question."""


class PluginError(SurvbenchError, ImportError):
    """A third-party method that cannot be imported or states another contract; exits with 2."""


class UnknownNameError(InputError, LookupError):
    """A name that does not exist.

    Parameters
    ----------
    kind : str
        What the name should have been, such as "method".
    name : str
        The name as given.
    known : iterable of str
        Names that exist; the closest is suggested.
    see : str
        Where the known names are listed.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], see: str) -> None:
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(known)}."
        super().__init__(f"unknown {kind} {name!r}.{hint} See {see}.")
