"""Selection of a few tokens of each patient, the rest pooled; tokens are ragged.

Letters: n patients, T tokens of all of them, N of one, H token width; of a patient's tokens the
best K are selected, the best A of them stand for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from survbench.learn.batch import BagBatch
from survbench.learn.instances import ranked

__all__ = ["Router", "Selection", "TokenSelector", "drawn", "ranks"]


def ranks(value: Tensor, bags: BagBatch) -> Tensor:
    """Place (T,) of each token in its bag by falling value (T,): 0 is the largest."""
    order = ranked(value, bags)
    rank = torch.empty_like(order)
    rank[order] = bags.position
    return rank


def drawn(bags: BagBatch, most: int) -> BagBatch:
    """Bags of at most `most` patches, drawn at random without replacement, order kept."""
    if bags.longest <= most:
        return bags
    lot = torch.rand(len(bags.segment), device=bags.segment.device)
    kept = ranks(lot, bags) < most
    return BagBatch(bags.features[kept], bags.length.clamp(max=most), bags.rows)


@dataclass(frozen=True, eq=False)
class Selection:
    """How many tokens of each patient are selected, and how many of these stand for themselves.

    Parameters
    ----------
    share : Tensor (n,)
        alpha, as the router says it.
    soft : Tensor (n,)
        K before rounding.
    count : Tensor (n,)
        K, from 1 to the number of tokens.
    single : Tensor (n,)
        A = max(1, floor(alpha K)).
    """

    share: Tensor
    soft: Tensor
    count: Tensor
    single: Tensor


class Router(nn.Module):
    """alpha and K of each patient from the class token.

    Parameters
    ----------
    width
        H, width of a token.
    most
        Largest K.
    count, share
        Fixed K and alpha, in place of what would be learnt.
    """

    def __init__(
        self, width: int, most: int = 20, *, count: int | None = None, share: float | None = None
    ) -> None:
        super().__init__()
        self.most, self.fixed_count, self.fixed_share = most, count, share
        learns = count is None or share is None
        self.encode = nn.Sequential(nn.Linear(width, width), nn.ReLU()) if learns else None
        self.share = self._head(width) if share is None else None
        self.count = self._head(width) if count is None else None

    @staticmethod
    def _head(width: int) -> nn.Sequential:
        half = width // 2
        return nn.Sequential(nn.Linear(width, half), nn.ReLU(), nn.Linear(half, 1))

    def forward(self, leading: Tensor, length: Tensor) -> Selection:
        """Selection for class tokens (n, H) of patients with `length` (n,) tokens."""
        seen = leading if self.encode is None else self.encode(leading)
        share = seen.new_full((len(seen),), self.fixed_share or 0.0)
        if self.share is not None:
            share = self.share(seen)[:, 0].sigmoid()
        soft = seen.new_full((len(seen),), float(self.fixed_count or 0))
        if self.count is not None:
            soft = nn.functional.softplus(self.count(seen)[:, 0])
        most = self.most if self.fixed_count is None else self.fixed_count
        count = soft.detach().round().long().clamp(1, most).minimum(length)
        single = (share.detach() * count).long().clamp(min=1)
        return Selection(share, soft, count, single)


class TokenSelector(nn.Module):
    """Adaptive token selection: the best A tokens, and the others pooled to K - A (at least one).

    What is chosen and how often is hard. Its gradient is passed straight through: a token kept is
    multiplied by s / stop(s), s its share in the softmax of the scores, and the output token of
    rank j by 1 + q - stop(q), q the logistic function of how far K, and A, reach beyond j. So every
    value is that of the hard choice, while scores, K and alpha learn.

    Parameters
    ----------
    width
        H, width of a token.
    most, count, share
        As in `Router`.
    pooled
        Pool the other tokens; else they are dropped, and the best K stand for themselves.
    vector
        One token in all, as AdaMHF's public code: scores do not see the class token, the others
        are pooled to one, and the mean of what remains goes through a last dense block.
    trained
        Pass the gradient through; without, as in that code, none reaches scores and router.
    """

    def __init__(
        self,
        width: int,
        *,
        most: int = 20,
        count: int | None = None,
        share: float | None = None,
        pooled: bool = True,
        vector: bool = False,
        trained: bool = True,
    ) -> None:
        super().__init__()
        self.pooled, self.trained = pooled, trained
        self.router = Router(width, most, count=count, share=share if pooled else 1.0)
        half = width // 2
        self.reduce = None if vector else nn.Sequential(nn.Linear(width, half), nn.ReLU())
        hidden = width if vector else half
        self.score = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.refine = self._dense(width)
        self.last = self._dense(width) if vector else None

    @staticmethod
    def _dense(width: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def scores(self, bags: BagBatch, leading: Tensor) -> Tensor:
        """Scores (T,) of the tokens, before the softmax over those of a patient."""
        token = bags.features
        if self.reduce is not None:
            pair = [self.reduce(token), self.reduce(leading)[bags.segment]]
            token = torch.cat(pair, dim=1)
        score: Tensor = self.score(token)[:, 0]
        return score

    def forward(self, bags: BagBatch, leading: Tensor) -> BagBatch:
        """Selected tokens of n patients, of their tokens (T, H) and class tokens (n, H)."""
        selection = self.router(leading, bags.length)
        score = self.scores(bags, leading)
        rank = ranks(score.detach(), bags)
        single = rank < selection.single[bags.segment]
        refined = self.refine(bags.features[single])
        if self.trained:
            refined = refined * _straight(_log_share(score, bags)[single])[:, None]
        token = bags.features.index_put((single.nonzero()[:, 0],), refined)
        token, length = self._placed(token, rank, bags, selection)
        chosen = BagBatch(token, length, bags.rows)
        if self.trained:
            chosen.features = chosen.features * _reach(chosen, selection)[:, None]
        if self.last is None:
            return chosen
        return BagBatch(self.last(chosen.mean(chosen.features)), torch.ones_like(length), bags.rows)

    def _placed(
        self, token: Tensor, rank: Tensor, bags: BagBatch, selection: Selection
    ) -> tuple[Tensor, Tensor]:
        """Output tokens, and their number (n,) per patient: singles by rank, then the pools.

        The others, by falling score, are pooled as by `adaptive_avg_pool1d`.
        """
        single, others = selection.single, bags.length - selection.single
        wanted = torch.ones_like(single) if self.last is not None else selection.count - single
        pools = wanted.clamp(min=1) * (others > 0) if self.pooled else torch.zeros_like(single)
        length = single + pools
        first = (length.cumsum(0) - length)[bags.segment]
        own = bags.segment
        behind = rank - single[own]  # (T,), place among the others, negative where single
        size = others.clamp(min=1)[own]
        low = behind * pools[own] // size
        high = ((behind + 1) * pools[own] - 1) // size  # pools overlap by at most one token
        alone, rest = behind < 0, (behind >= 0) & (pools[own] > 0)
        twice = rest & (high > low)
        place = torch.where(alone, rank, single[own] + low) + first
        again = (single[own] + high + first)[twice]
        kept = alone | rest
        where = torch.cat([place[kept], again])
        value = torch.cat([token[kept], token[twice]])
        total = token.new_zeros(int(length.sum()), token.shape[1]).index_add(0, where, value)
        return total / torch.bincount(where, minlength=len(total))[:, None], length


def _straight(value: Tensor) -> Tensor:
    """1, with the gradient of `value`."""
    return 1 + (value - value.detach())


def _log_share(score: Tensor, bags: BagBatch) -> Tensor:
    """Logarithm (T,) of the softmax of scores (T,) up to a constant of the bag: same gradient."""
    weight = bags.softmax(score.detach())
    return score - bags.sum(weight * score)[bags.segment]


def _reach(chosen: BagBatch, selection: Selection) -> Tensor:
    """1 for each output token, with the gradient of K and, where it stands for itself, of A."""
    own, rank = chosen.segment, chosen.position
    within = (selection.soft[own] - rank - 0.5).sigmoid()  # K rounds up to rank + 1 at rank + 0.5
    reaches = selection.share * selection.count
    alone = (reaches[own] - rank - 1).sigmoid()  # A reaches rank + 1 at alpha K = rank + 1
    return _straight(within) * _straight(alone * (rank < selection.single[own]))
