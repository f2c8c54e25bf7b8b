"""MUST's generators at paper settings, beside the same work done plainly; ratios within one run.

`pytest tests/benchmarks/test_generators.py --benchmark-only -n 0` prints three groups, the number
in brackets being the ratio to the fastest:

one patient
    the latent of an absent modality: five samples in one batch, five singly, and in one batch by
    a net of torch's own encoder layers;
64 patients
    the same for 64 at once;
updates
    UPDATES updates of two generators: one after the other, as one batched computation, and by a
    plain loop over a net of torch's own encoder layers.
"""

from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

from survbench.learn.denoiser_training import Lesson, train_denoisers
from survbench.learn.diffusion import Denoiser, DiffusionOptions, LatentDiffusion, ddim

OPTIONS = DiffusionOptions(diffusion_steps=20)
WIDTH, SAMPLES, MANY, TRAINING = OPTIONS.width, 5, 64, 300
UPDATES = OPTIONS.diffusion_steps


class PlainDenoiser(Denoiser):
    """The denoiser with torch's encoder layers, every token computed in every layer."""

    def __init__(self) -> None:
        super().__init__(WIDTH)
        self.plain = nn.ModuleList(
            nn.TransformerEncoderLayer(
                WIDTH, 8, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(OPTIONS.denoiser_layers)
        )
        del self.layers

    def noise(self, state: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        token = torch.cat([state[:, None], time.expand(state.shape)[:, None], condition], dim=1)
        token = token + self.kind
        for layer in self.plain:
            token = layer(token)
        found: Tensor = self.out(self.norm(token[:, 0]))
        return found


class PlainDiffusion(LatentDiffusion):
    """A generator that asks its net at every step, and keeps nothing."""

    def __init__(self) -> None:
        super().__init__(OPTIONS, constants=1)
        self.denoiser = PlainDenoiser()

    def sample(self, condition: Tensor, constant: Tensor | None, start: Tensor) -> Tensor:
        token = self.tokens(condition, constant).repeat(len(start), 1, 1)
        level = self.level.to(start.dtype)

        def noise(state: Tensor, now: int) -> Tensor:
            time = self.denoiser.time_token(torch.tensor([now]))
            return self.noise(state, level[now : now + 1], time, token)

        return ddim(noise, start.flatten(0, 1), level, self.times).reshape(start.shape)


def generator(*, plain: bool = False) -> LatentDiffusion:
    model = PlainDiffusion() if plain else LatentDiffusion(OPTIONS, constants=1)
    return model.eval()


def in_one_batch(model: LatentDiffusion, patients: int) -> Callable[[], Tensor]:
    """All samples of all patients at once."""
    condition, constant = torch.randn(patients, WIDTH), torch.randn(WIDTH)
    start = torch.randn(SAMPLES, patients, WIDTH)
    return lambda: model.sample(condition, constant, start)


def singly(model: LatentDiffusion, patients: int) -> Callable[[], Tensor]:
    """Every sample by itself."""
    condition, constant = torch.randn(patients, WIDTH), torch.randn(WIDTH)
    start = torch.randn(SAMPLES, patients, WIDTH)
    return lambda: torch.cat(
        [model.sample(condition, constant, start[s : s + 1]) for s in range(SAMPLES)]
    )


@torch.inference_mode()
def made(benchmark: BenchmarkFixture, work: Callable[[], Tensor]) -> None:
    assert benchmark(work).shape[0] == SAMPLES


@pytest.mark.benchmark(group="one patient")
@pytest.mark.parametrize("way", ["one batch", "singly", "torch's layers"])
def test_one_patient(benchmark: BenchmarkFixture, way: str) -> None:
    model = generator(plain=way == "torch's layers")
    made(benchmark, singly(model, 1) if way == "singly" else in_one_batch(model, 1))


@pytest.mark.benchmark(group=f"{MANY} patients")
@pytest.mark.parametrize("way", ["one batch", "torch's layers"])
def test_many_patients(benchmark: BenchmarkFixture, way: str) -> None:
    made(benchmark, in_one_batch(generator(plain=way == "torch's layers"), MANY))


def lessons() -> list[Lesson]:
    def some() -> Tensor:
        return torch.randn(TRAINING, WIDTH)

    return [Lesson(some(), some(), torch.randn(WIDTH), seed) for seed in range(2)]


def suite(together: bool) -> Callable[[], float]:
    """Updates as the suite makes them."""
    models, both = [generator(), generator()], lessons()
    return lambda: train_denoisers(models, both, OPTIONS, together=together)[0][-1]


def plain_loop() -> float:
    """Updates as one would write them down: fresh numbers and a new average every time."""
    error = 0.0
    for lesson in lessons():
        model = generator(plain=True)
        model.standardise(lesson.latent, lesson.condition)
        latent = model.scaled("latent", lesson.latent)
        token = model.tokens(lesson.condition, lesson.constant)
        net = model.denoiser.train()
        optimiser = torch.optim.AdamW(net.parameters(), lr=OPTIONS.diffusion_lr)
        average = torch.optim.swa_utils.AveragedModel(
            net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(OPTIONS.ema)
        )
        for _ in range(UPDATES):
            row = torch.randint(TRAINING, (OPTIONS.diffusion_batch,))
            time = torch.randint(1, OPTIONS.noise_levels + 1, (OPTIONS.diffusion_batch,))
            noise = torch.randn(OPTIONS.diffusion_batch, WIDTH)
            level = model.level.float()[time]
            state = level.sqrt()[:, None] * latent[row] + (1 - level).sqrt()[:, None] * noise
            found = model.conditioned(net(state, time, token[row]), state, level)
            loss = (found - noise).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            average.update_parameters(net)
            error = float(loss.detach())
    return error


@pytest.mark.benchmark(group="updates")
@pytest.mark.parametrize("way", ["one after the other", "together", "plain loop"])
def test_updates(benchmark: BenchmarkFixture, way: str) -> None:
    work = plain_loop if way == "plain loop" else suite(together=way == "together")
    assert 0 < benchmark(work) < 10
