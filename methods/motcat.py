"""MOTCat: MCAT whose gene groups receive patches by optimal transport instead of co-attention.

Source: Xu & Chen, Multimodal Optimal Transport-based Co-Attention Transformer, ICCV 2023, with its
    code; transport by the library POT.
Missing modality: no mechanism; zero genes, or one zero patch, stand in (`*` in every table). The
    official code fails on a bag of one patch; here it is a bag like any other. The mass that
    reaches the gene groups depends on the number of patches, so one zero patch, always.
Departs: the plan is made in float64 from its costs on; where all tokens are equal the costs are 0
    instead of 0/0. The kernel is that of the POT the authors ran, exp(-cost/eps), whatever the
    version of POT (`kernel=kl`: that of later ones, another model). One `eps` for all cohorts, the
    authors' for three of five (presets `paper_blca`, `paper_luad`: theirs, tuned on these
    patients). Whole bags, as their commands run since the flag for micro-batches is off; with
    `micro_batch` bags are cut in order for predictions, where the official code shuffles, and the
    survival of the parts is averaged, which gives the official mean risk. Balanced sampling is off
    (on in presets `paper*`), since it changes the prior of the loss; last epoch instead of the best
    on the reported fold. The last step of an epoch takes the patients left over, whose gradients
    the official code carries into the next epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from survbench.errors import InputError
from survbench.learn import BagBatch, Batch, Inference, NeuralMethod, Recipe, Widths, nll_surv
from survbench.learn.gene_guided import GeneGuided, GeneGuidedOptions
from survbench.learn.partition import Shuffles, partition
from survbench.learn.transport import TransportGuide, TransportKernel, TransportKind
from survbench.learn.variational import average_logits


@dataclass(frozen=True)
class MOTCatConfig(GeneGuidedOptions, Recipe):
    """Hyperparameters; network (MCAT's, GeneGuidedOptions) and recipe as the official code."""

    transport: TransportKind = "unbalanced"  # all official commands
    kernel: TransportKernel = (
        "entropy"  # POT 0.9.3, which is pinned; 'kl': the default of later ones
    )
    eps: float = 0.1  # weight of the entropy; BRCA, UCEC, GBMLGG; BLCA and LUAD 0.05
    tau: float = 0.5  # weight of the marginals
    micro_batch: int | None = None  # patches; whole bags where None, the command list says 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.micro_batch is not None and self.micro_batch < 1:
            msg = f"micro_batch is {self.micro_batch}; it must be at least 1, or none"
            raise InputError(msg)


def network(config: MOTCatConfig, widths: Widths) -> GeneGuided:
    """Patches and gene groups to transported visual concepts to hazard logits."""
    guide = TransportGuide(
        kind=config.transport, kernel=config.kernel, eps=config.eps, tau=config.tau
    )
    return GeneGuided.of(config, widths, guide)


def micro_batches(batch: Batch, size: int, order: Tensor | None = None) -> tuple[Batch, Tensor]:
    """Patients cut into one row for each part of their bag, and how many each has, (B,).

    A bag of N patches has floor(N / size) + 1 parts of about equal size, but none is empty; genes
    and outcome are repeated. `order` (T,) shuffles the patches within their bags.
    """
    bags, genes = batch.bags("P"), batch.genes("G")
    length, count = partition(bags.length, bags.length // size + 1)
    rows = torch.arange(len(length), device=length.device)
    of = torch.repeat_interleave(torch.arange(len(batch), device=length.device), count)
    features = bags.features if order is None else bags.features[order]
    parts = Batch(
        case_id=tuple(batch.case_id[row] for row in of.tolist()),
        modalities={
            "P": BagBatch(features, length, rows),
            "G": replace(genes, values=genes.values[of], rows=rows),
        },
        interval=None if batch.interval is None else batch.interval[of],
        event=None if batch.event is None else batch.event[of],
    )
    return parts, count


class MOTCat(NeuralMethod):
    """Optimal-transport co-attention transformer; see the module docstring."""

    uses = frozenset({"P", "G"})
    fill = "zero"
    resumes = True
    Config = MOTCatConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"width": 64, "hidden": 128, "epochs": 8, "lr": 1e-3},
        "paper": {"sampler": "balanced"},
        "paper_blca": {"sampler": "balanced", "eps": 0.05},
        "paper_luad": {"sampler": "balanced", "eps": 0.05},
    }
    shuffles: Shuffles

    def build(self, widths: Widths) -> nn.Module:
        """MOTCat for the cohort's patches and gene groups."""
        self.shuffles = Shuffles(self.stream)
        return network(self.config, widths)

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """Likelihood (B,) of each patient; with micro-batches the mean over the parts."""
        size = self.config.micro_batch
        if size is None:
            return super().loss(net, batch)
        order = self.shuffles.fresh(batch.case_id, batch.bags("P"))
        parts, count = micro_batches(batch, size, order)
        loss = nll_surv(net(parts), *parts.outcome, alpha=self.config.alpha)
        of = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
        return loss.new_zeros(len(count)).index_add(0, of, loss) / count

    def infer(self, batch: Batch) -> Inference:
        """Logits; with micro-batches those whose survival is the mean over the parts."""
        size = self.config.micro_batch
        if size is None:
            return super().infer(batch)
        parts, count = micro_batches(batch, size)
        each = self.net(parts).split(count.tolist())
        return Inference(torch.cat([average_logits(logits[:, None]) for logits in each]))
