"""ABMIL: gated attention pooling of one patient's patches; pathology only.

Source: Ilse, Tomczak & Welling, Attention-based Deep MIL, ICML 2018, eq. 8-9, with the survival
    head of MCAT's code (attention over embedded patches, one dense layer, hazard logits).
Missing modality: no mechanism; without P there is no prediction, without G nothing changes.
Departs: balanced sampling is off (on in presets `paper` and `survpath`), since it changes the
    prior of the loss; `dropout` is a real rate, which the official code only tests for truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from survbench.learn import Batch, NeuralMethod, Recipe, Widths
from survbench.learn.dropout import Dropout
from survbench.learn.pooling import AttentionScore


@dataclass(frozen=True)
class ABMILConfig(Recipe):
    """Hyperparameters; network and recipe are those of MCAT's code."""

    hidden: int = 512  # H, width of a token; SurvPath's code has 256
    attention: int = 256  # width of the attention halves; MIL-Lab has 384
    rho: int | None = 256  # width of the dense layer after pooling; None (MIL-Lab): none
    gated: bool = True  # all survival tables; False is the plain form of the paper
    embed_dropout: float = 0.25  # after the embedding; MIL-Lab has none
    dropout: float = 0.25  # attention halves and rho; official code, the paper gives none


class ABMILNet(nn.Module):
    """Patches to tokens to one patient vector to hazard logits."""

    def __init__(self, config: ABMILConfig, widths: Widths) -> None:
        super().__init__()
        hidden, rho = config.hidden, config.rho
        self.embed = nn.Sequential(
            nn.Linear(widths.patch["P"], hidden),
            nn.ReLU(inplace=True),
            Dropout(config.embed_dropout),
        )
        self.attend = AttentionScore(
            hidden, config.attention, gated=config.gated, dropout=config.dropout
        )
        self.rho = (
            nn.Identity()
            if rho is None
            else nn.Sequential(nn.Linear(hidden, rho), nn.ReLU(), Dropout(config.dropout))
        )
        self.head = nn.Linear(hidden if rho is None else rho, widths.intervals)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch whose P is B ragged bags, (T, D) in all."""
        bags = batch.bags("P")
        token = self.embed(bags.features)  # (T, H)
        patient = self.attend.pool(token, bags)  # (B, H)
        logits: Tensor = self.head(self.rho(patient))
        return logits


class ABMIL(NeuralMethod):
    """Gated-attention multiple-instance learning; see the module docstring."""

    uses = frozenset({"P"})
    resumes = True
    Config = ABMILConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"hidden": 128, "attention": 64, "rho": 64, "lr": 1e-3},
        "paper": {"sampler": "balanced"},  # MCAT's main script; MUST gives no settings for ABMIL
        "survpath": {
            "hidden": 256,
            "optimiser": "radam",
            "lr": 1e-3,
            "weight_decay": 1e-4,
            "epochs": 2,
            "batch": 1,
            "schedule": "cosine_warmup",
            "sampler": "balanced",
            "alpha": 0.5,
        },  # its scripts/abmil.sh, whole bags instead of 4096 random patches
        "mil_lab": {"attention": 384, "rho": None, "embed_dropout": 0.0},
    }

    def build(self, widths: Widths) -> nn.Module:
        """ABMIL for patches of the cohort's width."""
        return ABMILNet(self.config, widths)
