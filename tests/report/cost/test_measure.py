import numpy as np
import pytest

from survbench.errors import InputError, MissingModalityError
from survbench.learn import NeuralMethod
from survbench.report.cost.latency import Latency, repeats_within, timed
from survbench.report.cost.measure import NotMeasuredError, Place, Subject, Task, lasting
from survbench.report.cost.patients import Sizes, patients, without

SIZES = Sizes(30, 8, (3, 4))
PLACE = Place(seconds=0.01, repeats=4)


def subject(method: str) -> tuple[Subject, Task]:
    task = Task(method, "quick", SIZES)
    return Subject(task, PLACE), task


def test_patients_share_one_bag_if_asked_and_are_of_the_sizes_asked_for() -> None:
    cohort = patients(5, SIZES, shared=True)
    bags, genes = cohort.modalities["P"], cohort.modalities["G"]
    assert bags.features.shape == (30, 8)  # type: ignore[union-attr]
    assert bags.length.tolist() == [30] * 5  # type: ignore[union-attr]
    assert {name: len(index) for name, index in genes.groups.items()} == {  # type: ignore[union-attr]
        "group 1": 3,
        "group 2": 4,
    }
    assert not without(cohort, ["P"]).present["P"].any()


@pytest.mark.parametrize("sizes", [(0, 8, (3,)), (5, 0, (3,)), (5, 8, (3, 0))])
def test_a_size_below_one_is_refused(sizes: tuple[int, int, tuple[int, ...]]) -> None:
    with pytest.raises(InputError, match="sizes are at least 1"):
        Sizes(*sizes)


def test_the_method_that_is_measured_was_not_trained() -> None:
    made, _ = subject("must")
    assert made.method.record["updates"] == 0
    assert made.method.record["train_cases"] == 128


def test_every_length_of_training_is_set_and_no_length_of_sampling() -> None:
    made, _ = subject("must")
    config = lasting(made.config, 2)
    assert (config.epochs, config.warm_epochs, config.diffusion_steps) == (2, 2, 0)
    assert config.ddim_steps == made.config.ddim_steps


def test_latency_comes_with_parameters_and_memory() -> None:
    made, task = subject("abmil")
    found = made.measure(task, "latency")
    method = made.method
    assert isinstance(method, NeuralMethod)
    assert found["parameters"] == sum(p.numel() for p in method.net.parameters())
    assert 0 < found["median_ms"] < 60_000
    assert found["p95_ms"] is None  # of four calls it would be their maximum
    assert found["calls"] in (3, 4)
    assert found["host_mib"] > found["host_extra_mib"] >= 0
    assert found["mark"] == ""


def test_what_is_filled_in_is_marked() -> None:
    made, _ = subject("mcat")
    task = Task("mcat", "quick", SIZES, ("G",))
    assert made.measure(task, "latency")["mark"] == "*"
    assert task.regime == "G"


def test_flops_of_a_prediction_are_those_of_the_net_and_no_more() -> None:
    made, task = subject("abmil")
    config = made.config
    hidden, attention, rho = config.hidden, config.attention, config.rho
    per_patch = 8 * hidden + 2 * hidden * attention + attention
    expected = 2 * (30 * per_patch + hidden * rho + rho * 4)
    found = made.measure(task, "flops")
    assert found["flops"] == expected
    assert found["macs"] == expected // 2
    assert {"mul", "exp"} <= {each["operator"] for each in found["uncounted"]}


def test_recovery_is_counted_and_the_comparison_with_the_truth_is_not() -> None:
    """With G missing, P is encoded once, so 30 patches more cost what they cost when complete."""
    made, _ = subject("must")

    def of(patches: int, lacking: tuple[str, ...]) -> int:
        task = Task("must", "quick", Sizes(patches, 8, (3, 4)), lacking)
        return int(made.measure(task, "flops")["flops"])

    alone = of(60, ("G",)) - of(30, ("G",))
    complete = of(60, ()) - of(30, ())
    assert 0 < alone <= complete


def test_a_method_without_a_network_has_latency_but_no_flops_and_no_steps() -> None:
    made, task = subject("switch")
    assert made.measure(task, "latency")["median_ms"] > 0
    with pytest.raises(NotMeasuredError, match="no torch network"):
        made.measure(task, "flops")
    with pytest.raises(NotMeasuredError, match="without steps"):
        made.measure(task, "training")


def test_a_regime_the_method_refuses_is_refused() -> None:
    made, _ = subject("abmil")
    with pytest.raises(MissingModalityError, match="lack P, which abmil needs"):
        made.measure(Task("abmil", "quick", SIZES, ("P",)), "latency")


def test_a_batch_holds_what_time_allows() -> None:
    made, task = subject("abmil")
    found = made.measure(task, "throughput")
    assert 1 <= found["batch"] <= 32
    assert found["patients_per_second"] > 0


def test_training_steps_are_timed_for_each_stage() -> None:
    made, task = subject("must")
    found = made.measure(task, "training")
    assert set(found["step_ms_by_stage"]) == {"warm-up", "decomposition"}
    assert found["step_ms"] == max(found["step_ms_by_stage"].values())
    assert found["step_patients"] >= 2
    with pytest.raises(NotMeasuredError, match="nothing missing"):
        made.measure(Task("must", "quick", SIZES, ("G",)), "training")


def test_the_first_call_is_kept_apart_from_warm_ones() -> None:
    calls: list[int] = []
    found = timed(lambda: calls.append(1), device="cpu", seconds=0.0, repeats=20)
    assert len(calls) == 1 + len(found.warm) == 4


def test_as_many_calls_are_made_as_time_and_repeats_allow() -> None:
    assert repeats_within(1.0, 100.0, 20) == 10
    assert repeats_within(1.0, 10.0, 20) == 20
    assert repeats_within(1.0, 5000.0, 20) == 3


def test_a_percentile_needs_twenty_calls() -> None:
    assert Latency(1.0, tuple(range(19))).p95 is None
    warm = tuple(float(each) for each in range(21))
    assert Latency(1.0, warm).p95 == pytest.approx(19.0)
    assert Latency(1.0, warm).median == np.median(warm)
