import math
from typing import Any

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from survbench.learn.losses import risk_of, survival_of
from survbench.learn.variational import (
    BagPosterior,
    Gaussian,
    Ramp,
    TokenDecoder,
    TokenPosterior,
    average_logits,
    product_of_experts,
)
from tests.parity.fixture import batch


def gaussian(*shape: int) -> Gaussian:
    generator = torch.Generator().manual_seed(len(shape))
    return Gaussian(*torch.randn(2, *shape, generator=generator))


def test_draws_have_the_mean_and_the_variance() -> None:
    one = Gaussian(torch.tensor([1.0, -2.0]), torch.tensor([0.0, 4.0]).log())
    torch.testing.assert_close(one.draw(torch.zeros(2)), one.mean)
    torch.testing.assert_close(one.draw(torch.ones(2)), torch.tensor([1.0, 0.0]))


def test_a_draw_passes_gradients_to_mean_and_variance() -> None:
    mean, logvar = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    noise = torch.tensor([1.0, -2.0, 0.0])
    Gaussian(mean, logvar).draw(noise).sum().backward()
    torch.testing.assert_close(mean.grad, torch.ones(3))
    torch.testing.assert_close(logvar.grad, noise / 2)


def test_divergence_is_torchs() -> None:
    one = gaussian(4, 5)
    expected = kl_divergence(Normal(one.mean, one.variance.sqrt()), Normal(0.0, 1.0))
    torch.testing.assert_close(one.divergence(), expected)


def test_a_product_is_the_normal_density_that_the_densities_multiply_to() -> None:
    experts, at = gaussian(1, 2, 1), torch.linspace(-3, 3, 7)
    density = Normal(0.0, 1.0).log_prob(at)
    for expert in range(2):
        mean, logvar = experts.mean[0, expert], experts.logvar[0, expert]
        density = density + Normal(mean, logvar.exp().sqrt()).log_prob(at)
    found = product_of_experts(experts.mean, experts.logvar, torch.ones(1, 2, dtype=torch.bool))
    ours = Normal(found.mean[0], found.variance[0].sqrt()).log_prob(at)
    torch.testing.assert_close(ours - ours[0], density - density[0])  # up to a constant factor


def test_experts_that_are_absent_say_nothing() -> None:
    experts = gaussian(3, 2, 4)
    present = torch.tensor([[True, True], [True, False], [False, False]])
    found = product_of_experts(experts.mean, experts.logvar, present)
    alone = product_of_experts(experts.mean[1:2, :1], experts.logvar[1:2, :1], present[:1, :1])
    torch.testing.assert_close(found.mean[1:2], alone.mean)
    torch.testing.assert_close(found.logvar[1:2], alone.logvar)
    torch.testing.assert_close(found.mean[2], torch.zeros(4))
    torch.testing.assert_close(found.variance[2], torch.ones(4))


def test_average_logits_have_the_mean_survival_and_the_mean_risk() -> None:
    logits = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0)).double()
    found = average_logits(logits)
    expected = survival_of(logits)[1].mean(dim=0)
    torch.testing.assert_close(survival_of(found)[1], expected)
    each = torch.stack([risk_of(one) for one in logits])
    torch.testing.assert_close(risk_of(found), each.mean(dim=0))
    torch.testing.assert_close(average_logits(logits[:1]), logits[0])


def test_average_logits_bear_certain_deaths() -> None:
    found = average_logits(torch.full((2, 1, 3), 800.0))
    assert bool(found.isfinite().all())
    torch.testing.assert_close(risk_of(found), torch.zeros(1).double())


def test_a_ramp_is_half_a_cosine_over_all_steps() -> None:
    ramp, found = Ramp(patients=10, batch=4, epochs=2), []
    for _ in range(2):
        for size in (4, 4, 2):
            found.append((ramp.epoch, ramp.weight))
            ramp.advance(size)
    weights = [(math.cos(math.pi * (step / 6 - 1)) + 1) / 2 for step in range(6)]
    assert [epoch for epoch, _ in found] == [0, 0, 0, 1, 1, 1]
    assert [weight for _, weight in found] == pytest.approx(weights)
    assert found[0][1] == 0
    assert (ramp.epoch, ramp.weight) == (2, 1.0)


def test_all_parts_of_a_step_have_its_weight() -> None:
    ramp = Ramp(patients=10, batch=4, epochs=3)
    ramp.advance(4)
    weight = ramp.weight
    ramp.advance(3)
    assert ramp.weight == weight
    ramp.advance(1)
    assert ramp.weight > weight


def test_without_epochs_a_ramp_is_over() -> None:
    assert Ramp(patients=10, batch=4, epochs=0).weight == 1


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_sizes_by_hand_and_of_ld_cvae() -> None:
    assert count(BagPosterior(768, 256)) == 4_989_712
    narrow = count(BagPosterior(512, 256))
    assert count(BagPosterior(1536, 256, inner=512)) - narrow == 1536 * 512 + 512
    encoder = TokenPosterior(256, heads=4, hidden=1024, dropout=0.1)
    assert count(encoder) + count(TokenDecoder(6, 256, 512)) == 3_943_680
    assert count(TokenDecoder(3, 8, 16, own=False)) == 3 * (16 * 16 + 16 + 16 * 8 + 8)


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"inner": 12}, {"attention": "auto"}, {"landmarks": 64}])
def test_posteriors_of_bags_do_not_depend_on_company(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    encode = BagPosterior(16, 5, **options).eval()
    bags = [torch.randn(length, 16) for length in (3, 30, 1, 7, 9)]
    together = encode(batch(bags).bags("P"))
    for row, bag in enumerate(bags):
        alone = encode(batch([bag]).bags("P"))
        torch.testing.assert_close(together.mean[row], alone.mean[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together.logvar[row], alone.logvar[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("patch", [1, 5])
def test_patches_may_be_narrower_than_there_are_heads(patch: int) -> None:
    found = BagPosterior(patch, 4)(batch([torch.randn(3, patch)]).bags("P"))
    assert bool(found.mean.isfinite().all())


@torch.no_grad()
def test_posteriors_of_tokens_do_not_see_their_order() -> None:
    torch.manual_seed(0)
    encode, token = TokenPosterior(8, heads=2, hidden=16, dropout=0.1).eval(), torch.randn(3, 6, 8)
    found, turned = encode(token), encode(token.flip(1))
    torch.testing.assert_close(turned.mean, found.mean, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(turned.logvar, found.logvar, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_every_token_is_decoded_from_its_own_latent_and_the_condition() -> None:
    torch.manual_seed(0)
    decode, (latent, condition), noise = (
        TokenDecoder(3, 4, 8),
        torch.randn(2, 5, 4),
        torch.randn(5, 3, 4),
    )
    token, parts = decode(latent, condition, noise)
    assert parts is not None
    torch.testing.assert_close(
        torch.cat([parts.mean, parts.logvar], 2)[:, 1], decode.part[1](latent)
    )
    own = parts.mean[:, 1] + noise[:, 1] * (parts.logvar[:, 1] / 2).exp()
    torch.testing.assert_close(token[:, 1], decode.token[1](torch.cat([own, condition], dim=1)))


@torch.no_grad()
def test_tokens_may_share_the_common_latent() -> None:
    decode, (latent, condition) = TokenDecoder(3, 4, 8, own=False), torch.randn(2, 5, 4)
    token, parts = decode(latent, condition, torch.randn(5, 3, 4))
    assert parts is None
    read = torch.cat([latent, condition], dim=1)
    torch.testing.assert_close(token[:, 2], decode.token[2](read))
