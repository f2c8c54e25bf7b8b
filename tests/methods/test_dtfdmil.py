from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from survbench.check import sample_cohort
from survbench.errors import InputError
from survbench.learn import Batch, nll_surv, risk_of, survival_of
from survbench.methods.dtfdmil import DTFDMIL, DTFDConfig, DTFDNet
from survbench.streams import seed_of
from tests.methods.patients import bags
from tests.parity.fixture import batch, widths

SMALL: dict[str, Any] = {"hidden": 16, "attention": 8}
DISTILLATIONS = ("afs", "maxs", "maxmins")


def small(**options: Any) -> DTFDNet:
    """Net for patches 6 wide, fixed weights, eval mode."""
    torch.manual_seed(0)
    net = DTFDNet(DTFDConfig(**{**SMALL, **options}), widths(patch=6), seed_of)
    return net.eval()


def named(patients: list[Tensor], names: str) -> Batch:
    return replace(batch(patients), case_id=tuple(names))


@pytest.mark.parametrize(
    ("patch", "blocks", "parameters"),
    [(1024, 0, 791_306), (1536, 0, 1_053_450), (1024, 2, 791_306 + 2 * 524_288)],
)
def test_reference_size(patch: int, blocks: int, parameters: int) -> None:
    net = DTFDNet(DTFDConfig(residual_blocks=blocks), widths(patch=patch), seed_of)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_one_pseudo_bag_hands_its_vector_to_the_second_head() -> None:
    net, (bag,) = small(groups=1), bags(13)
    token = net.reduce(bag)
    vector = net.first.attend.pool(token, batch([bag]).bags("P"))
    torch.testing.assert_close(net(batch([bag])), net.second.head(vector))


@pytest.mark.parametrize("distillation", DISTILLATIONS)
def test_the_order_within_a_pseudo_bag_changes_nothing(distillation: str) -> None:
    net, (bag,) = small(distillation=distillation, groups=2), bags(8)
    made = batch([bag]).bags("P")
    one = net.split(made, torch.tensor([0, 1, 2, 3, 4, 5, 6, 7])).second
    other = net.split(made, torch.tensor([3, 1, 0, 2, 7, 6, 4, 5])).second
    torch.testing.assert_close(other, one)


def test_attention_sums_to_one_in_every_pseudo_bag() -> None:
    tiers = small().tiers(batch(bags(13, 1, 6)))
    assert tiers.parts.length.tolist() == [4, 3, 3, 3, 1, 2, 2, 1, 1]
    torch.testing.assert_close(tiers.parts.sum(tiers.weight), torch.ones(9))
    assert tiers.vectors.length.tolist() == [4, 1, 4]


@pytest.mark.parametrize("distillation", DISTILLATIONS)
@pytest.mark.parametrize("options", [{}, {"instances": 12}, {"score": "last_class"}])
def test_patients_together_equal_one_by_one(distillation: str, options: dict[str, Any]) -> None:
    net, patients = small(distillation=distillation, **options), bags(3, 50, 1, 7, 7)
    alone = torch.cat(
        [net(named([bag], name)) for bag, name in zip(patients, "abcde", strict=True)]
    )
    together = net(named(patients, "abcde"))
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-6)
    assert (together[3] - together[4]).abs().max() > 0


def test_the_same_bag_of_another_patient_is_cut_otherwise() -> None:
    net, (bag,) = small(), bags(30)
    one, other = net(named([bag, bag], "ab"))
    assert (one - other).abs().max() > 0


def test_what_is_distilled_are_the_patches_of_highest_and_lowest_risk() -> None:
    net, (bag,) = small(distillation="maxmins", instances=8), bags(21)
    tiers = net.tiers(batch([bag]))
    logits = (tiers.weight[:, None] * tiers.parts.features) @ net.first.head.weight.T
    kept = []
    for part in torch.arange(21).split(tiers.parts.length.tolist()):
        order = part[risk_of(logits[part]).argsort(descending=True)]
        kept += [*order[:2].tolist(), *order[-2:].tolist()]
    torch.testing.assert_close(tiers.distilled.features, tiers.parts.features[kept])


