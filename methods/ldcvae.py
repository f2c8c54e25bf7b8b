"""LD-CVAE: gene tokens drawn from what the patches say; MCAT reads them in place of the real ones.

Source: Zhou et al., Robust Multimodal Survival Prediction with the Latent Differentiation
    Conditional Variational AutoEncoder, CVPR 2025, and its code (the model on MCAT).
Missing modality: without G the tokens are decoded from the prior times the posterior of the
    patches; with G from that times the posterior of the genes, so that the network never reads
    real tokens after its warm-up. P is never made: without it there is no prediction. Training
    takes patients with both alone, as the authors: the decoder learns on real gene tokens, and a
    loss for patients without any would be another method.
Departs: in what the code leaves to chance or to memory.
    Prediction: the draw is seeded per patient (`draws`: survival averaged over several; `mean`:
    posterior means, no draw). Genes that are missing are missing for all (the code's simulation
    spares 16 %).
    Patches: wider than 1024 they are projected to 512 before the variational transformer, whose
    cost grows with the cube of its width (`project=None`: never). Bags within the landmarks are
    attended exactly (`attention=nystrom`: never), the pseudo-inverse is scaled per patient.
    Training: 20 epochs, the last one kept; balanced sampling off (on in preset `paper`), since it
    changes the prior of the loss. After the warm-up the gene networks get no gradient, as in the
    code, and here no weight decay either. Queries of the gene encoder start at N(0, 1), which is
    not stated. The unused layer of the code (65,792 parameters) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from survbench.cohort import Cohort
from survbench.learn import Batch, Inference, NeuralMethod, Recipe, Widths, nll_surv
from survbench.learn.gene_guided import GeneGuided
from survbench.learn.hide import present_in
from survbench.learn.nystrom import AttentionKind
from survbench.learn.variational import (
    BagPosterior,
    Gaussian,
    Ramp,
    TokenDecoder,
    TokenPosterior,
    average_logits,
    product_of_experts,
)

WIDE = 1024  # patches wider than this are projected before the variational transformer
IMAGE, CONDITION, JOINT, PARTS = range(4)  # rows of the noise; one part of each gene group follows


@dataclass(frozen=True)
class LDCVAEConfig(Recipe):
    """Hyperparameters; network and recipe are those of the official code."""

    epochs: int = 20  # official code; MUST runs 30
    batch: int = 1  # official code
    width: int = 256  # H, of tokens and latents
    heads: int = 8  # of the backbone and of the variational transformer
    hidden: int = 512  # feed-forward width of the backbone
    dropout: float = 0.25  # of the backbone
    project: int | None = 512  # width of wide patches in the variational transformer; None: theirs
    attention: AttentionKind = "auto"  # exact within the landmarks; 'nystrom' as the official code
    landmarks: int | None = None  # of that attention; half the width where None, as official
    latent_dropout: float = 0.1  # of both encoders
    gene_heads: int = 4  # of the gene encoder
    gene_hidden: int = 1024  # its feed-forward width
    decoder_hidden: int = 512
    decoder: str = "specific"  # a latent for each gene group; 'shared': the joint one for all
    warm_epochs: int = 5  # the backbone reads real gene tokens
    weight_image: float = 1.0  # of the likelihood by the patches' latent alone
    weight_align: float = 0.1
    weight_kl: float = 0.1  # at the end of the annealing
    logvar_limit: float | None = None  # clamps the posteriors of patches and genes, for safety
    draws: int = 1  # of a patient's latents in prediction
    mean: bool = False  # True: posterior means in place of draws

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of({"decoder": ("specific", "shared")})
        self.at_least({"draws": 1})


@dataclass
class Posteriors:
    """Of B patients, by patches, genes (where `present`, (B,)) and both with the prior."""

    image: Gaussian
    gene: Gaussian
    joint: Gaussian
    present: Tensor


class LDCVAENet(nn.Module):
    """Patches, and genes where there are, to gene tokens, which MCAT reads beside the patches."""

    def __init__(self, config: LDCVAEConfig, widths: Widths) -> None:
        super().__init__()
        self.width, self.limit = config.width, config.logvar_limit
        self.groups = len(widths.groups["G"])
        self.backbone = GeneGuided(
            widths,
            width=config.width,
            heads=config.heads,
            hidden=config.hidden,
            dropout=config.dropout,
        )
        patch = widths.patch["P"]
        self.patch_encoder = BagPosterior(
            patch,
            config.width,
            inner=config.project if patch > WIDE else None,
            heads=config.heads,
            landmarks=config.landmarks,
            dropout=config.latent_dropout,
            attention=config.attention,
        )
        self.patch_head = nn.Linear(config.width, widths.intervals)
        self.gene_encoder = TokenPosterior(
            config.width,
            heads=config.gene_heads,
            hidden=config.gene_hidden,
            dropout=config.latent_dropout,
        )
        self.gene_decoder = TokenDecoder(
            self.groups, config.width, config.decoder_hidden, own=config.decoder == "specific"
        )
        self.centre: Tensor
        self.register_buffer("centre", torch.zeros(self.groups * config.width))  # of real tokens

    def forward(self, batch: Batch, noise: Tensor | None = None) -> Tensor:
        """Hazard logits (B, K), of posterior means where there is no noise (B, 3 + g, H)."""
        noise = self.noiseless(batch) if noise is None else noise
        token, _ = self.decode(self.posteriors(batch, *self.gene_tokens(batch)), noise)
        return self.logits(batch, token)

    def noiseless(self, batch: Batch) -> Tensor:
        """Noise (B, 3 + g, H) that is zero."""
        return self.centre.new_zeros(len(batch), PARTS + self.groups, self.width)

    def gene_tokens(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Real gene tokens (B, g, H), zero where absent, and who has them, (B,)."""
        genes, present = batch.genes("G"), present_in(batch, ["G"])[:, 0]
        token = self.centre.new_zeros(len(batch), self.groups, self.width)
        if len(genes):
            token = token.index_put((genes.rows,), self.backbone.genes(genes))
        return token, present

    def posteriors(self, batch: Batch, token: Tensor, present: Tensor) -> Posteriors:
        """Posteriors by the patches and, where `present` (B,), by gene tokens (B, g, H)."""
        image, gene = self.patch_encoder(batch.bags("P")), self._gene_posterior(token, present)
        if self.limit is not None:
            for one in (image, gene):
                one.logvar = one.logvar.clamp(-self.limit, self.limit)
        joint = product_of_experts(
            torch.stack([image.mean, gene.mean], dim=1),
            torch.stack([image.logvar, gene.logvar], dim=1),
            torch.stack([torch.ones_like(present), present], dim=1),
        )
        return Posteriors(image, gene, joint, present)

    def _gene_posterior(self, token: Tensor, present: Tensor) -> Gaussian:
        """Posteriors (B, H) by gene tokens, N(0, 1) where there are none."""
        zero = token.new_zeros(len(token), self.width)
        if not present.any():
            return Gaussian(zero, zero)
        found = self.gene_encoder(token[present])
        rows = (present.nonzero()[:, 0],)
        return Gaussian(*(zero.index_put(rows, part) for part in (found.mean, found.logvar)))

    def decode(self, posteriors: Posteriors, noise: Tensor) -> tuple[Tensor, Gaussian | None]:
        """Gene tokens (B, g, H) of a draw, and the posteriors of the groups' latents if any."""
        joint = posteriors.joint.draw(noise[:, JOINT])
        image = posteriors.image.draw(noise[:, CONDITION])
        condition = torch.where(posteriors.present[:, None], image, joint)
        made: tuple[Tensor, Gaussian | None] = self.gene_decoder(joint, condition, noise[:, PARTS:])
        return made

    def logits(self, batch: Batch, token: Tensor) -> Tensor:
        """Hazard logits (B, K) of a batch's patches and gene tokens (B, g, H)."""
        bags = batch.bags("P")
        return self.backbone.logits(token, self.backbone.embed(bags.features), bags)


