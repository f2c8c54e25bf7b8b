"""What neural methods share: batches, the training loop, losses and layers."""

from survbench.learn.batch import BagBatch, Batch, GeneBatch, Widths
from survbench.learn.intervals import label, time_edges
from survbench.learn.losses import nll_surv, risk_of, survival_of
from survbench.learn.neural import Inference, NeuralMethod
from survbench.learn.trainer import Recipe, Stage, Trained, train

__all__ = [
    "BagBatch",
    "Batch",
    "GeneBatch",
    "Inference",
    "NeuralMethod",
    "Recipe",
    "Stage",
    "Trained",
    "Widths",
    "label",
    "nll_surv",
    "risk_of",
    "survival_of",
    "time_edges",
    "train",
]
