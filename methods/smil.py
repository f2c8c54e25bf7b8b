"""SMIL: what is missing is mixed from priors, and meta-learning makes the network bear it.

Source: Ma et al., SMIL: Multimodal Learning with Severely Missing Modality, AAAI 2021, and its
    code for sound and images; there is no survival code.
Missing modality: its feature is a convex combination of 10 K-means centres of the training
    patients' features, weighted by the mean feature of the modalities present, and both layers of
    the head are perturbed by what is present (eq. 3-6); complete patients get neither.
    Training patients who lack one count as zero there in stage A; stage B takes them for its
    inner step alone.
Departs: the code takes one direction, image to sound; here every modality can be the missing one.
    Network: patches pooled by gated attention, gene groups by SNNs, 256 wide each, likelihood of
    discrete-time survival for the cross entropy; the perturbation is added as in that code (the
    paper multiplies, `perturb`). Of three and more modalities the fillers read the mean of those
    present, and perturbations of all missing are averaged.
    Training: 20 epochs of the complete network and 30 of meta-learning (50 in all, as MUST) for
    pre-training and 8,000 iterations; steps of 32 for 128, half of them for the inner step, at a
    learning rate that stays (theirs falls every 1,000 and 5,000 iterations); which modality is
    hidden is drawn in each step; one Adam for both networks, with the settings of both.
    Bags: stage B reads at most 2,048 patches, drawn anew in each step; a step too large for
    memory is cut, and every part takes its own inner step.
    Prediction: noise at its mean, once (the code averages 30 equal passes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from survbench.cohort import Cohort
from survbench.errors import InputError
from survbench.learn import Batch, Inference, NeuralMethod, Recipe, Stage, Widths, nll_surv
from survbench.learn.buckets import selected
from survbench.learn.centres import centres
from survbench.learn.drawn_bags import draw_patches
from survbench.learn.fillers import Filler, Fused, FusedHead, Noise
from survbench.learn.hide import present_in, without
from survbench.learn.meta import inner_step
from survbench.learn.stems import Stems
from survbench.method import ALL

CHOICES = {"perturb": ("add", "multiply"), "inner_scope": ("available", "head")}
Task = Callable[[Tensor, Batch], Tensor]


@dataclass(frozen=True)
class SMILConfig(Recipe):
    """Hyperparameters; recipe is MUST's for SMIL, the meta-learning that of SMIL's code."""

    epochs: int = 20  # of stage A, complete patients
    meta_epochs: int = 30  # of stage B; 50 in all
    lr: float = 1e-3  # of both stages
    weight_decay: float = 1e-4  # code
    width: int = 256  # H, of a feature
    dropout: float = 0.25  # of the encoders
    hidden: int = 256  # of the head; the code has 64 for digits
    head_dropout: float = 0.5  # code
    priors: int = 10  # K-means centres of each modality; code
    perturb: str = "add"  # the code; 'multiply' is the paper
    inner_lr: float = 1e-3  # code
    inner_steps: int = 1  # code; each sees the same noise
    inner_scope: str = "available"  # encoders of what is present, and head; 'head' alone is cheaper
    first_order: bool = False  # True: the inner step is taken without second derivatives
    match_feature: float = 0.01  # weight of the squared error of fused features; code
    match_hidden: float = 0.01  # the same of the head's hidden layer; code
    weight_complete: float = 0.0  # of complete patients' loss in stage B; the code leaves it out
    patches: int = 2048  # of a bag in stage B

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of(CHOICES)


@dataclass
class MetaStep:
    """One inner step: the pass it follows, the parameters it gives, and what these make of others.

    `noisy` is of meta-training patients; `missing` and `complete` of meta-validation patients.
    """

    noisy: Fused
    adapted: dict[str, Tensor]
    missing: Fused
    complete: Fused


class SMILNet(nn.Module):
    """Encoders and head, with a filler for each modality.

    Parameters
    ----------
    config
        Hyperparameters.
    widths
        Of the cohort.
    stems, features
        Encoders, which give features (B, M, H) and who has them (B, M), and the width of each
        modality's feature; made by config and cohort where None.
    """

    def __init__(
        self,
        config: SMILConfig,
        widths: Widths,
        stems: nn.Module | None = None,
        features: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.config, self.names = config, widths.order
        if len(self.names) < 2:
            msg = f"two modalities or more are needed; the cohort has {', '.join(self.names)}"
            raise InputError(msg)
        self.stems = stems or Stems(widths, config.width, config.dropout)
        sizes = features or dict.fromkeys(self.names, config.width)
        self.fusion = FusedHead(
            sizes,
            config.hidden,
            widths.intervals,
            priors=config.priors,
            dropout=config.head_dropout,
            multiply=config.perturb == "multiply",
        )

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K), what is absent filled."""
        return self.seen(batch).logits

    def encode(
        self, batch: Batch, moved: Mapping[str, Tensor] | None = None
    ) -> tuple[Sequence[Tensor], Tensor]:
        """Features (B, H) of each modality, zero where absent, and who has which, (B, M).

        By the net's own parameters but for those in `moved`.
        """
        features, present = functional_call(self.stems, _under(moved, "stems."), (batch,))
        return features.unbind(dim=1), present

    def fuse(
        self,
        features: Sequence[Tensor],
        present: Tensor,
        noise: Noise | None = None,
        moved: Mapping[str, Tensor] | None = None,
    ) -> Fused:
        """What the head makes of features, by the net's own parameters but for `moved`."""
        fused: Fused = functional_call(
            self.fusion, _under(moved, "fusion."), (features, present, noise)
        )
        return fused

    def seen(
        self, batch: Batch, noise: Noise | None = None, moved: Mapping[str, Tensor] | None = None
    ) -> Fused:
        """All that the net makes of a batch."""
        return self.fuse(*self.encode(batch, moved), noise, moved)

    def fillable(self) -> list[int]:
        """Columns of the modalities that some training patient had."""
        fillers = [cast("Filler", filler) for filler in self.fusion.fillers.values()]
        return [column for column, filler in enumerate(fillers) if filler.priors.any()]

    def adaptable(self, hidden: str) -> dict[str, nn.Parameter]:
        """Parameters that an inner step moves while modality `hidden` is not seen."""
        moved = ["fusion.first.", "fusion.last."]
        if self.config.inner_scope == "available":
            moved += [f"stems.{name}." for name in self.names if name != hidden]
        return {n: p for n, p in self.named_parameters() if n.startswith(tuple(moved))}

    def meta_step(
        self, train: Batch, valid: Batch, column: int, task: Task, noise: Noise | None
    ) -> MetaStep:
        """Inner step on patients `train`, of whom a modality is not seen, and what follows of it.

        `task` gives the loss (B,) of logits (B, K); patients `valid` have every modality.
        """
        name, config = self.names[column], self.config
        train, adapted = without(train, name), dict[str, Tensor](self.adaptable(name))
        for _ in range(config.inner_steps):
            noisy = self.seen(train, noise, adapted)
            adapted = inner_step(
                task(noisy.logits, train).mean(),
                adapted,
                config.inner_lr,
                second_order=not config.first_order,
            )
        features, present = self.encode(valid, adapted)
        hidden = present.clone()
        hidden[:, column] = False
        missing, complete = (self.fuse(features, seen, moved=adapted) for seen in (hidden, present))
        return MetaStep(noisy, adapted, missing, complete)

    def validation_loss(self, step: MetaStep, valid: Batch, task: Task) -> Tensor:
        """Loss (B,) of the meta-validation patients."""
        missing, complete, config = step.missing, step.complete, self.config
        feature = (missing.feature - complete.feature).square().mean(dim=1)
        hidden = (missing.hidden - complete.hidden).square().mean(dim=1)
        loss = task(missing.logits, valid)
        loss = loss + config.match_feature * feature + config.match_hidden * hidden
        if config.weight_complete:
            loss = loss + config.weight_complete * task(complete.logits, valid)
        return loss


