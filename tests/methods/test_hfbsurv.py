from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from survbench.check import Trial, absence, conduct, predictions, put_to_test
from survbench.errors import InputError
from survbench.learn.batch import BagBatch, Batch, GeneBatch
from survbench.methods.hfbsurv import HFBSurv, HFBSurvConfig, HFBSurvNet, HierarchicalFusion
from tests.parity.fixture import batch, widths
from tests.parity.gpdbn import CoxForm

GENES = {"a": 3, "b": 2}
GROUPS = {"a": range(3), "b": range(3, 5)}
SMALL: dict[str, Any] = {
    "hidden": 8,
    "vector": 6,
    "width": 5,
    "intra": 3,
    "inter": 4,
    "rank": 2,
    "head": (7, 6),
}


def small(**options: Any) -> HFBSurvNet:
    """Net for patches 6 wide and two gene groups, fixed weights, eval mode."""
    torch.manual_seed(0)
    return HFBSurvNet(HFBSurvConfig(**SMALL, **options), widths(patch=6, genes=GENES)).eval()


def fusion(modalities: int = 3, **options: Any) -> HierarchicalFusion:
    """Fusion of vectors 6 wide, fixed weights, eval mode."""
    torch.manual_seed(0)
    return HierarchicalFusion(HFBSurvConfig(**SMALL, **options), [6] * modalities).eval()


def vectors(modalities: int = 3, count: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(count, 6, generator=generator) for _ in range(modalities)]


def everybody(modalities: int, count: int = 5) -> Tensor:
    return torch.ones(count, modalities, dtype=torch.bool)


def patients(*lengths: int) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    bags = [torch.randn(length, 6, generator=generator) for length in lengths]
    return bags, torch.randn(len(lengths), 5, generator=generator)


@pytest.mark.parametrize(("shared", "parameters"), [(True, 206_262 - 56_800), (False, 206_262)])
def test_reference_size_of_the_original_form(shared: bool, parameters: int) -> None:
    # the official code holds an inter layer for each modality and uses the first alone
    config = HFBSurvConfig(shared_inter=shared)
    net = CoxForm(HierarchicalFusion(config, [80] * 3, norm=nn.BatchNorm1d), code=64)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_attended_modalities_are_summed_and_weighed_in_pairs_as_printed() -> None:
    net, given = fusion(), vectors()
    encoded = net.encode(given)
    joined = torch.cat([encoded, net.within(encoded)], dim=2)
    score = torch.sigmoid(joined @ net.attend.weight[0] + net.attend.bias)
    attended = [score[:, m, None] * joined[:, m] for m in range(3)]
    alike = [vector.softmax(dim=1) for vector in attended]
    raw, product = [], []
    for m, n in ((0, 1), (0, 2), (1, 2)):
        overlap = (alike[m] * alike[n]).sum(dim=1)
        raw.append((score[:, m] + score[:, n]) / (overlap + 0.5))
        left, right = (net.inter[0](attended[one]) for one in (m, n))
        product.append(net.inter_product(left, right))
    weight = torch.stack(raw, dim=1).softmax(dim=1)
    pairs = (weight[..., None] * torch.stack(product, dim=1)).sum(dim=1)
    expected = torch.cat([attended[0] + attended[1] + attended[2], pairs], dim=1)
    torch.testing.assert_close(net.fuse(encoded, everybody(3)), expected)


def test_the_official_third_is_attended_as_the_first() -> None:
    net, given = fusion(official_third=True), vectors()
    encoded = net.encode(given)
    score, attended = net.attended(encoded)
    joined = torch.cat([encoded, net.within(encoded)], dim=2)
    torch.testing.assert_close(attended[:, 2], score[:, 2, None] * joined[:, 0])
    assert fusion().source == [0, 1, 2]
    assert fusion(2, official_third=True).source == [0, 1]


def test_two_modalities_have_one_pair_of_weight_one() -> None:
    net = fusion(2)
    score, attended = net.attended(net.encode(vectors(2)))
    weight = net.pair_weights(score, attended, everybody(2))
    torch.testing.assert_close(weight, torch.ones(5, 1))


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_an_absent_modality_leaves_the_sums_of_the_others(gone: int) -> None:
    net, given, present = fusion(), vectors(), everybody(3)
    present[:, gone] = False
    rest = [m for m in range(3) if m != gone]
    _, attended = net.attended(net.encode(given))
    fused = net.fuse(net.encode(given), present)
    torch.testing.assert_close(fused[:, :8], attended[:, rest].sum(dim=1))
    left, right = (net.inter[0](attended[:, m]) for m in rest)
    torch.testing.assert_close(fused[:, 8:], net.inter_product(left, right))
    given[gone] = torch.randn(5, 6)
    torch.testing.assert_close(net.fuse(net.encode(given), present), fused, atol=0, rtol=0)


