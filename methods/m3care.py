"""M3Care: what is missing is told by similar patients, and a transformer joins all modalities.

Source: Zhang et al., M3Care: Learning with Missing Modalities in Multimodal Healthcare Data, KDD
    2022, and its notebooks; there is no survival code.
Missing modality: two graph convolutions over the training patients who have it and are similar
    enough by what is present stand in for it. What is present is blended with the same. Training
    patients may lack any, too.
Departs: from the notebooks, in which patients of one batch are each other's neighbours.
    Graph: a bank of training patients' vectors, 255 of them drawn in each training step and all
    (1,024 at most) in prediction; edges lead from the bank to a patient and within the bank, never
    from a patient to others, and norm statistics and bandwidths are the bank's, so that nobody's
    risk depends on company. A patient's own entry is left out; themselves they always hear.
    Imputation: a neighbour must have the modality, the patient need not (`official_mask`: with
    it, whoever lacks a modality gets one constant vector). Hardly anybody is as similar as the
    threshold asks (0.88; among simulated patients 0.1 of 160), so who lacks a modality hears of
    the 5 most similar at least (`least`; 0 as the notebooks), and weights are averaged, not summed
    (`average`), since more patients are in the bank than in a step: with G missing, C was 0.70 with
    both, 0.68 with either, 0.66 with neither. Absent vectors are left out of norm and bandwidth.
    Kernels are averaged, (1 - g) K1 + g K2; the notebooks' brackets make it a product
    (`product_kernel`).
    Network: P and G for the health records, one token each; likelihood of discrete-time survival;
    parameters that nothing reads are left out; attention weights have no dropout.
    Training: 30 epochs, Adam 1e-3 (MUST's for M3Care), steps of 32 patients; the penalty on norms
    is taken of each patient's vectors, not of the batch's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from survbench.cohort import Cohort
from survbench.learn import Batch, Inference, NeuralMethod, Recipe, Stage, Widths, nll_surv
from survbench.learn.attention import EncoderLayer
from survbench.learn.bank import Bank, Nodes
from survbench.learn.graph import Edges, Neighbours, Similarity, kept, nearest
from survbench.learn.snn import mlp_head
from survbench.learn.stems import BagStem, GeneStem, Stems
from survbench.method import ALL


@dataclass(frozen=True)
class M3CareConfig(Recipe):
    """Hyperparameters; recipe is MUST's for M3Care, the rest the notebooks'."""

    epochs: int = 30
    lr: float = 1e-3
    weight_decay: float = 1e-5  # notebook on ovarian cancer
    clip: float = 20.0  # largest norm of a step's gradient
    width: int = 256  # H, of a vector
    stem_dropout: float = 0.25
    dropout: float = 0.5  # of residual branches and head
    forward_dropout: float = 0.1  # inside feed-forward blocks
    heads: int = 4  # of the first encoder; the second has one
    norm: bool = False  # the notebooks compute layer norms and leave them out
    neighbours: int = 255  # of the bank, in a training step
    bank: int = 1024  # training patients kept, at most
    penalty: float = 1e-7  # on how far a projection changes the norm of a vector
    official_mask: bool = False  # True: who lacks a modality hears of nobody
    product_kernel: bool = False  # True: ((1 - g) K1 + g) K2
    average: bool = True  # weights of those heard have sum 1
    least: int = 5  # neighbours of whoever lacks a modality, however dissimilar
    modality_dropout: float = 0.0  # share of complete patients shown without one, in training


def positions(length: int, width: int) -> Tensor:
    """Sinusoidal positions (length, width): sines in even columns, cosines in odd ones."""
    pair = torch.arange(width) // 2
    angle = torch.arange(length)[:, None] / 10_000 ** (2 * pair / width)
    return torch.where(torch.arange(width) % 2 == 0, angle.sin(), angle.cos())


class Encoder(nn.Module):
    """Dense layer, positions, one transformer layer, ReLU."""

    def __init__(self, config: M3CareConfig, heads: int) -> None:
        super().__init__()
        self.embed = nn.Linear(config.width, config.width)
        self.layer = EncoderLayer(
            config.width,
            heads=heads,
            hidden=4 * config.width,
            dropout=config.dropout,
            norm=config.norm,
            forward_dropout=config.forward_dropout,
        )

    def forward(self, token: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens (B, L, H) of tokens (B, L, H); `mask` (B, L) is True at real ones."""
        place = positions(*token.shape[1:]).to(token)
        encoded: Tensor = self.layer(self.embed(token) + place, mask)
        return encoded.relu()


