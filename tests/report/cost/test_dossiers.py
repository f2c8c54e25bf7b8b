"""FLOPs of whole networks against what was measured of their official code.

The reference values are torch's counter on the official networks (AdaMHF: its classes assembled,
with repairs), one patient, 1,024-wide patches, 2 per multiply-add, rounded as printed here. They
were published with three digits, so 0.5 % is agreement; a larger tolerance says why.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from survbench.learn import Batch, NeuralMethod, Widths
from survbench.registry import get_method
from survbench.report.cost.flops import Flops, counted
from survbench.report.cost.patients import Sizes, patients

BLCA = (94, 334, 521, 468, 1496, 479)
PAPERS = (89, 334, 534, 471, 1510, 482)
GIGA = 1e9


def forward(name: str, patches: int, genes: tuple[int, ...] = BLCA, **changes: Any) -> Flops:
    """FLOPs of one forward pass with 1,024-wide patches."""
    cohort = patients(1, Sizes(patches, 1024, genes))
    method = get_method(name)
    made = method(replace(method.preset("standard"), **changes))
    assert isinstance(made, NeuralMethod)
    net = made.build(Widths.of(cohort, 4)).eval()
    batch = Batch.of(cohort, np.arange(1))
    return counted(lambda: net(batch))


@pytest.mark.parametrize(
    ("name", "patches", "expected"),
    [
        ("mcat", 4096, 3.28),
        ("survpath", 4096, 3.25),
        ("porpoise", 4096, 6.45),
        ("abmil", 2048, 3.22),
        ("clam_sb", 2048, 3.22),
        ("clam_mb", 2048, 3.23),
        ("dtfdmil", 2048, 2.69),
    ],
)
def test_networks_of_dense_layers_cost_what_the_official_ones_do(
    name: str, patches: int, expected: float
) -> None:
    assert forward(name, patches).total / GIGA == pytest.approx(expected, rel=0.005)


def test_transmil_saves_the_padding_rows_and_two_of_three_position_convolutions() -> None:
    width, padded, tokens, grid = 512, 2304, 46**2 + 1, 46**2
    leaving = 2 * 2 * (padded - tokens) * width**2  # output maps of both layers read real rows
    positions = 2 * grid * width * (5**2 + 3**2)  # one 7 x 7 kernel stands for 7, 5 and 3
    found = forward("transmil", 2048).total
    assert (found + leaving + positions) / GIGA == pytest.approx(34.8, rel=0.002)


def test_cmta_costs_what_the_official_one_does_with_landmarks_for_six_genes() -> None:
    """Position convolutions merged and padding rows left out save 0.2 of 30.3."""
    found = forward("cmta", 4096, attention="nystrom").total
    assert found / GIGA == pytest.approx(30.3, rel=0.01)


def test_cmta_saves_the_pseudo_inverses_of_six_gene_tokens() -> None:
    """Exact attention for seven tokens: no 24 products of 128 x 128 in each of four layers."""
    default, literal = forward("cmta", 256), forward("cmta", 256, attention="nystrom")
    inverses = 4 * 24 * 8 * 2 * 128**3
    assert literal.total - default.total == pytest.approx(inverses, rel=0.2)


def test_adamhf_costs_what_its_assembled_classes_do() -> None:
    """A class token meets the centre of a 3 x 3 kernel alone, padding rows are not mapped out."""
    literal = {"attention": "nystrom", "selection": "vector", "trained_gates": False}
    found = forward("adamhf", 2048, PAPERS, **literal).total
    assert found / GIGA == pytest.approx(57.06, rel=0.005)
    assert found / GIGA < 57.06


def test_adamhf_saves_the_pseudo_inverses_of_few_tokens() -> None:
    """Two layers each of three units, whose 7 or 21 tokens are fewer than 128 landmarks."""
    default, literal = forward("adamhf", 256), forward("adamhf", 256, attention="nystrom")
    inverses = 3 * 2 * 24 * 8 * 2 * 128**3
    assert literal.total - default.total == pytest.approx(inverses, rel=0.2)