def test_one_modality_has_no_pairs() -> None:
    present = torch.tensor([[True, False, False]] * 5)
    alone = fusion().fuse(fusion().encode(vectors()), present)
    assert (alone[:, 8:] == 0).all()
    single = fusion(1)
    assert (single.fuse(single.encode(vectors(1)), everybody(1))[:, 8:] == 0).all()


def test_gradients_are_finite_where_pairs_are_absent() -> None:
    net, given = fusion(), vectors()
    present = torch.tensor([[True, False, False], [True, True, False]] + [[True] * 3] * 3)
    net(given, present).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("options", [{}, {"shared_inter": False}, {"absent": "drop"}])
def test_patients_together_equal_one_by_one(options: dict[str, Any]) -> None:
    net, (bags, genes) = small(**options), patients(3, 50, 1, 7, 7)
    alone = [net(batch([bag], row[None], GROUPS)) for bag, row in zip(bags, genes, strict=True)]
    together = net(batch(bags, genes, GROUPS))
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_patients_who_lack_something_are_not_moved_by_those_who_do_not() -> None:
    net, (bags, genes) = small(absent="drop"), patients(3, 4, 5)
    index = {name: torch.tensor(list(columns)) for name, columns in GROUPS.items()}
    length, rows = torch.tensor([3, 5]), torch.tensor([0, 2])
    mixed = Batch(
        ("a", "b", "c"),
        {
            "P": BagBatch(torch.cat([bags[0], bags[2]]), length, rows),
            "G": GeneBatch(genes[1:], torch.tensor([1, 2]), index),
        },
    )
    logits = net(mixed)
    whole = net(batch(bags[2:], genes[2:], GROUPS))
    torch.testing.assert_close(logits[2:], whole, atol=1e-5, rtol=1e-5)


class Dropping(HFBSurv):
    """The same with `absent=drop` in its quick preset."""

    presets = {"quick": {**HFBSurv.presets["quick"], "absent": "drop"}}  # noqa: RUF012


@pytest.fixture(scope="module")
def dropping() -> Trial:
    return Trial(Dropping)


@pytest.mark.parametrize(
    "promise",
    [
        predictions.ignores_order_and_company,
        predictions.bears_a_third_modality,
        absence.predicts_under_declared_absence,
        absence.trains_under_declared_absence,
        absence.never_reads_what_is_masked,
        absence.never_learns_from_what_is_masked,
        conduct.saves_and_loads,
        conduct.computes_patients_together_as_singly,
    ],
)
def test_leaving_modalities_out_keeps_the_promises(
    dropping: Trial, promise: Callable[[Trial], None]
) -> None:
    outcome = put_to_test(promise, dropping)
    assert outcome.kept, outcome.reason


def test_what_is_left_out_is_not_filled_in(dropping: Trial) -> None:
    assert not dropping.fitted.filled(dropping.test, missing="P")
    assert HFBSurv(replace(HFBSurv.preset("quick"), epochs=1)).fill == "zero"


def test_an_unknown_way_with_absence_is_an_error() -> None:
    with pytest.raises(InputError, match="absent 'zero' is not known; use fill or drop"):
        HFBSurvConfig(absent="zero")


def test_the_l1_term_counts_every_parameter() -> None:
    (stage,) = HFBSurv(HFBSurvConfig(l1=3e-3)).stages()
    net = small()
    total = sum(float(parameter.detach().abs().sum()) for parameter in net.parameters())
    assert stage.penalty is not None
    assert stage.penalty(net).item() == pytest.approx(3e-3 * total)
    assert HFBSurv().stages()[0].penalty is None


@pytest.mark.parametrize("preset", ["standard", *HFBSurv.presets])
def test_every_preset_builds(preset: str) -> None:
    net = HFBSurv(HFBSurv.preset(preset)).build(widths(patch=6, genes=GENES)).eval()
    assert net(batch(*patients(2, 5), GROUPS)).shape == (2, 4)