class Blend(nn.Module):
    """What neighbours tell and what a patient has, weighted by a gate of each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.told = nn.Linear(width, 1)
        self.own = nn.Linear(width, 1)

    def weight(self, told: Tensor, own: Tensor) -> Tensor:
        """Weight (B, 1) of what is told."""
        told, own = self.told(told).sigmoid(), self.own(own).sigmoid()
        return told / (told + own)

    def forward(self, told: Tensor, own: Tensor, present: Tensor) -> Tensor:
        """Vectors (B, H); of patients without their own (B,), what is told alone."""
        weight = self.weight(told, own)
        return torch.where(present[:, None], weight * told + (1 - weight) * own, told)


@dataclass
class Seen:
    """What the net makes of B patients: their vectors, what neighbours tell, and logits.

    `neighbours` (B,) is how many of the bank are similar enough.
    """

    nodes: Nodes
    told: Tensor  # (B, M, H)
    logits: Tensor  # (B, K)
    neighbours: Tensor


class M3CareNet(nn.Module):
    """Vectors of all modalities, completed by a graph of patients, through a transformer.

    Parameters
    ----------
    config
        Hyperparameters.
    widths
        Of the cohort.
    bank
        Number of patients in the bank.
    """

    def __init__(self, config: M3CareConfig, widths: Widths, bank: int) -> None:
        super().__init__()
        self.config, self.names = config, widths.order
        width, count = config.width, len(widths.order)
        self.stems = Stems(widths, width, stem=lambda name: _stem(config, widths, name))
        self.bank = Bank(bank, count, width)
        self.similarity = Similarity(self.names, width, product=config.product_kernel)
        self.neighbours = nn.ModuleDict({name: Neighbours(width) for name in self.names})
        self.blend = nn.ModuleDict({name: Blend(width) for name in self.names})
        self.kind = nn.Parameter(torch.randn(count, width))  # of modality, as an embedding
        self.first = Encoder(config, config.heads)
        self.second = Encoder(config, heads=1)
        self.head = mlp_head(count * width, 2 * width, widths.intervals, dropout=config.dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K), by all of the bank."""
        return self.seen(batch).logits

    def seen(self, batch: Batch, drawn: Tensor | None = None, places: Tensor | None = None) -> Seen:
        """All that the net makes of a batch.

        Of the bank, it reads the rows `drawn`, all if None, but for each patient's own, `places`
        (B,).
        """
        whole = Nodes(*self.stems(batch))
        nodes, bank = self._shown(whole), self.bank.nodes(drawn)
        among, towards = self.similarity(nodes, bank)
        if drawn is not None and places is not None:
            towards = towards.masked_fill(places[:, None] == drawn, 0.0)
        told = torch.stack(
            [self._told(column, nodes, bank, among, towards) for column in range(len(self.names))],
            dim=1,
        )
        return Seen(
            whole, told, self.joined(nodes, told), (towards > self.similarity.cut()).sum(dim=1)
        )

    def _told(
        self, column: int, nodes: Nodes, bank: Nodes, among: Tensor, towards: Tensor
    ) -> Tensor:
        """What neighbours tell (B, H) of modality `column`, by similarities (n, n) and (B, n)."""
        has, known = nodes.present[:, column, None], bank.present[:, column]
        cut, config = self.similarity.cut(), self.config
        heard, within = kept(towards * known, cut), kept(among * known, cut)
        few = ~has & ((heard > 0).sum(dim=1, keepdim=True) < config.least)
        heard = torch.where(few, nearest(towards * known, config.least), heard)
        if config.official_mask:
            heard, within = heard * has, within * known[:, None]
        edges = Edges(within, heard, kept(torch.ones_like(has, dtype=heard.dtype), cut) * has)
        if config.average:
            edges = edges.averaged()
        layers = self.neighbours[self.names[column]]
        told: Tensor = layers(edges, nodes.vector[:, column], bank.vector[:, column])
        return told

    def joined(self, nodes: Nodes, told: Tensor) -> Tensor:
        """Hazard logits (B, K) of vectors and of what neighbours tell, (B, M, H)."""
        parts = zip(
            self.blend.values(),
            told.unbind(dim=1),
            nodes.vector.unbind(dim=1),
            nodes.present.unbind(dim=1),
            strict=True,
        )
        token = torch.stack([blend(*part) for blend, *part in parts], dim=1) + self.kind
        logits: Tensor = self.head(self.second(self.first(token)).flatten(1))
        return logits

    def _shown(self, nodes: Nodes) -> Nodes:
        """In training, with one modality of some complete patients hidden."""
        if not self.training or self.config.modality_dropout == 0:
            return nodes
        count, size = nodes.present.shape
        device = nodes.present.device
        which = torch.randint(size, (count,), device=device)
        drop = torch.rand(count, device=device) < self.config.modality_dropout
        drop &= nodes.present.all(dim=1)
        gone = drop[:, None] & (torch.arange(size, device=device) == which[:, None])
        return Nodes(nodes.vector.masked_fill(gone[..., None], 0.0), nodes.present & ~gone)

    def distortion(self, nodes: Nodes) -> Tensor:
        """How far projections change the norms of a patient's vectors, (B,), summed over them."""
        total = nodes.vector.new_zeros(len(nodes))
        for column, layers in enumerate(self.similarity.project.values()):
            vector = nodes.vector[:, column]
            gap = (layers(vector).norm(dim=1) - vector.norm(dim=1)).abs()
            total = total + gap.masked_fill(~nodes.present[:, column], 0.0)
        return total