def _under(values: Mapping[str, Tensor] | None, prefix: str) -> dict[str, Tensor]:
    named = (values or {}).items()
    return {name.removeprefix(prefix): value for name, value in named if name.startswith(prefix)}


class SMIL(NeuralMethod):
    """Features mixed from priors, and a head that learnt to bear them; see the module docstring."""

    uses = ALL
    tolerates = ALL
    trains_without = ALL
    needs_others = "the inner step is taken on the other half of a step's patients"
    Config = SMILConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"width": 64, "hidden": 64, "epochs": 8, "meta_epochs": 12},
    }
    net: SMILNet

    def build(self, widths: Widths) -> SMILNet:
        """SMIL for the cohort's modalities."""
        return SMILNet(self.config, widths)

    def stages(self) -> list[Stage]:
        """The complete network, then meta-learning."""
        first = replace(super().stages()[0], name="complete", loss=self.complete_loss)
        epochs = self.config.meta_epochs
        return [first, replace(first, name="meta", loss=self.meta_loss, epochs=epochs)]

    def complete_loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """Loss (B,) of what patients have, without fillings and perturbations."""
        smil = cast("SMILNet", net)
        features, present = smil.encode(batch)
        return self._task(smil.fuse(features, torch.ones_like(present)).logits, batch)

    def meta_loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """Loss (B,) whose mean is that of the inner step's patients plus that of the others.

        The modality that is not seen is drawn, and so is who takes the inner step: half of the
        complete patients, and the incomplete ones who have another modality.
        """
        smil = cast("SMILNet", net).eval()  # without dropout, as the code
        present = present_in(batch, smil.names)
        column = self._draw_hidden(smil, present)
        if column is None:
            return self._task(smil(batch), batch)
        complete = present.all(dim=1).nonzero()[:, 0]
        complete = complete[torch.randperm(len(complete), device=complete.device)]
        second = complete[: len(complete) // 2]
        usable = present.sum(dim=1) > present[:, column].long()
        usable[second] = False
        first = usable.nonzero()[:, 0]
        train, valid = selected(batch, first), selected(batch, second)
        noise = smil.fusion.noise(len(first))
        step = smil.meta_step(train, valid, column, self._task, noise)
        loss = step.noisy.logits.new_zeros(len(batch))
        loss = loss.index_put(
            (first,), self._task(step.noisy.logits, train) * len(batch) / len(first)
        )
        if len(second) == 0:
            return loss
        after = smil.validation_loss(step, valid, self._task)
        return loss.index_put((second,), after * len(batch) / len(second))

    def _draw_hidden(self, net: SMILNet, present: Tensor) -> int | None:
        """Column of a modality that can be filled and that somebody can do without, if any."""
        others = present.sum(dim=1, keepdim=True) - present.long()  # (B, M)
        possible = [column for column in net.fillable() if others[:, column].any()]
        if not possible:
            return None
        return possible[int(torch.randint(len(possible), ()))]

    def _task(self, logits: Tensor, batch: Batch) -> Tensor:
        return nll_surv(logits, *batch.outcome, alpha=self.config.alpha)

    def prepare(self, stage: Stage, cohort: Cohort) -> Cohort:
        """Before meta-learning: the priors; of large bags it reads some patches."""
        if stage.name != "meta":
            return cohort
        for name, values in self.latents(cohort).items():
            known = values[~np.isnan(values).any(axis=1)]
            found = centres(known, self.config.priors, self.stream(f"priors {name}"))
            self._filler(name).priors.copy_(torch.as_tensor(found))
        return draw_patches(cohort, self.config.patches, self.stream("patches"))

    def fit_cases(self, cohort: Cohort) -> None:
        """Train in two stages, then note the mean of the training patients' features."""
        super().fit_cases(cohort)
        for name, values in self.latents(cohort).items():
            known = values[~np.isnan(values).any(axis=1)]
            if len(known):
                self._filler(name).mean.copy_(torch.as_tensor(known.mean(axis=0)))

    def infer(self, batch: Batch) -> Inference:
        """Logits, and the features that were filled in."""
        fused, present = self.net.seen(batch), present_in(batch, self.net.names)
        recovered = {
            name: filled.masked_fill(present[:, column, None], torch.nan)
            for column, (name, filled) in enumerate(zip(self.net.names, fused.filled, strict=True))
        }
        return Inference(fused.logits, recovered=recovered)

    def latents(self, cohort: Cohort) -> dict[str, NDArray[np.float64]]:
        """Features (N, H) of each modality; NaN where absent."""
        found = self.gathered(cohort, self.net.stems)
        return {name: found[:, column] for column, name in enumerate(self.net.names)}

    def latent_centre(self) -> dict[str, NDArray[np.float64]]:
        """Training mean (H,) of those features."""
        return {name: self._filler(name).mean.double().cpu().numpy() for name in self.net.names}

    def _filler(self, name: str) -> Filler:
        return cast("Filler", self.net.fusion.fillers[name])
