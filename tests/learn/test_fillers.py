import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from survbench.learn.fillers import Filler, FusedHead


def head(widths: dict[str, int], *, multiply: bool = False) -> FusedHead:
    torch.manual_seed(0)
    return FusedHead(widths, 8, 4, priors=3, dropout=0.5, multiply=multiply).eval()


def test_reference_size_of_the_filler_for_digits() -> None:
    filler = Filler(available=160, width=320, fused=480, hidden=64, priors=10)
    parts = [
        sum(p.numel() for p in part.parameters())
        for part in (filler.mix, filler.lift, filler.lift_hidden)
    ]
    assert parts == [1_610, 77_280, 30_784]


@torch.no_grad()
@pytest.mark.parametrize("perturb", ["add", "multiply"])
def test_what_is_missing_is_filled_and_perturbs_both_layers(perturb: str) -> None:
    torch.manual_seed(0)
    fusion = head({"P": 8, "G": 8}, multiply=perturb == "multiply")
    p, g = torch.randn(2, 5, 8).relu()
    has = torch.tensor([[True, False]] * 5)
    noise = torch.randn(5, 16), torch.randn(5, 8)
    filler = fusion.fillers["G"]
    filler.get_buffer("priors").copy_(torch.rand(3, 8))

    def joined(value: Tensor, raw: Tensor) -> Tensor:
        return value + softplus(raw) if perturb == "add" else value * softplus(raw)

    feature = torch.cat([p, filler(p)], dim=1)
    feature = joined(feature, filler.get_submodule("lift")(p) + noise[0])
    raw = filler.get_submodule("lift_hidden")(feature) + noise[1]
    hidden = joined(fusion.first(feature).relu(), raw)
    found = fusion([p, g], has, noise)
    torch.testing.assert_close(found.feature, feature)
    torch.testing.assert_close(found.logits, fusion.last(hidden))
    complete = fusion([p, g], torch.ones_like(has), noise)
    torch.testing.assert_close(complete.feature, torch.cat([p, g], dim=1))
    torch.testing.assert_close(complete.hidden, fusion.first(complete.feature).relu())
    if perturb == "add":
        assert bool((found.feature[:, :8] >= p).all())


@torch.no_grad()
def test_of_three_modalities_fillers_read_the_mean_of_those_present() -> None:
    fusion = head(dict.fromkeys("PGR", 8))
    p, g, r = torch.randn(3, 2, 8)
    for filler in fusion.fillers.values():
        filler.get_buffer("priors").copy_(torch.rand(3, 8))
    has = torch.tensor([[True, True, False], [True, False, False]])
    found = fusion([p, g, r], has)
    rest = fusion.fillers["R"]
    torch.testing.assert_close(found.filled[2][0], rest((p + g)[:1] / 2)[0])
    torch.testing.assert_close(found.filled[2][1], rest(p[1:])[0])
    lifts = [softplus(fusion.fillers[n].get_submodule("lift")(p[1:])) for n in "GR"]
    plain = torch.cat([p[1:], fusion.fillers["G"](p[1:]), rest(p[1:])], dim=1)
    torch.testing.assert_close(found.feature[1:], plain + sum(lifts) / 2)


@torch.no_grad()
def test_what_is_absent_is_never_read() -> None:
    fusion, p = head({"P": 8, "G": 5}), torch.randn(4, 8)
    has = torch.tensor([[True, False]] * 4)
    expected = fusion([p, torch.zeros(4, 5)], has).logits
    assert torch.equal(fusion([p, torch.randn(4, 5)], has).logits, expected)
