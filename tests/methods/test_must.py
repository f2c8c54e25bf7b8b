from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from survbench.cohort import Cohort
from survbench.errors import InputError
from survbench.learn import Widths, nll_surv
from survbench.learn.buckets import selected
from survbench.learn.latents import Latents
from survbench.learn.subspace import inside, outside
from survbench.methods.must import MUST, MUSTConfig, MUSTNet, WarmHead
from tests.methods.patients import cohort, everybody, never_read

TINY = MUSTConfig(
    width=16,
    rank=4,
    heads=2,
    hidden=16,
    landmarks=17,
    batch=16,
    warm_epochs=1,
    epochs=1,
    denoiser_layers=1,
    diffusion_steps=12,
    ddim_steps=4,
    samples=3,
)
GENE_GROUPS = (89, 334, 534, 471, 1510, 482)
EXPECTED_SIZE = 3_660_068  # summed by hand from the layers' sizes, without gene networks


@torch.enable_grad()
def fitted(data: Cohort | None = None, *, missing: str = "none", **options: Any) -> MUST:
    method = MUST(replace(TINY, **options), seed=1)
    return method.fit(cohort() if data is None else data, missing=missing)


@pytest.fixture(scope="module")
def must() -> MUST:
    return fitted()


def weights(method: MUST) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in method.net.state_dict().items()}


def test_reference_size() -> None:
    first = np.concatenate([[0], np.cumsum(GENE_GROUPS)]).tolist()
    groups = {str(i): tuple(range(first[i], first[i + 1])) for i in range(6)}
    widths = Widths(
        patch={"P": 1536},
        columns={"G": first[-1]},
        groups={"G": groups},
        intervals=4,
        order=("P", "G"),
    )
    net = MUSTNet(MUSTConfig(), widths)

    def size(part: torch.nn.Module) -> int:
        return sum(p.numel() for p in part.parameters())

    genes = size(net.encoder.whole["G"].get_submodule("embed"))
    assert genes == sum(256 * width + 256 + 256 * 256 + 256 for width in GENE_GROUPS)
    assert size(net.encoder) + size(net.head) - genes == EXPECTED_SIZE
    assert round((EXPECTED_SIZE + genes) / 1e6, 2) == 4.93
    assert size(net.diffusion) == 2 * 3_357_952
    assert sum(p.numel() for p in WarmHead(MUSTConfig(), 4).parameters()) == 132_356


def test_warm_up_moves_nothing_but_the_whole_latents() -> None:
    before = weights(fitted(warm_epochs=0, epochs=0, diffusion_steps=0))
    after = weights(fitted(warm_epochs=1, epochs=0, diffusion_steps=0))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("encoder.whole.") for name in moved)


def test_generators_learn_on_frozen_weights() -> None:
    before = weights(fitted(diffusion_steps=0))
    after = weights(fitted(diffusion_steps=3))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[1] for name in moved} == {"P", "G"}
    assert all(name.startswith("diffusion.") for name in moved)


def test_basis_is_orthonormal_after_training(must: MUST) -> None:
    basis = must.net.encoder.subspace().detach()
    torch.testing.assert_close(basis.mT @ basis, torch.eye(4), atol=1e-5, rtol=0)


def test_other_seeds_sample_other_latents(must: MUST) -> None:
    first, again = must._noise("G", "a"), must._noise("G", "a")
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], first[1])
    assert not torch.allclose(first, must._noise("G", "b"))
    assert not torch.allclose(first, must._noise("P", "a"))


@pytest.mark.parametrize("gone", ["P", "G"])
def test_what_is_missing_is_never_read(must: MUST, gone: str) -> None:
    never_read(must, gone)


