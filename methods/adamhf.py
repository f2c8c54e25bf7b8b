"""AdaMHF: experts per patient, few tokens of each modality, low-rank fusion; P and G.

Source: Zhang et al., AdaMHF, ICME 2025 (arXiv 2503.21124), eq. 1-15 and Table V, with the released
    code where the text lacks a formula; that code cannot run.
Missing modality: no mechanism in paper or code, which do not say what was put in place of it. Zero
    genes, or one zero patch, stand in (`*` in every table), as for the other starred methods;
    `absent="skip"` leaves the stream out instead, in training too: its class tokens are what was
    learnt, cross attention passes the other side on unread, low-rank fusion reads zeros.
Departs: what is broken in the code, and what cannot be told from the paper.
    Gates: the code's router, token scores and gates receive no gradient. Here the chosen expert is
    multiplied by its gate probability, and what is selected passes its gradient straight through
    (`trained_gates`; False: as the code).
    Experts: each token they make is normalised over its channels (`expert_norm`), of P in place of
    batch normalisation, so that no risk depends on company and the patches cannot silence the class
    token; of G in place of nothing. Without it genomic tokens grow: AlphaDropout scales what is
    expected of a value by .65, in training alone, and after 24 of them logits were 25 times as
    large in prediction; with plain dropout training diverged. The frozen layer is D-4D-D from a
    fixed seed, with the code's ReLU: the published ones are 1024 wide.
    Selection: K tokens and scores that see the class token, as printed; the code makes one vector
    without it (`selection="vector"`). Fusion: mean tokens of P and of G, not G twice; factors are
    learnt, not drawn anew at every call. Auxiliary loss: within a modality, as the code.
    Attention is exact, without zero rows, up to the number of landmarks (`attention`).
    Recipe: medians of Table V over its five cohorts, weight decay of the code; `paper_*` have each
    cohort's values. Random patches in training alone; predictions read whole bags.
    FLOPs: 25.7 GMAC at 2,048 patches, 28.5 in the form of the code; 2.51 G in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from survbench.errors import InputError
from survbench.learn import BagBatch, Batch, NeuralMethod, Recipe, Widths, nll_surv
from survbench.learn.buckets import selected
from survbench.learn.coattention import CoAttention
from survbench.learn.epeg import EPEG
from survbench.learn.experts import (
    ConvExpert,
    Encoded,
    ExpertEncoder,
    ExpertStack,
    MixKind,
    NormKind,
    ResidualMLP,
)
from survbench.learn.hide import present_in
from survbench.learn.low_rank import LowRankFusion, OuterFusion
from survbench.learn.nystrom import AttentionKind
from survbench.learn.snn import GroupSNN, mlp_blocks, snn_blocks, xavier_normal_
from survbench.learn.token_select import TokenSelector, drawn
from survbench.learn.transmil import in_order

ROLES = ("P", "G")
CHOICES = {
    "absent": ("zero", "skip"),
    "experts": ("progressive", "mixture", "mlp", "none"),
    "selection": ("tokens", "vector", "none"),
    "fusion": ("low_rank", "outer", "none"),
}


@dataclass(frozen=True)
class AdaMHFConfig(Recipe):
    """Hyperparameters; Table III and IV are `experts` to `fusion`."""

    epochs: int = 50  # Table V: 50, 20, 50, 50, 30
    batch: int = 1  # Table V: 1, 1, 2, 2, 1
    lr: float = 1e-3  # Table V: 1e-3, 5e-3, 1e-4, 1e-3, 1e-3
    patches: int = 2048  # drawn at random for each training step; Table V
    width: int = 256  # H, width of a token; official code
    patch_hidden: int | None = None  # first layer of the patch embedding, H where None; large: 512
    gene_hidden: tuple[int, ...] = (1024,)  # before H; official code, three of them if large
    dropout: float = 0.25  # embeddings and experts; official code
    heads: int = 8  # official code, as the next four
    landmarks: int | None = None  # H / 2 where None
    iterations: int = 6  # of the pseudo-inverse
    kernel: int = 33  # of the value convolution
    attention_dropout: float = 0.1
    attention: AttentionKind = "auto"  # 'nystrom' as the official code
    epeg_kernel: int = 15  # official code
    epeg_residual: bool = False  # True: tokens + convolution, as the layer is used elsewhere
    experts: str = "progressive"  # mixture: one plain layer; mlp: dense residual; none: no PREE
    expert_layers: int = 3  # with 1, 2 and 4 experts
    expert_norm: NormKind = "token"  # of P and G; 'batch', of P alone, as the official code
    trained_mlp: bool = False  # the dense layer beside the experts; frozen in the paper
    trained_gates: bool = True  # False as the official code: gates, scores and router stay random
    balance: float = 0.0  # load term E p_e of each patient and layer; usual 0.01, paper none
    selection: str = "tokens"  # vector: one token, as the official code; none: all (no ATSA)
    preserve: bool = True  # pool the tokens that are not kept; False drops them
    most_tokens: int = 20  # bound of K; official code
    fixed_k: int | None = None  # K in place of the router's
    fixed_alpha: float | None = None  # share of the K tokens that are kept, in place of the same
    fusion: str = "low_rank"  # outer: whole outer product (no LMF); none: class tokens alone
    rank: int = 4  # official code
    beta: float = 0.05  # weight of local features; Table V: .05, .05, .10, .20, .05
    alignment: float = 0.5  # weight of the auxiliary loss; Table V: .1, .5, .5, .1, 1
    absent: str = "zero"  # or skip; see the module docstring

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of(CHOICES)
        self.at_least(
            dict.fromkeys(("expert_layers", "patches", "most_tokens", "rank", "fixed_k"), 1)
        )
        if self.fixed_alpha is not None and not 0 <= self.fixed_alpha <= 1:
            msg = f"fixed_alpha is {self.fixed_alpha}; it must be between 0 and 1"
            raise InputError(msg)


@dataclass(frozen=True, eq=False)
class Verdict:
    """Of B patients: logits (B, K), auxiliary loss (B,) and load (B,) of the gates."""

    logits: Tensor
    drift: Tensor
    load: Tensor


def encoder(config: AdaMHFConfig, role: str) -> ExpertEncoder:
    """Segregation or integration unit of a modality (eq. 2-3); G has neither grid nor positions."""
    width, bags = config.width, role == "P"

    def expert() -> nn.Module:
        if bags:
            return ConvExpert(width, config.expert_norm)
        blocks = snn_blocks(width, (width, width), dropout=config.dropout)
        return blocks.append(nn.LayerNorm(width)) if config.expert_norm == "token" else blocks

    experts = ExpertStack(
        width,
        expert,
        layers=config.expert_layers,
        kind=cast("MixKind", config.experts),
        trained_gate=config.trained_gates,
        trained_residual=config.trained_mlp,
    )
    return ExpertEncoder(
        width,
        EPEG(width, config.epeg_kernel, residual=config.epeg_residual) if bags else None,
        None if config.experts == "none" else experts,
        heads=config.heads,
        landmarks=config.landmarks,
        iterations=config.iterations,
        kernel=config.kernel,
        dropout=config.attention_dropout,
        attention=config.attention,
    )


class AdaMHFNet(nn.Module):
    """Patches and gene groups to class tokens and a low-rank product to hazard logits."""

    def __init__(self, config: AdaMHFConfig, widths: Widths) -> None:
        super().__init__()
        self.config, width, dropout = config, config.width, config.dropout
        hidden = (config.patch_hidden or width, width)
        patch = mlp_blocks(widths.patch["P"], hidden, dropout=dropout)
        genes = GroupSNN(widths.groups["G"], (*config.gene_hidden, width), dropout=dropout)
        self.embed = nn.ModuleDict({"P": patch, "G": genes})
        self.segregate = nn.ModuleDict({role: encoder(config, role) for role in ROLES})
        self.select = self._selector(config)
        self.read = nn.ModuleDict({role: CoAttention(width) for role in ROLES})
        self.integrate = nn.ModuleDict({role: encoder(config, role) for role in ROLES})
        self.merge = mlp_blocks(len(ROLES) * width, (width, width), dropout=0.0)
        fusions: dict[str, Callable[[], nn.Module]] = {
            "low_rank": lambda: LowRankFusion(width, config.rank),
            "outer": lambda: OuterFusion(width),
        }
        self.fuse = fusions[config.fusion]() if config.fusion in fusions else None
        self.head = nn.Linear(width, widths.intervals)
        xavier_normal_(self)
        for part in self.modules():
            if isinstance(part, ResidualMLP):
                part.draw()

    @staticmethod
    def _selector(config: AdaMHFConfig) -> TokenSelector | None:
        if config.selection == "none":
            return None
        return TokenSelector(
            config.width,
            most=config.most_tokens,
            count=config.fixed_k,
            share=config.fixed_alpha,
            pooled=config.preserve,
            vector=config.selection == "vector",
            trained=config.trained_gates,
        )

    def forward(self, batch: Batch) -> Tensor:
        """Hazard logits (B, K) of a batch whose P is ragged bags."""
        return self.judge(batch).logits

    def judge(self, batch: Batch) -> Verdict:
        """Logits and the terms of the loss; patients who lack the same are computed together."""
        groups = _alike(batch)
        whole = len(groups) == 1
        parts = [self._judge(batch if whole else selected(batch, rows)) for rows, _ in groups]
        logits = in_order([part.logits for part in parts], groups)
        drift = in_order([part.drift for part in parts], groups)
        return Verdict(logits, drift, in_order([part.load for part in parts], groups))

    def _judge(self, batch: Batch) -> Verdict:
        """The same for patients of whom all or none have a modality."""
        present = [role for role in ROLES if len(batch.modalities[role])]
        own = {role: self.segregate[role](self.tokens(batch, role)) for role in present}
        mixed = {role: self.integrate[role](t) for role, t in self.exchanged(own).items()}
        leading = [
            (own[role].leading + mixed[role].leading) / 2
            if role in present
            else self._learnt(role).expand(len(batch), -1)
            for role in ROLES
        ]
        fused: Tensor = self.merge(torch.cat(leading, dim=1))  # (B, H), eq. 7
        if self.fuse is not None:
            mean = {role: mixed[role].tokens.mean(mixed[role].tokens.features) for role in present}
            local = self.fuse(*(mean.get(role, torch.zeros_like(fused)) for role in ROLES))
            fused = fused + self.config.beta * local  # eq. 8
        drift, load = fused.new_zeros(len(batch)), fused.new_zeros(len(batch))
        for role in present:
            change = mixed[role].leading - own[role].leading.detach()
            drift = drift + change.abs().mean(dim=1)  # eq. 17
            load = load + own[role].load + mixed[role].load
        return Verdict(self.head(fused), drift, load)

    def _learnt(self, role: str) -> Tensor:
        """Class token (H,) of a modality nobody has: the mean of what its two units learnt."""
        units = (self.segregate[role], self.integrate[role])
        first, second = (unit.get_parameter("class_token")[0, 0] for unit in units)
        return (first + second) / 2

    def tokens(self, batch: Batch, role: str) -> BagBatch:
        """Embedded patches, or one token for each gene group."""
        if role == "P":
            bags = batch.bags(role)
            if self.training:
                bags = drawn(bags, self.config.patches)
            return BagBatch(self.embed[role](bags.features), bags.length, bags.rows)
        genes = batch.genes(role)
        token = self.embed[role](genes)  # (n, groups, H)
        length = torch.full_like(genes.rows, token.shape[1])
        return BagBatch(token.flatten(0, 1), length, genes.rows)

    def exchanged(self, own: Mapping[str, Encoded]) -> dict[str, BagBatch]:
        """Selected tokens of each modality after they read those of the other (eq. 4-5)."""
        chosen = {
            role: self.select(found.tokens, found.leading) if self.select else found.tokens
            for role, found in own.items()
        }
        if len(chosen) < len(ROLES):
            return chosen
        padded = {role: bags.padded(bags.features) for role, bags in chosen.items()}
        exchanged = {}
        for role, other in (ROLES, ROLES[::-1]):
            source, real = padded[other]
            mask = None if chosen[other].even else real
            bags = chosen[role]
            read = bags.unpadded(self.read[role](padded[role][0], source, mask))
            exchanged[role] = BagBatch(read, bags.length, bags.rows)
        return exchanged


def _alike(batch: Batch) -> list[tuple[Tensor, Tensor]]:
    """Positions of the patients who have the same modalities, each twice, as `in_order` reads."""
    has = sum(2**bit * one for bit, one in enumerate(present_in(batch, ROLES).long().unbind(1)))
    rows = [(has == kind).nonzero()[:, 0] for kind in has.unique()]
    return [(which, which) for which in rows]


class AdaMHF(NeuralMethod):
    """Adaptive multimodal hierarchical fusion; see the module docstring."""

    uses = frozenset(ROLES)
    fill: str | None = "zero"
    resumes = True
    Config = AdaMHFConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {
            "width": 32,
            "landmarks": 128,
            "patches": 25,
            "expert_layers": 2,
            "dropout": 0.0,  # with it nothing is learnt in so few steps
            "batch": 16,
            "epochs": 8,
            "lr": 3e-3,
        },
        # tuned by its authors on these patients: Table V
        "paper_blca": {"alignment": 0.1},
        "paper_brca": {"lr": 5e-3, "epochs": 20},
        "paper_ucec": {"lr": 1e-4, "batch": 2, "beta": 0.1},
        "paper_luad": {"alignment": 0.1, "batch": 2, "beta": 0.2},
        "paper_gbmlgg": {"alignment": 1.0, "epochs": 30},
    }
    net: AdaMHFNet

    def declare(self) -> None:
        """With `skip`, nothing is filled and anything may be absent."""
        if self.config.absent == "skip":
            self.fill = None
            self.tolerates = self.trains_without = self.uses

    def build(self, widths: Widths) -> AdaMHFNet:
        """AdaMHF for the cohort's patches and gene groups."""
        return AdaMHFNet(self.config, widths)

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """Survival loss (B,), drift of the class tokens between the units, load of the gates."""
        said = cast("AdaMHFNet", net).judge(batch)
        loss = nll_surv(said.logits, *batch.outcome, alpha=self.config.alpha)
        aside: Tensor = self.config.alignment * said.drift + self.config.balance * said.load
        return loss + aside
