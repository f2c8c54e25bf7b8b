"""Patches ranked within ragged bags, and the instance losses of clustering-constrained attention.

Letters: T patches of n bags, R attention branches, K classes (time intervals), L token width.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from survbench.learn.batch import BagBatch

__all__ = ["HARD", "ends", "instance_loss", "ranked", "row_loss"]

HARD = math.log(1000)  # the smooth SVM turns into its hinge where scores are this far apart


def ranked(score: Tensor, bags: BagBatch) -> Tensor:
    """Indices (T,) or (T, R) of the patches: bag after bag, in each the highest score first.

    Equal scores keep their order. Entry t is in the bag `bags.segment[t]`, at rank
    `bags.position[t]`.
    """
    falling = score.argsort(dim=0, descending=True, stable=True)
    return falling.gather(0, bags.segment[falling].argsort(dim=0, stable=True))


def row_loss(margin: Tensor, kind: str) -> Tensor:
    """Loss of patches whose other class scores `margin` more than the true one.

    "ce": cross entropy, log(1 + exp(margin)). "svm": smooth top-1 SVM with margin and temperature
    1, log(1 + exp(margin + 1)), or its hinge max(0, margin + 1) where |margin| is at least `HARD`.
    """
    if kind == "ce":
        return functional.softplus(margin)
    smooth = functional.softplus(margin + 1)
    return torch.where(margin.abs() >= HARD, functional.relu(margin + 1), smooth)


def instance_loss(
    logits: Tensor,
    weight: Tensor,
    bags: BagBatch,
    label: Tensor,
    *,
    sample: int = 8,
    subtyping: bool = True,
    kind: str = "ce",
    overlap: bool = False,
) -> Tensor:
    """Loss (n,) of the patches that attention weighs most and least, by K two-class classifiers.

    Classifier i = label takes the k patches of largest weight for positive and the k of smallest
    for negative, mean over 2k. With subtyping every other classifier takes its k largest for
    negative, mean over k, and the result is the mean over the K; without, classifier i is alone.

    Parameters
    ----------
    logits
        (T, K, 2), negative and positive, of each classifier.
    weight
        (T, R), attention of the branch of each classifier; R = 1 serves all.
    bags
        Whose patches they are.
    label
        (n,), class of each bag.
    sample
        k, at most; a bag of n patches has min(k, n // 2), so that no patch is both, and one of a
        single patch has loss 0.
    subtyping
        Whether classes exclude each other.
    kind
        See `row_loss`.
    overlap
        min(k, n) instead, as the official code: patches of short bags may be both.
    """
    order = ranked(weight.detach(), bags)
    rank = torch.empty_like(order).scatter_(0, order, bags.position[:, None].expand_as(order))
    count = (bags.length if overlap else bags.length // 2).clamp(max=sample)  # (n,)
    top = rank < count[bags.segment, None]  # (T, R)
    bottom = rank >= (bags.length - count)[bags.segment, None]
    own = functional.one_hot(label, logits.shape[1]).bool()  # (n, K)
    here = own[bags.segment]  # (T, K)
    gap = logits[..., 1] - logits[..., 0]
    value = torch.where(top, row_loss(torch.where(here, -gap, gap), kind), 0.0)
    value = value + torch.where(bottom & here, row_loss(gap, kind), 0.0)
    mean = bags.sum(value) / (count[:, None] * (1 + own.long())).clamp(min=1)  # (n, K)
    return mean.mean(dim=1) if subtyping else (mean * own).sum(dim=1)


def ends(score: Tensor, bags: BagBatch, top: Tensor, bottom: Tensor) -> Tensor:
    """Indices of the `top` (n,) highest, then the `bottom` (n,) lowest scores (T,) of each bag.

    Highest first throughout, bag after bag; neither number may exceed the length of its bag.
    """
    length = top + bottom
    bag = torch.repeat_interleave(torch.arange(len(length), device=length.device), length)
    place = torch.arange(len(bag), device=length.device) - (length.cumsum(0) - length)[bag]
    rank = torch.where(place < top[bag], place, place + (bags.length - length)[bag])
    first = bags.length.cumsum(0) - bags.length
    return ranked(score, bags)[first[bag] + rank]