@torch.no_grad()
def test_incomplete_training_patients_only_survive(must: MUST) -> None:
    data = cohort(n=10, seed=5)
    batch = everybody(must, data, missing="G@0.5")
    loss, latents = must.loss(must.net, batch), must.net.encoder(batch)
    only = nll_surv(must.net(batch), *batch.outcome)
    rows = latents.complete
    assert bool(rows.any())
    torch.testing.assert_close(loss[~rows], only[~rows])
    split = latents.split(rows.nonzero()[:, 0])
    terms = split.residual().sum(dim=1) + split.disagreement() + 0.5 * split.overlap()
    torch.testing.assert_close(loss[rows], only[rows] + terms)
    # the absent specific latent counts as zero, and c~ stands in for the shared one
    vector = torch.cat([latents.specific[:, 0], latents.rest(latents.present)], dim=1)
    vector = torch.cat([vector, torch.zeros_like(latents.specific[:, 1])], dim=1)
    torch.testing.assert_close(must.net.logits(latents)[~rows], must.net.head(vector)[~rows])


@torch.no_grad()
def test_patients_of_a_step_together_equal_one_by_one(must: MUST) -> None:
    batch = everybody(must, cohort(n=10, seed=5), missing="G@0.3+P@0.3")
    batch.interval = torch.arange(10) % must.widths.intervals
    batch.event = (torch.arange(10) % 2).float()
    warm = WarmHead(TINY, must.widths.intervals).eval()
    loss, first = must.loss(must.net, batch), must.warm_loss(must.net, warm, batch)
    for row in range(10):
        alone = selected(batch, torch.tensor([row]))
        for together, one in (
            (loss, must.loss(must.net, alone)),
            (first, must.warm_loss(must.net, warm, alone)),
        ):
            torch.testing.assert_close(together[row], one[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_an_exact_split_predicts_the_same_with_either_modality_missing(must: MUST) -> None:
    basis, rows = must.net.encoder.subspace(), torch.Generator().manual_seed(0)
    specific = outside(torch.randn(6, 2, 16, generator=rows), basis)
    common = inside(torch.randn(6, 16, generator=rows), basis)
    off = 1 - torch.eye(2)
    latents = Latents(
        whole=specific + common[:, None],
        specific=specific,
        shared=common[:, None, None] * off[..., None],
        present=torch.ones(6, 2, dtype=torch.bool),
    )
    complete = must.net.logits(latents)
    for column in (0, 1):
        present = latents.present.clone()
        present[:, column] = False
        kept = present[..., None]
        missing = replace(
            latents, whole=latents.whole * kept, specific=specific * kept, present=present
        )
        torch.testing.assert_close(must.net.surrogate(missing), common, atol=1e-5, rtol=0)
        found = must.net.logits(missing, made=specific)
        torch.testing.assert_close(found, complete, atol=1e-5, rtol=0)


@torch.no_grad()
def test_projecting_the_mean_sample_is_the_mean_projected_sample(must: MUST) -> None:
    basis, samples = must.net.encoder.subspace(), torch.randn(5, 4, 16)
    torch.testing.assert_close(
        outside(samples.mean(dim=0), basis), outside(samples, basis).mean(dim=0)
    )


@torch.no_grad()
@pytest.mark.parametrize("project", [True, False])
def test_samples_lie_in_the_complement_only_where_asked(project: bool) -> None:
    method = fitted(project_sample=project, epochs=0, warm_epochs=0)
    found = method.infer(everybody(method, cohort(n=6), missing="G")).recovered["G"]
    leak = float(inside(found, method.net.encoder.subspace()).abs().max())
    assert (leak < 1e-5) is project


@torch.no_grad()
def test_conditions_of_the_generators() -> None:
    literal, surrogate = (
        fitted(train_condition=kind, epochs=0, warm_epochs=0) for kind in ("c_hat", "c~")
    )
    batch = everybody(literal, cohort(n=10, seed=5), missing="P@0.5")
    latents = literal.net.encoder(batch)
    gap = latents.whole - latents.specific
    complete = latents.complete
    # for G (column 1): values of P, read by G; for a patient without P, from G itself
    expected = torch.where(complete[:, None], latents.shared[:, 1, 0], gap[:, 1])
    torch.testing.assert_close(literal.net.condition(latents, 1), expected)
    other = torch.where(complete[:, None], gap[:, 0], gap[:, 1])
    torch.testing.assert_close(surrogate.net.condition(latents, 1), other)


@torch.no_grad()
@pytest.mark.parametrize(("choice", "place"), [("P<-G", (0, 1)), ("G<-P", (1, 0))])
def test_the_head_can_read_one_shared_latent(choice: str, place: tuple[int, int]) -> None:
    method = fitted(head_shared=choice, epochs=0, warm_epochs=0, diffusion_steps=0)
    latents = method.net.encoder(everybody(method, cohort(n=6)))
    c = latents.shared[:, place[0], place[1]]
    vector = torch.cat([latents.specific[:, 0], c, latents.specific[:, 1]], dim=1)
    torch.testing.assert_close(method.net.logits(latents), method.net.head(vector))


def test_zeros_leave_the_third_stage_out() -> None:
    method = fitted(recovery="zeros", epochs=0, warm_epochs=0)
    assert not any(name.startswith("diffusion") for name in weights(method))
    assert not any(name.startswith("diffusion") for name in method.record["losses"])
    assert bool(np.isfinite(method.predict(cohort(n=6), missing="P").risk).all())


@pytest.mark.parametrize(
    "options",
    [
        {"condition_token": False},
        {"project_shared": True},
        {"nll_literal": True},
        {"precondition": False},
        {"attention": "nystrom"},
        {"ema": 0.0},
        {"weight_decomposition": 0.0, "weight_sharing": 0.0, "weight_overlap": 0.0},
    ],
)
def test_ablations_run(options: dict[str, Any]) -> None:
    prediction = fitted(**options).predict(cohort(n=6), missing="G")
    assert bool(np.isfinite(prediction.risk).all())


def test_warm_up_noise_is_off_outside_training() -> None:
    head, whole = WarmHead(TINY, 4), torch.randn(3, 16)
    head.head[2].eval()  # the dropout
    assert not torch.allclose(head(whole), head(whole))
    head.eval()
    assert torch.equal(head(whole), head(whole))


def test_fidelity_is_told_of_what_was_masked(must: MUST) -> None:
    prediction = must.predict(cohort(n=12, seed=5), missing="G@0.5")
    masked = np.isfinite(prediction.diagnostics["r2_recovered_G"])
    assert 0 < masked.sum() < 12
    assert np.array_equal(masked, np.isnan(prediction.diagnostics["cos_whole_P_G"]))
    assert bool((np.abs(prediction.diagnostics["cos_recovered_G"][masked]) <= 1 + 1e-9).all())
    assert bool(np.isnan(prediction.diagnostics["r2_recovered_P"]).all())


def test_three_modalities_train_and_predict_with_any_of_them_missing() -> None:
    three = cohort(modalities=("P", "G", "R"))
    method = fitted(three, missing="R@0.3+G@0.2")
    assert list(method.net.names) == ["P", "R", "G"]
    for missing in ("none", "P", "G+R", "P@0.5+G@0.5+R@0.5"):
        assert bool(np.isfinite(method.predict(three, missing=missing).risk).all())


def test_a_modality_nobody_had_in_training_is_taken_as_zero() -> None:
    method = fitted(missing="P")
    prediction = method.predict(cohort(n=6), missing="P")
    assert bool(np.isfinite(prediction.risk).all())
    assert "diffusion P" not in method.record["losses"]
    assert float(np.abs(prediction.recovered["P"]).max()) == 0.0


def test_a_saved_fit_predicts_the_same(must: MUST, tmp_path: Path) -> None:
    must.save(tmp_path)
    data = cohort(n=8, seed=5)
    for missing in ("none", "P"):
        again = MUST.load(tmp_path).predict(data, missing=missing)
        assert np.array_equal(again.risk, must.predict(data, missing=missing).risk)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recovery": "zero"}, "recovery 'zero'"),
        ({"train_condition": "c"}, "train_condition 'c'"),
        ({"head_shared": "G<-Q"}, "P<-G"),
        ({"rank": 16}, "rank is 16"),
        ({"ddim_steps": 1001}, "ddim_steps is 1001"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fitted(**options)
