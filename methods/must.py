"""MUST: latents split into a shared subspace and its complement; diffusion makes what is missing.

Source: Kim & Hwang, MUST, CVPR 2026 (arXiv 2603.26071), eq. 6-22 and supplement; no public code.
Missing modality: of those present, whole - specific stands in for the shared latent (eq. 20); the
    absent specific latent is the mean of 5 samples of a conditional diffusion model (eq. 17-22).
    Incomplete training patients give only the survival loss, absent specific latents being zero;
    their surrogate shared latent also conditions the generators in training (suppl. 8.2).
Departs: where the paper is silent or contradicts itself.
    Subspace: basis = Q of the QR (diag R > 0) of a Gaussian / sqrt(D), else B B^T is no projector.
    Layers: the main figure's flow; patches and gene groups query, class tokens pool (suppl. and
    figure agree); own weights for whole, specific and shared latents. Bags: TransMIL, then one
    Nystrom layer and LayerNorm each; genes: one pre-norm layer each, 8 heads, hidden 512, dropout
    0.1; cross attention as printed, so one head, no bias, no output map. Bags within the landmarks
    get exact attention (cheaper, no zero rows). Class tokens N(0, 0.02^2); groups: 2-block SNNs.
    Head: reads the mean shared latent (equal in the optimum; `head_shared`), in second place, also
    of complete patients (eq. 11 against suppl.). It starts fresh after the warm-up, whose own head
    (2 D inputs, one for all modalities) is dropped; warm-up noise is off outside training.
    Training: log S(k-1) stays in a death's loss, as in every public code (`nll_literal`); AdamW
    1e-3, then 2e-4 (the supplement is the more specific), fresh per stage, constant, last epoch of
    a stage starts the next; squared norms summed over D, meaned over the patients of a step.
    Diffusion: linear betas 1e-4 to 0.02, T = 1000 (usual); latents, conditions standardised, else
    N(0, 1) is no start; denoiser tokens [state; level; shared; class token]; it corrects the noise
    expected of N(0, 1) latents (`precondition`: without, held-out R^2 of a small net on simulated
    patients was -187 after 2,000 steps, with it -0.3); averaged weights; 2,000 steps (held-out
    recovery of simulated patients was no better after 5,000 and worse after 10,000, which memorise
    a fold; the paper's 1,000,000: preset `paper`); latents cached from whole bags without
    dropout, class token frozen.
    Recovery: samples are projected onto the complement they come from (`project_sample`), the
    surrogate is not (eq. 20, `project_shared`); generators learn on eq. 18's condition, not on the
    surrogate they meet (`train_condition`); noise is seeded by patient and sample, so that
    company changes nothing. M > 2: one subspace, means over the other modalities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from survbench.cohort import Cohort
from survbench.errors import InputError
from survbench.learn import Batch, Inference, NeuralMethod, Recipe, Stage, Trained, Widths, nll_surv
from survbench.learn.denoiser_training import Lesson, train_denoisers
from survbench.learn.diffusion import DiffusionOptions, LatentDiffusion
from survbench.learn.latents import LatentEncoder, LatentOptions, Latents
from survbench.learn.snn import mlp_head
from survbench.learn.subspace import inside, outside, own_shared
from survbench.method import ALL, Progress

CHOICES = {"recovery": ("diffusion", "zeros"), "train_condition": ("c_hat", "c~")}


@dataclass(frozen=True)
class MUSTConfig(DiffusionOptions, LatentOptions, Recipe):
    """Hyperparameters; sizes are LatentOptions', generators DiffusionOptions', stage 2 Recipe's."""

    epochs: int = 30
    optimiser: str = "adamw"
    warm_epochs: int = 30  # 0 leaves the warm-up out
    warm_lr: float = 1e-3
    warm_optimiser: str = "adamw"
    warm_noise: float = 0.1  # standard deviation of the other half of the warm-up head's input
    head_dropout: float = 0.25
    nll_literal: bool = False  # True: a death loses log S(k-1), as eq. 6 is printed
    weight_decomposition: float = 1.0
    weight_sharing: float = 1.0
    weight_overlap: float = 0.5
    head_shared: str = "mean"  # or one shared latent of complete patients, such as 'P<-G'
    recovery: str = "diffusion"  # 'zeros': absent specific latents are zero, no third stage
    train_condition: str = "c_hat"  # 'c~' takes the surrogate in training too
    condition_token: bool = True  # the class token of the specific latent beside the condition
    project_shared: bool = False  # True: project the surrogate, as the paper's figure
    project_sample: bool = True  # onto the complement of the shared subspace
    samples: int = 5  # averaged as latents

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of(CHOICES)


