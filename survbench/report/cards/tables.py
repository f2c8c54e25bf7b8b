"""A cohort card as small tables, which the terminal and the site show alike."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from tabulate import tabulate

from survbench.report.cards.card import MIN_GROUP, CohortCard, Group, Middle
from survbench.report.tables.caption import NONE
from survbench.report.tables.cells import p_value

_WIDTH = 100
_LISTED = 6  # values of a text column that are named; the rest is summed


@dataclass(frozen=True)
class CardTable:
    """One table of a card.

    Parameters
    ----------
    title : str
        What it shows.
    header : tuple of str
        Names of the columns; empty where the first cell of a line names the second.
    body : tuple of tuple of str
        Lines; the first cell of each is its name.
    note : str
        What its numbers mean.
    """

    title: str
    header: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]
    note: str = ""


def card_tables(card: CohortCard) -> list[CardTable]:
    """Tables of a card, in reading order; empty ones are left out."""
    tables = [_facts(card), _flow(card), _patients(card), _compared(card), _folds(card)]
    return [table for table in tables if table.body]


def render_card(card: CohortCard) -> str:
    """Card for the terminal, at most 100 columns wide; ends with a newline."""
    parts = [f"{card.name}{' (simulated)' if card.simulated else ''}"]
    for table in card_tables(card):
        body = [[textwrap.fill(cell, _WIDTH - 28) for cell in line] for line in table.body]
        align = ["left", *["right" if table.header else "left"] * (len(body[0]) - 1)]
        shown = tabulate(
            body, table.header, "simple" if table.header else "plain",
            colalign=align, disable_numparse=True,
        )  # fmt: skip
        parts.append("\n".join([table.title, "", shown]))
        if table.note:
            parts[-1] += "\n" + textwrap.fill(table.note, _WIDTH)
    return "\n\n".join(parts) + "\n"


def _facts(card: CohortCard) -> CardTable:
    horizon = NONE if card.horizon_months is None else f"{card.horizon_months:g} months"
    kind = "simulated: no patient is real" if card.simulated else "real patients"
    said = {
        "patients": kind,
        "endpoint": f"{card.endpoint}, in {card.units}",
        "horizon of Uno's C and AUC": horizon,
        "steps that saw all patients": card.cohort_level_preprocessing or "none stated",
        "patch encoder saw TCGA": card.encoder_saw_tcga,
        "note": card.note,
        "from": card.provenance,
        "folds": f"{card.splits}, hash {card.split_hash[:12]}",
        "data hash": card.data_hash,
    }
    return CardTable("Facts", (), tuple((key, told) for key, told in said.items() if told))


def _flow(card: CohortCard) -> CardTable:
    lines = [("in the table", str(card.table))]
    lines += [(f"dropped: {reason}", f"-{n}") for reason, n in card.dropped.items()]
    lines.append(("in the cohort", str(card.everyone.n)))
    lines += [(f"have {name}", str(n)) for name, n in card.present.items()]
    if card.left_out is not None:
        lines.append(("lack a modality", f"-{card.left_out.n}"))
    lines.append(("paired: have every modality", str(card.paired.n)))
    lines.append((f"in {len(card.folds)} folds", str(sum(fold.paired for fold in card.folds))))
    if card.split_only:
        lines.append(("cases of the splits that the cohort lacks", str(card.split_only)))
    return CardTable("Flow", ("step", "patients"), tuple(lines))


def _patients(card: CohortCard) -> CardTable:
    groups = {"all": card.everyone, "paired": card.paired}
    if card.left_out is not None:
        groups["left out"] = card.left_out
    members = list(groups.values())
    lines = [
        ("patients", *(str(group.n) for group in members)),
        ("events", *(_share(group.events, group.n) for group in members)),
        ("median follow-up, months [95 %]", *(_shown(group.follow_up) for group in members)),
        ("age, median [quartiles]", *(_shown(group.age) for group in members)),
        *_counts("sex", [group.sex for group in members]),
        *_counts("histology", [group.histology for group in members]),
        ("tissue source sites", *(str(group.sites or NONE) for group in members)),
        ("patients of the largest site", *(_largest(group) for group in members)),
    ]
    note = (
        "Follow-up by reverse Kaplan-Meier. "
        f"{NONE}: not recorded, not reached, or fewer than {MIN_GROUP} patients."
    )
    return CardTable("Patients", ("", *groups), tuple(lines), note)


def _compared(card: CohortCard) -> CardTable:
    lines = [
        (
            each.what,
            NONE if each.standardised is None else f"{each.standardised:+.2f}",
            NONE if each.p_value is None else p_value(each.p_value),
            each.test,
        )
        for each in card.differences
    ]
    note = "Standardised: left out minus paired, in pooled standard deviations; p not adjusted."
    header = ("left out against paired", "standardised", "p", "test")
    return CardTable("How those left out differ", header, tuple(lines), note)


def _folds(card: CohortCard) -> CardTable:
    lines = [
        tuple(map(str, (each.fold, each.n, each.events, each.paired, each.paired_events)))
        for each in card.folds
    ]
    header = ("fold", "patients", "events", "paired", "events of paired")
    return CardTable("Folds", header, tuple(lines))


def _counts(what: str, counts: list[Mapping[str, int]]) -> list[tuple[str, ...]]:
    """Lines of a text column: its most frequent values, then the sum of the others."""
    values = list(counts[0])
    named, rest = values[:_LISTED], values[_LISTED:]
    if len(rest) == 1:
        named, rest = values, []
    lines = [(f"{what}: {name}", *(str(each.get(name, 0)) for each in counts)) for name in named]
    if rest:
        sums = (str(sum(each.get(name, 0) for name in rest)) for each in counts)
        lines.append((f"{what}: {len(rest)} others", *sums))
    return lines


def _largest(group: Group) -> str:
    return _share(group.largest_site, group.n) if group.sites else NONE


def _share(some: int, of: int) -> str:
    return f"{some} ({some / of:.0%})" if of else str(some)


def _shown(middle: Middle | None) -> str:
    if middle is None or middle.median is None:
        return NONE
    low, high = (NONE if value is None else f"{value:.1f}" for value in (middle.low, middle.high))
    return f"{middle.median:.1f} [{low}, {high}]"