def _stem(config: M3CareConfig, widths: Widths, name: str) -> nn.Module:
    width, dropout = config.width, config.stem_dropout
    if name in widths.groups:
        return GeneStem(widths.groups[name], width, dropout)
    stem = BagStem(widths.patch[name], width, dropout)
    return nn.Sequential(stem, nn.Linear(width, width), nn.ReLU())


class M3Care(NeuralMethod):
    """Similar patients tell what is missing; see the module docstring."""

    uses = ALL
    tolerates = ALL
    trains_without = ALL
    needs_others = "its neighbours are drawn from a bank of the other training patients"
    resumes = True
    Config = M3CareConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"width": 64, "epochs": 12},
    }
    net: M3CareNet
    places: dict[str, int]

    def build(self, widths: Widths) -> M3CareNet:
        """M3Care for the cohort's modalities, with a bank for the training patients."""
        return M3CareNet(self.config, widths, self.facts.get("bank", 0))

    def stages(self) -> list[Stage]:
        """One stage, its gradients clipped."""
        (stage,) = super().stages()
        return [replace(stage, before_step=self._clip)]

    def _clip(self, net: nn.Module) -> None:
        nn.utils.clip_grad_norm_(net.parameters(), self.config.clip)

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """Likelihood (B,) and penalty, with neighbours drawn from the bank, which learns of it."""
        care, config = cast("M3CareNet", net), self.config
        drawn = torch.randperm(len(care.bank))[: config.neighbours].to(batch.outcome[0].device)
        places = self._places(batch).to(drawn)
        seen = care.seen(batch, drawn, places)
        care.bank.put(places, seen.nodes)
        likelihood = nll_surv(seen.logits, *batch.outcome, alpha=config.alpha)
        loss: Tensor = likelihood + config.penalty * care.distortion(seen.nodes)
        return loss

    def fit_cases(self, cohort: Cohort) -> None:
        """Train, then fill the bank with what the trained net makes of its patients."""
        size = min(len(cohort), self.config.bank)
        self.facts["bank"] = size
        chosen = np.random.default_rng(self.stream("bank")).permutation(len(cohort))[:size]
        self.places = {case: place for place, case in enumerate(cohort.case_id[np.sort(chosen)])}
        super().fit_cases(cohort)
        self._remember(cohort)
        everybody = torch.arange(size, device=self.device)
        found = [
            self.net.seen(batch, everybody, self._places(batch)).neighbours
            for _, batch in self.batches(cohort)
        ]
        self.record["neighbours"] = float(torch.cat(found).double().mean())

    def prepare(self, stage: Stage, cohort: Cohort) -> Cohort:
        """Before training: the bank."""
        del stage
        self._remember(cohort)
        return cohort

    def _remember(self, cohort: Cohort) -> None:
        """Put into the bank what the net makes of its patients, in eval mode."""
        for _, batch in self.batches(cohort):
            self.net.bank.put(self._places(batch), Nodes(*self.net.stems(batch)))

    def _places(self, batch: Batch) -> Tensor:
        """Place (B,) of each patient in the bank, -1 for those who have none."""
        places = [self.places.get(case, -1) for case in batch.case_id]
        return torch.tensor(places, device=self.device)

    def infer(self, batch: Batch) -> Inference:
        """Logits, how many neighbours a patient has, and what they tell of what is missing."""
        seen = self.net.seen(batch)
        recovered = {
            name: seen.told[:, column].masked_fill(seen.nodes.present[:, column, None], torch.nan)
            for column, name in enumerate(self.net.names)
        }
        return Inference(seen.logits, {"neighbours": seen.neighbours}, recovered)

    def latents(self, cohort: Cohort) -> dict[str, NDArray[np.float64]]:
        """Vectors (N, H) of each modality; NaN where absent."""
        found = self.gathered(cohort, self.net.stems)
        return {name: found[:, column] for column, name in enumerate(self.net.names)}

    def latent_centre(self) -> dict[str, NDArray[np.float64]]:
        """Mean (H,) of those vectors over the bank."""
        nodes = self.net.bank.nodes()
        count = nodes.present.sum(dim=0).clamp(min=1)
        mean = (nodes.vector.sum(dim=0) / count[:, None]).double().cpu().numpy()
        return dict(zip(self.net.names, mean, strict=True))
