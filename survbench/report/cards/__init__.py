"""Cohort cards: what a reader must know of a cohort, without any patient's data."""

from survbench.report.cards.card import CohortCard, cohort_card
from survbench.report.cards.files import read_card, write_card
from survbench.report.cards.tables import card_tables, render_card

__all__ = [
    "CohortCard",
    "card_tables",
    "cohort_card",
    "read_card",
    "render_card",
    "write_card",
]