def head(inputs: int, config: MUSTConfig, intervals: int) -> nn.Sequential:
    """Vectors (B, inputs) to hazard logits (B, K)."""
    return mlp_head(inputs, config.width, intervals, dropout=config.head_dropout)


class WarmHead(nn.Module):
    """One modality's whole latent, beside noise, to hazard logits (eq. 12)."""

    def __init__(self, config: MUSTConfig, intervals: int) -> None:
        super().__init__()
        self.noise = config.warm_noise
        self.head = head(2 * config.width, config, intervals)

    def forward(self, whole: Tensor) -> Tensor:
        """Logits (n, K) of whole latents (n, D)."""
        noise = self.noise * torch.randn_like(whole) if self.training else torch.zeros_like(whole)
        logits: Tensor = self.head(torch.cat([whole, noise], dim=1))
        return logits


class MUSTNet(nn.Module):
    """Modalities to whole, specific and shared latents to hazard logits."""

    def __init__(self, config: MUSTConfig, widths: Widths) -> None:
        super().__init__()
        self.config = config
        self.encoder = LatentEncoder(config, widths)
        self.names = self.encoder.names
        self.head = head((len(self.names) + 1) * config.width, config, widths.intervals)
        constants = int(config.condition_token)
        generated = self.names if config.recovery == "diffusion" else ()
        self.diffusion = nn.ModuleDict({n: LatentDiffusion(config, constants) for n in generated})
        self.read: Tensor
        self.register_buffer("read", self._read(config.head_shared), persistent=False)

    def _read(self, head_shared: str) -> Tensor:
        """Weights (M, M) of the shared latents that the head reads with complete data."""
        pairs = {f"{m}<-{n}": (m, n) for m, n in permutations(self.names, 2)}
        if head_shared not in ("mean", *pairs):
            allowed = ", ".join(["mean", *pairs])
            msg = f"head_shared {head_shared!r} is not known; use one of: {allowed}"
            raise InputError(msg)
        chosen = pairs if head_shared == "mean" else [head_shared]
        weight = torch.zeros(len(self.names), len(self.names))
        for pair in chosen:
            m, n = pairs[pair]
            weight[self.names.index(m), self.names.index(n)] = 1 / len(chosen)
        return weight

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K), absent specific latents being zero."""
        return self.logits(self.encoder(batch))

    def logits(self, latents: Latents, made: Tensor | None = None) -> Tensor:
        """Hazard logits (B, K); `made` (B, M, D) are specific latents for what is absent."""
        specific = latents.specific
        if made is not None:
            specific = torch.where(latents.present[..., None], specific, made)
        complete = (latents.shared * self.read[..., None]).sum(dim=(1, 2))  # (B, D)
        shared = torch.where(latents.complete[:, None], complete, self.surrogate(latents))
        parts = [specific[:, 0], shared, *specific[:, 1:].unbind(dim=1)]
        logits: Tensor = self.head(torch.cat(parts, dim=1))
        return logits

    def surrogate(self, latents: Latents, of: Tensor | None = None) -> Tensor:
        """Shared latents (B, D) inferred from the modalities `of` (B, M), all present if None."""
        rest = latents.rest(latents.present if of is None else of)
        return inside(rest, self.encoder.subspace()) if self.config.project_shared else rest

    def condition(self, latents: Latents, column: int) -> Tensor:
        """Conditions (B, D) under which modality `column` is learnt.

        What the others contribute to the shared latents; for an incomplete patient (and with
        train_condition 'c~' for all) the surrogate from the others present, or else from itself.
        """
        others = latents.present.clone()
        others[:, column] = False
        alone = ~others.any(dim=1, keepdim=True)
        surrogate = self.surrogate(latents, torch.where(alone, latents.present, others))
        if self.config.train_condition == "c~":
            return surrogate
        own = own_shared(latents.shared)  # (B, M, D)
        theirs = (own.sum(dim=1) - own[:, column]) / (own.shape[1] - 1)
        return torch.where(latents.complete[:, None], theirs, surrogate)

    def constant(self, name: str) -> Tensor | None:
        """Constant part (D,) of the condition: the class token of the specific latent."""
        token = self.encoder.specific[name].get_parameter("token").detach()
        return token if self.config.condition_token else None


class MUST(NeuralMethod):
    """Shared and specific latents, the absent ones generated; see the module docstring."""

    uses = ALL
    tolerates = ALL
    trains_without = ALL
    Config = MUSTConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {
            "width": 64,
            "rank": 16,
            "heads": 4,
            "hidden": 128,
            "warm_epochs": 12,
            "epochs": 12,
            "lr": 1e-3,
            "denoiser_layers": 2,
            "diffusion_steps": 200,
            "diffusion_lr": 1e-3,
            "ddim_steps": 20,
        },
        "paper": {"diffusion_steps": 1_000_000},
    }
    net: MUSTNet

    def build(self, widths: Widths) -> MUSTNet:
        """MUST for the cohort's modalities."""
        return MUSTNet(self.config, widths)

    def stages(self) -> list[Stage]:
        """Warm-up of the whole latents, then everything but the generators."""
        config: MUSTConfig = self.config
        warm = WarmHead(config, self.widths.intervals).to(self.device)
        last = replace(
            super().stages()[0],
            name="decomposition",
            modules=lambda net: [net.get_submodule("encoder"), net.get_submodule("head")],
        )
        first = replace(
            last,
            name="warm-up",
            loss=lambda net, batch: self.warm_loss(cast("MUSTNet", net), warm, batch),
            epochs=config.warm_epochs,
            lr=config.warm_lr,
            optimiser=config.warm_optimiser,
            modules=lambda net: [net.get_submodule("encoder.whole"), warm],
        )
        return [first, last]

    def warm_loss(self, net: MUSTNet, warm: WarmHead, batch: Batch) -> Tensor:
        """Survival loss (B,) of each whole latent by itself, summed over modalities (eq. 12)."""
        whole, present = net.encoder.whole_latents(batch)
        rows = present.nonzero()[:, 0]
        interval, event = batch.outcome
        loss = self._survival(warm(whole[present]), interval[rows], event[rows])
        return loss.new_zeros(len(batch)).index_add(0, rows, loss)

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """Survival loss (B,) and, for complete patients, the three terms of eq. 16."""
        must, config = cast("MUSTNet", net), self.config
        latents = must.encoder(batch)
        loss = self._survival(must.logits(latents), *batch.outcome)
        rows = latents.complete.nonzero()[:, 0]
        split = latents.split(rows)
        terms = (
            config.weight_decomposition * split.residual().sum(dim=1)
            + config.weight_sharing * split.disagreement()
            + config.weight_overlap * split.overlap()
        )
        return loss.index_add(0, rows, terms)

    def _survival(self, logits: Tensor, interval: Tensor, event: Tensor) -> Tensor:
        literal, alpha = self.config.nll_literal, self.config.alpha
        return nll_surv(logits, interval, event, alpha=alpha, literal=literal)

    def fit_cases(self, cohort: Cohort) -> None:
        """Train the net in two stages, then one generator per modality on frozen latents."""
        super().fit_cases(cohort)
        found = Latents.joined([self.net.encoder(batch) for _, batch in self.batches(cohort)])
        split = found.split(found.complete.nonzero()[:, 0])
        terms = {"residual": split.residual().sum(dim=1), "disagreement": split.disagreement()}
        sizes = {"": 1, "_per_dimension": self.config.width}
        self.record["terms"] = {
            f"{name}{unit}": float(value.mean()) / size
            for name, value in terms.items()
            for unit, size in sizes.items()
        }
        if self.config.diffusion_steps:  # an untrained generator makes zeros
            self._fit_generators(found)

    def _fit_generators(self, latents: Latents) -> None:
        """Train each modality's generator on the latents of the patients who have it."""
        names, lessons = [], []
        for column, name in enumerate(self.net.diffusion):
            rows = latents.present[:, column]
            if not rows.any():
                continue
            theirs = latents.of(rows)
            with torch.no_grad():
                condition = self.net.condition(theirs, column)
            seed, constant = self.stream(f"diffusion {name}"), self.net.constant(name)
            names.append(name)
            lessons.append(Lesson(theirs.specific[:, column], condition, constant, seed))
        steps = self.config.diffusion_steps
        losses = train_denoisers(
            [cast("LatentDiffusion", self.net.diffusion[name]) for name in names],
            lessons,
            self.config,
            report=lambda number, done, loss: self.report(
                Progress(f"diffusion {names[number]}", done, steps, loss)
            ),
        )
        for name, found in zip(names, losses, strict=True):
            self.note(f"diffusion {name}", Trained(steps, found))

    def infer(self, batch: Batch) -> Inference:
        """Logits with absent specific latents generated, and how well latents decompose."""
        latents = self.net.encoder(batch)
        made, recovered = torch.zeros_like(latents.specific), {}
        for column, name in enumerate(self.net.diffusion):
            absent = ~latents.present[:, column]
            rows = absent.nonzero()[:, 0]
            if len(rows):
                made[rows, column] = self._generate(name, latents.of(rows), rows, batch.case_id)
            recovered[name] = made[:, column].masked_fill(~absent[:, None], torch.nan)
        logits = self.net.logits(latents, made)
        return Inference(logits, latents.cosines(self.net.names), recovered)

    def _generate(
        self, name: str, latents: Latents, rows: Tensor, case_id: Sequence[str]
    ) -> Tensor:
        """Specific latents (b, D) of modality `name` for the patients `rows` (b,) of a batch."""
        start = torch.stack([self._noise(name, case_id[row]) for row in rows.tolist()], dim=1)
        model = cast("LatentDiffusion", self.net.diffusion[name])
        condition, constant = self.net.surrogate(latents), self.net.constant(name)
        sample = model.sample(condition, constant, start.to(rows.device)).mean(dim=0)
        return (
            outside(sample, self.net.encoder.subspace()) if self.config.project_sample else sample
        )

    def _noise(self, name: str, case_id: str) -> Tensor:
        """Starting noise (S, D) of a patient, each sample from its own stream."""
        seeds = [self.stream(f"sample {name} {s}", case_id) for s in range(self.config.samples)]
        streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        return torch.stack([torch.randn(self.config.width, generator=s) for s in streams])

    def latents(self, cohort: Cohort) -> dict[str, NDArray[np.float64]]:
        """Specific latents (N, D) of each modality that can be generated; NaN where absent."""

        def made(batch: Batch) -> tuple[Tensor, Tensor]:
            found = self.net.encoder(batch)
            return found.specific, found.present

        specific = self.gathered(cohort, made)
        return {name: specific[:, column] for column, name in enumerate(self.net.diffusion)}

    def latent_centre(self) -> dict[str, NDArray[np.float64]]:
        """Training mean (D,) of those latents."""
        return {
            name: model.get_buffer("latent_mean").double().cpu().numpy()
            for name, model in self.net.diffusion.items()
        }
