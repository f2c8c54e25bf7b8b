"""A small site: measured, simulated and published rows, names that are markup, every page full."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from survbench.bench.cell import find_cells
from survbench.cohort import load_cohort, read_splits
from survbench.report import Row, published
from survbench.report.cards.card import cohort_card
from survbench.report.leaderboard import Scored, scored_rows
from survbench.report.site import Figure, recovery, write_site
from tests.report.results import write_method

HOSTILE = "<script>alert(1)</script>"
QUOTED = "\"' onfocus=alert(2) x='"
MUST = "1" * 12
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 3 2"><path d="M0 0h3v2z"/></svg>'
PRINTED = (
    "source,table,method,missing,cohort,c_index,std\n"
    "MUST,1,abmil,none,toy,0.911,0.012\n"
    f"MUST,1,{HOSTILE},P,toy,0.9,\n"
)
LEDGER: tuple[Mapping[str, object], ...] = (
    {
        "cohort": "toy",
        "method": HOSTILE,
        "published": 0.911,
        "measured": 0.733,
        "status": "differs",
        "note": "other patients than those of the paper",
    },
    {
        "cohort": "toy",
        "method": "abmil",
        "published": 0.5,
        "measured": float("nan"),
        "status": "not comparable",
        "note": "",
    },
)
MACHINE = {
    "hardware": {"cpu": "Model 9000", "system": "Linux"},
    "versions": {"torch": "2.6.0", "survbench": "0.1.0"},
    "seconds": 12.5,
    "threads": 1,
    "device": "cpu",
    "fit": {"parameters": 1234567, "updates": 890},
}


def measured(folder: Path) -> list[Scored]:
    """Rows of three methods and a control, one of them under a name that is markup."""
    config = {"lr": 0.01, "note": HOSTILE}
    kept: dict[str, Any] = {"seeds": (0, 1), "regimes": ("none", "P"), **MACHINE}
    write_method(folder, "abmil", **kept, config=config, changed={"lr": 0.01})
    write_method(folder, "must", setting=MUST, stream=1, **kept, train_c_index=0.6)
    kept["regimes"], refused = ("none",), {"P": f"no {HOSTILE}"}
    write_method(folder, "snn", setting="2" * 12, stream=2, **kept, refused=refused)
    write_method(folder, "clinical", setting="3" * 12, stream=3, **kept)
    rows = scored_rows(folder)
    rows += [_renamed(entry) for entry in rows if entry.row.method == "must"]
    return [*rows, *(_real(entry) for entry in rows if entry.row.method == "abmil")]


def _renamed(entry: Scored) -> Scored:
    return replace(entry, row=replace(entry.row, method=HOSTILE, changed=QUOTED))


def _real(entry: Scored) -> Scored:
    about = replace(entry.row.about, simulated=False)
    return replace(entry, row=replace(entry.row, cohort="real", preset="standard", about=about))


def printed(folder: Path) -> list[Row]:
    """Two published rows."""
    path = folder / "published.csv"
    path.write_text(PRINTED)
    return published(path)


def figures_of(entries: list[Scored]) -> dict[str, Figure]:
    """Two plots of every row, and one of no row."""
    made = {
        f"{row.cohort}/{row.setting}/{row.regime}/{kind}": Figure(
            f"{kind} {QUOTED}", f"what the {kind} shows {QUOTED}", SVG
        )
        for row in (entry.row for entry in entries)
        for kind in ("km", "calibration")
    }
    return made | {f"../{HOSTILE}/none/km": Figure("stray", "a stray plot", SVG)}


def make_site(work: Path, site: Path) -> Path:
    """The site in a folder, from results kept in another."""
    results = work / "results"
    results.mkdir(parents=True, exist_ok=True)
    entries = measured(results)
    demo = load_cohort("demo")
    write_site(
        entries,
        site,
        ledger=LEDGER,
        published=printed(work),
        cards=[cohort_card(demo, read_splits("demo"))],
        figures=figures_of(entries),
        recovered=recovery(find_cells(results)) | {f"toy/{MUST}/P": {"r2_recovered_P": 0.25}},
    )
    return site
