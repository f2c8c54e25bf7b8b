"""What neural methods share: write `build`, and where needed `loss`, `stages` or `infer`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from survbench.cohort import Cohort
from survbench.learn.batch import Batch, Widths, chunks
from survbench.learn.intervals import label, time_edges
from survbench.learn.losses import nll_surv, survival_of
from survbench.learn.trainer import Recipe, Stage, Trained, train
from survbench.method import Method, Prediction
from survbench.streams import isolated


@dataclass(frozen=True, eq=False)
class Inference:
    """What a net says about a batch.

    Parameters
    ----------
    logits : Tensor (B, K)
        Logits of the hazards.
    diagnostics : mapping of name to Tensor (B,)
        Kept with the predictions.
    recovered : mapping of modality to Tensor (B, H)
        Latents made for what is missing; NaN rows where nothing was.
    """

    logits: Tensor
    diagnostics: Mapping[str, Tensor] = field(default_factory=dict)
    recovered: Mapping[str, Tensor] = field(default_factory=dict)


class NeuralMethod(Method):
    """A method that trains a torch net on discrete-time hazards; subclass and write `build`."""

    Config = Recipe
    net: nn.Module
    widths: Widths
    edges: NDArray[np.float64]

    @abstractmethod
    def build(self, widths: Widths) -> nn.Module:
        """Untrained net whose call on a Batch gives hazard logits (B, K)."""

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """Loss (B,) of each patient; the discrete-time likelihood unless overridden."""
        return nll_surv(net(batch), *batch.outcome, alpha=self.config.alpha)

    def stages(self) -> list[Stage]:
        """Stages of training; one, by the recipe in the config, unless overridden."""
        recipe: Recipe = self.config
        return [
            Stage(
                name="fit",
                loss=self.loss,
                epochs=recipe.epochs,
                lr=recipe.lr,
                optimiser=recipe.optimiser,
                weight_decay=recipe.weight_decay,
                schedule=recipe.schedule,
                sampler=recipe.sampler,
                batch=recipe.batch,
            )
        ]

    def prepare(self, stage: Stage, cohort: Cohort) -> Cohort:
        """Training patients as a stage reads them; what it needs of them beforehand is got here."""
        del stage
        return cohort

    def infer(self, batch: Batch) -> Inference:
        """Inference on a batch by the trained net, in eval mode without gradients."""
        return Inference(self.net(batch))

    def fit_cases(self, cohort: Cohort) -> None:
        """Train the net stage by stage."""
        self.edges = time_edges(cohort.time, cohort.event, self.config.intervals)
        self.widths = Widths.of(cohort, len(self.edges) - 1)
        self.net = self.build(self.widths).to(self.device)
        self.record["parameters"] = sum(p.numel() for p in self.net.parameters())
        self.record["losses"] = {}
        self.record["updates"] = 0
        interval = label(cohort.time, self.edges)
        stages = self.stages()
        bookmark = self.bookmark if self.resumes and len(stages) == 1 else None
        for stage in stages:
            seed = self.stream(f"order-{stage.name}")
            trained = train(
                self.net,
                stage,
                self.prepare(stage, cohort),
                interval,
                seed=seed,
                device=self.device,
                report=self.report,
                bookmark=bookmark,
            )
            self.note(stage.name, trained)
        self.net.eval()

    def note(self, stage: str, trained: Trained) -> None:
        """Enter what a stage did in the record."""
        self.record["losses"][stage] = trained.losses
        self.record["updates"] += trained.updates

    def predict_cases(self, cohort: Cohort) -> Prediction:
        """Hazards of every patient, chunk by chunk."""
        rows: list[NDArray[np.int64]] = []
        parts: list[Inference] = []
        for chunk, batch in self.batches(cohort):
            rows.append(chunk)
            parts.append(self.infer(batch))
        back = np.argsort(np.concatenate(rows))
        logits = torch.cat([part.logits for part in parts]).double().cpu()[back]
        _, survival = survival_of(logits)
        return Prediction(
            case_id=cohort.case_id,
            risk=-survival.sum(dim=1).numpy(),
            survival=survival.numpy(),
            edges=self.edges,
            diagnostics=_joined([part.diagnostics for part in parts], back),
            recovered=_joined([part.recovered for part in parts], back),
        )

    def batches(self, cohort: Cohort) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """Rows and batch of every chunk of patients, for the net in eval mode, no gradients."""
        self.net.eval()
        with torch.inference_mode():
            for chunk in chunks(cohort, np.arange(len(cohort))):
                yield chunk, Batch.of(cohort, chunk, self.device)

    def gathered(
        self, cohort: Cohort, make: Callable[[Batch], tuple[Tensor, Tensor]]
    ) -> NDArray[np.float64]:
        """Values (N, M, H) of all patients, NaN where absent.

        `make` gives those of a batch, (B, M, H), and who has which, (B, M).
        """
        rows, parts = [], []
        for chunk, batch in self.batches(cohort):
            values, present = make(batch)
            rows.append(chunk)
            parts.append(values.masked_fill(~present[..., None], torch.nan).double().cpu())
        found: NDArray[np.float64] = torch.cat(parts).numpy()[np.argsort(np.concatenate(rows))]
        return found

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights and buffers of the net, and the time edges."""
        self.facts["widths"] = self.widths.to_json()
        weights = {f"net/{k}": v.detach().cpu().numpy() for k, v in self.net.state_dict().items()}
        return {"edges": self.edges, **weights}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Build the net anew and load its weights."""
        self.edges = state["edges"]
        self.widths = Widths.from_json(self.facts["widths"])
        with isolated(0):
            self.net = self.build(self.widths).to(self.device)
        weights = {
            name.removeprefix("net/"): torch.as_tensor(value)
            for name, value in state.items()
            if name.startswith("net/")
        }
        self.net.load_state_dict(weights)
        self.net.eval()


def _joined(
    parts: list[Mapping[str, Tensor]], back: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Columns of all chunks in the cohort's order."""
    names = parts[0] if parts else {}
    return {
        name: torch.cat([part[name] for part in parts]).double().cpu().numpy()[back]
        for name in names
    }
