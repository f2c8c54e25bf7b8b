"""The commands of README.md, carried out in their order in a folder of small made-up TCGA files."""

from __future__ import annotations

import glob
import shlex
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from survbench.cli import main
from survbench.cohort.folds import read_splits
from tests.markdown import README, ROOT, commands

PATIENTS = 12  # of each fold
PATCHES, WIDTH = 3, 8
GENES = {"Tumor Suppression": ("TP53", "RB1"), "Oncogenesis": ("MYC", "KRAS")}
# What would take hours is made quick; nothing else is added to what the README says.
QUICK = {
    "run": "--preset quick --set must.warm_epochs=1 --set must.epochs=1 "
    "--set must.diffusion_steps=2 --set snn.epochs=1 --set abmil.epochs=1",
    "leaderboard --contrasts": "--cohort tcga_luad_hif",
    "cost": "--preset quick --repeats 3 --seconds 0.1",
}
BY_CI = {"leaderboard --verify"}  # half a minute; .ci/run carries it out
pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with the files that the README names, of patients of the committed folds."""
    draw = np.random.default_rng(0)
    fold = read_splits("tcga_luad").fold
    chosen = fold.groupby(fold).head(PATIENTS).index.tolist()
    risk = draw.normal(size=len(chosen))
    table = pd.DataFrame({"case_id": chosen, "slide_id": [f"{case}-01Z.svs" for case in chosen]})
    table["survival_months"] = draw.exponential(30 * np.exp(-risk)).clip(0.1, 100)
    table["censorship"] = draw.integers(0, 2, len(chosen))
    for gene in (gene for group in GENES.values() for gene in group):
        table[f"{gene}_rnaseq"] = risk + draw.normal(size=len(chosen))
    table.to_csv(tmp_path / "tcga_luad_all_clean.csv.zip", index=False)
    pd.DataFrame(GENES).to_csv(tmp_path / "signatures.csv", index=False)
    (tmp_path / "leaderboards").mkdir()  # a checkout has one
    (tmp_path / "features_uni_v2").mkdir()
    for case, shift in zip(chosen, risk, strict=True):
        with h5py.File(tmp_path / "features_uni_v2" / f"{case}-01Z.h5", "w") as file:
            file["features"] = draw.normal(shift, size=(1, PATCHES, WIDTH)).astype(np.float32)
            file["coords"] = draw.integers(0, 9000, (1, PATCHES, 2))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_of_the_readme_does_what_it_says(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = {}
    for line in commands(README.read_text(encoding="utf-8")):
        tool, *words = shlex.split(line)
        name = " ".join(words)
        if tool != "survbench" or name in BY_CI:
            continue
        given = [path for word in words for path in sorted(glob.glob(word)) or [word]]  # noqa: PTH207
        added = [word for key in QUICK if name.startswith(key) for word in QUICK[key].split()]
        assert main([*given, *added]) == 0, capsys.readouterr().err
        printed[name] = capsys.readouterr().out
    told = {start: text for name, text in printed.items() for start in [" ".join(name.split()[:2])]}
    assert f"{5 * PATIENTS} cases" in told["cohort build"]
    rows = next(text for name, text in printed.items() if name.startswith("run")).split("\n")
    shown = {tuple(line.split()[:2]) for line in rows} | {tuple(line.split()[1:3]) for line in rows}
    for method in ("must", "abmil", "snn", "cox", "switch"):
        assert (method, "none") in shown
    assert r"\toprule" in printed["leaderboard --results results --cohort tcga_luad --format latex"]
    assert "none.csv" in told["score results/tcga_luad/must/*/seed0-fold0/predictions/*.csv"]
    assert "published" in printed["leaderboard --ledger"]
    assert "rescue" in printed["leaderboard --contrasts"]
    assert (place / "site" / "index.html").is_file()
    assert list((place / "figures").glob("*must*.svg"))
    assert {path.name for path in (place / "leaderboards" / "tcga_luad").iterdir()} >= {"must"}
    assert "FLOP" in told["cost --method"]


def test_what_is_left_to_ci_stands_there() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert all(name in script for name in BY_CI)
