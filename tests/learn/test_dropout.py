import math

import pytest
import torch
from torch import Tensor, nn

from survbench.learn.dropout import LARGE, Dropout


def dropped(p: float, size: int = LARGE, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    found: Tensor = Dropout(p)(torch.ones(size))
    return found


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5])
def test_large_masks_drop_the_share_and_keep_the_mean(p: float) -> None:
    found = dropped(p)
    gone = float((found == 0).double().mean())
    assert gone == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / LARGE))
    kept = found[found > 0]
    assert float(kept.min()) == float(kept.max()) == pytest.approx(1 / (1 - p), rel=1e-4)


def test_neighbours_are_dropped_independently() -> None:
    gone = (dropped(0.5) == 0).float().view(-1, 4)  # four elements share a random word
    correlation = torch.corrcoef(gone.T)
    apart = correlation[~torch.eye(4, dtype=torch.bool)]
    assert float(apart.abs().max()) < 5 / math.sqrt(len(gone))


def test_the_seed_decides() -> None:
    assert torch.equal(dropped(0.3), dropped(0.3))
    assert not torch.equal(dropped(0.3), dropped(0.3, seed=1))


def test_small_masks_are_torchs_own() -> None:
    torch.manual_seed(0)
    theirs = nn.Dropout(0.3)(torch.ones(LARGE - 1))
    assert torch.equal(dropped(0.3, LARGE - 1), theirs)


def test_gradient_is_the_mask() -> None:
    value = torch.full((LARGE + 3,), 2.0, requires_grad=True)  # no multiple of four
    found = Dropout(0.25)(value)
    found.sum().backward()
    torch.testing.assert_close(value.grad, found.detach() / 2)


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (0.5, False)])
def test_nothing_is_dropped_by_zero_or_when_not_training(p: float, training: bool) -> None:
    value = torch.randn(LARGE)
    assert torch.equal(Dropout(p).train(training)(value), value)


def test_everything_is_dropped_by_one() -> None:
    assert float(dropped(1.0).abs().max()) == 0.0


def test_other_shapes_and_widths() -> None:
    torch.manual_seed(0)
    found = Dropout(0.5)(torch.ones(2, LARGE // 2, dtype=torch.float64))
    assert found.shape == (2, LARGE // 2)
    assert found.dtype == torch.float64
    assert set(found.unique().tolist()) == {0.0, 2.0}