class LDCVAE(NeuralMethod):
    """MCAT on gene tokens of a variational autoencoder; see the module docstring."""

    uses = frozenset({"P", "G"})
    tolerates = frozenset({"G"})
    Config = LDCVAEConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {
            "width": 32,
            "epochs": 6,
            "warm_epochs": 2,
            "lr": 1e-3,
            "batch": 16,
            "landmarks": 128,
        },
        "paper": {"sampler": "balanced"},
    }
    net: LDCVAENet
    ramp: Ramp

    def build(self, widths: Widths) -> LDCVAENet:
        """LD-CVAE for the cohort's patches and gene groups."""
        return LDCVAENet(self.config, widths)

    def fit_cases(self, cohort: Cohort) -> None:
        """Train the net, then note where the real gene tokens lie."""
        self.ramp = Ramp(len(cohort), self.config.batch, self.config.epochs)
        super().fit_cases(cohort)
        self.net.centre.copy_(torch.as_tensor(self.latents(cohort)["G"].mean(axis=0)))

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """Loss (B,) on noise of its own in training, on posterior means otherwise."""
        noise = cast("LDCVAENet", net).noiseless(batch)
        if net.training:
            noise.normal_()
        loss = self.noisy_loss(cast("LDCVAENet", net), batch, noise)
        if net.training:
            self.ramp.advance(len(batch))
        return loss

    def noisy_loss(self, net: LDCVAENet, batch: Batch, noise: Tensor) -> Tensor:
        """Loss (B,) of complete patients under noise (B, 3 + g, H)."""
        config: LDCVAEConfig = self.config
        real, present = net.gene_tokens(batch)
        found = net.posteriors(batch, real.detach(), present)
        made, parts = net.decode(found, noise)
        warm = self.ramp.epoch < config.warm_epochs
        image = net.patch_head(found.image.draw(noise[:, IMAGE]))
        terms = objective(found, parts, made, real.detach())
        return (
            nll_surv(net.logits(batch, real if warm else made), *batch.outcome, alpha=config.alpha)
            + config.weight_image * nll_surv(image, *batch.outcome, alpha=config.alpha)
            + terms["recon"]
            + config.weight_align * terms["align"]
            + config.weight_kl
            * self.ramp.weight
            * sum(term for name, term in terms.items() if name.startswith("kl_"))
        )

    def infer(self, batch: Batch) -> Inference:
        """Logits of one draw, or averaged over several, and the gene tokens made for the absent."""
        net = self.net
        found = net.posteriors(batch, *net.gene_tokens(batch))
        token = torch.stack([net.decode(found, noise)[0] for noise in self._noise(batch)])
        logits = torch.stack([net.logits(batch, one) for one in token])  # (S, B, K)
        made = token.mean(dim=0).flatten(1).masked_fill(found.present[:, None], torch.nan)
        both = logits[0] if len(logits) == 1 else average_logits(logits)
        return Inference(both, recovered={"G": made})

    def _noise(self, batch: Batch) -> Sequence[Tensor]:
        """Noise (B, 3 + g, H) of each draw, every patient's from a stream of their own."""
        zero = self.net.noiseless(batch)
        if self.config.mean:
            return [zero]
        draws = []
        for draw in range(self.config.draws):
            seeds = [self.stream(f"draw {draw}", case) for case in batch.case_id]
            streams = [torch.Generator().manual_seed(seed) for seed in seeds]
            noise = [torch.randn(zero.shape[1:], generator=stream) for stream in streams]
            draws.append(torch.stack(noise).to(zero))
        return draws

    def latents(self, cohort: Cohort) -> dict[str, NDArray[np.float64]]:
        """Real gene tokens (N, g H) of patients, one behind the other; NaN where absent."""

        def made(batch: Batch) -> tuple[Tensor, Tensor]:
            real, present = self.net.gene_tokens(batch)
            return real.flatten(1)[:, None], present[:, None]

        return {"G": self.gathered(cohort, made)[:, 0]}

    def latent_centre(self) -> dict[str, NDArray[np.float64]]:
        """Training mean (g H,) of those tokens."""
        return {"G": self.net.centre.double().cpu().numpy()}


def objective(
    found: Posteriors, parts: Gaussian | None, made: Tensor, real: Tensor
) -> dict[str, Tensor]:
    """Terms (B,) of the loss beside the likelihoods: recon, align and kl_ of each posterior."""
    apart = (found.gene.mean - found.image.mean).square()
    wider = (found.gene.variance - found.image.variance).abs()
    terms = {
        "recon": (made - real).square().mean(dim=(1, 2)),
        "align": (apart + wider).mean(dim=1),
        "kl_image": found.image.divergence().mean(dim=1),
        "kl_gene": found.gene.divergence().mean(dim=1),
        "kl_joint": found.joint.divergence().mean(dim=1),
    }
    if parts is not None:
        terms["kl_parts"] = parts.divergence().mean(dim=(1, 2))
    return terms
