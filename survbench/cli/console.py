"""What every command shares: exit codes, messages, lists of values, groups that know a typo."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from survbench.errors import InputError, UnknownNameError

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
_NUMBER = re.compile("[0-9]{1,9}")
_MOST = 1000  # numbers in a range
Command = TypeVar("Command", bound=Callable[..., Any])


def say(text: str) -> None:
    """Tell the person at the terminal, apart from what the command prints."""
    print(text, file=sys.stderr, flush=True)


class Commands(click.Group):
    """Commands that answer a wrong name with the closest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command the first word names."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            kind, see = "command", f"'{ctx.command_path} --help'"
            raise UnknownNameError(kind, args[0], self.list_commands(ctx), see)
        return super().resolve_command(ctx, args)


def listed(text: Sequence[str]) -> tuple[str, ...]:
    """Values given as a,b or by repeating the option, each once."""
    parts = [part.strip() for value in text for part in value.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))


def whole_numbers(option: str, text: Sequence[str]) -> tuple[int, ...]:
    """Whole numbers from 0 given to an option as 0,1 or 0-4, each once."""
    numbers: list[int] = []
    for part in listed(text):
        first, dash, last = part.partition("-")
        if not _NUMBER.fullmatch(first) or (dash and not _NUMBER.fullmatch(last)):
            msg = f"{option}: {part!r} is not a whole number from 0; write {option} 0,1 or 0-4"
            raise InputError(msg)
        if not 0 <= int(last or first) - int(first) < _MOST:
            msg = f"{option}: {part!r} is no range of 1 to {_MOST} numbers; write {option} 0-4"
            raise InputError(msg)
        numbers.extend(range(int(first), int(last or first) + 1))
    return tuple(dict.fromkeys(numbers))