@pytest.mark.parametrize(
    ("distillation", "overlap", "kept"),
    [
        ("afs", False, [2, 1]),
        ("maxs", False, [3, 1]),
        ("maxmins", False, [3, 1]),
        ("maxmins", True, [6, 2]),
    ],
)
def test_short_pseudo_bags_give_no_patch_twice_unless_asked(
    distillation: str, overlap: bool, kept: list[int]
) -> None:
    """Three patches in pseudo-bags of 2 and 1, five of each asked for; and a bag of one patch."""
    options = {"groups": 2, "instances": 10, "distillation": distillation, "overlap": overlap}
    tiers = small(**options).tiers(batch(bags(3, 1)))
    assert tiers.distilled.length.tolist() == kept


def test_the_second_tier_teaches_the_first_only_where_asked() -> None:
    for detach in (True, False):
        net = small(detach=detach)
        net(batch(bags(9, 5))).square().sum().backward()
        assert (net.reduce[0].weight.grad is None) == detach
        assert net.second.head.weight.grad is not None


@pytest.mark.parametrize("clip", [5.0, 0.01])
def test_one_optimiser_moves_as_the_two_of_the_official_loop(clip: float) -> None:
    method, ours = DTFDMIL(DTFDConfig(**SMALL, clip=clip)), small(clip=clip)
    theirs, made = deepcopy(ours), batch(bags(11))
    made.interval, made.event = torch.tensor([2]), torch.tensor([1.0])
    first, second = [theirs.reduce, theirs.first.attend, theirs.first.head], [theirs.second]

    def adam(parts: Sequence[nn.Module]) -> torch.optim.Adam:
        parameters = [p for part in parts for p in part.parameters()]
        return torch.optim.Adam(parameters, lr=1e-2, weight_decay=1e-4)

    tiers: tuple[Sequence[nn.Module], ...] = (first, second)
    one, both = adam([ours]), [adam(parts) for parts in tiers]
    for _ in range(3):
        one.zero_grad()
        method.loss(ours, made).sum().backward()
        method._clip(ours)
        one.step()
        seen = theirs.tiers(made)
        likelihood = (
            nll_surv(seen.first, made.interval.expand(4), made.event.expand(4)).mean(),
            nll_surv(seen.second, made.interval, made.event).mean(),
        )
        for loss, optimiser, parts in zip(likelihood, both, tiers, strict=True):
            optimiser.zero_grad()
            loss.backward()
            for part in parts:
                clip_grad_norm_(part.parameters(), clip)
            optimiser.step()
    for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, reference)


def test_hazards_are_averaged_over_partitions() -> None:
    method = DTFDMIL(DTFDConfig(**SMALL, partitions=3))
    method.net, made = small(), batch(bags(9, 30))
    hazards = torch.stack([survival_of(method.net.tiers(made, i).second)[0] for i in range(3)])
    assert hazards.std(dim=0).max() > 0
    averaged = survival_of(method.infer(made).logits)[0]
    torch.testing.assert_close(averaged, hazards.mean(dim=0))


def test_training_cuts_anew_at_every_visit_and_prediction_never() -> None:
    net, made = small(), batch(bags(30))
    assert torch.equal(net(made), net(made))
    net.train()
    assert not torch.equal(net(made), net(made))


@pytest.mark.parametrize("distillation", DISTILLATIONS)
def test_it_trains_and_predicts_with_every_distillation(distillation: str) -> None:
    config = DTFDConfig(**SMALL, epochs=1, distillation=distillation, partitions=2)
    method = DTFDMIL(config).fit(sample_cohort(20))
    test = sample_cohort(6, seed=1, fold=None)
    whole = method.predict(test, missing="G").risk
    np.testing.assert_allclose(method.predict(test.select([4])).risk[0], whole[4], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distillation": "max"}, "distillation 'max'"),
        ({"score": "first"}, "score 'first'"),
        ({"instances": 3}, "instances is 3"),
        ({"groups": 0}, "groups is 0"),
        ({"partitions": 0}, "partitions is 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DTFDConfig(**options)


@pytest.mark.parametrize("preset", ["standard", *DTFDMIL.presets])
def test_every_preset_builds(preset: str) -> None:
    net = DTFDMIL(DTFDMIL.preset(preset)).build(widths(patch=6)).eval()
    assert net(batch(bags(2, 5))).shape == (2, 4)
