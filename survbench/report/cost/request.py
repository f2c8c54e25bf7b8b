"""From what is asked for to a cost report: which cells, measured one method after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from survbench.cohort import Regime
from survbench.errors import InputError, PluginError
from survbench.method import Method
from survbench.registry import get_method, load_all
from survbench.report.cost.flops import CONVENTION
from survbench.report.cost.latency import FEWEST, FOR_P95
from survbench.report.cost.machine import described
from survbench.report.cost.measure import FITTED_ON, QUANTITIES, Place, Task
from survbench.report.cost.patients import GENE_WIDTHS, Sizes
from survbench.report.cost.rows import CostReport, CostRow
from survbench.report.cost.worker import (
    NOT_MEASURED,
    OUT_OF_MEMORY,
    REFUSED,
    TIMEOUT,
    Answer,
    available_memory,
    measured,
)

__all__ = ["CostRequest", "make_tasks", "measure_all"]

REGIMES = ("none", "P", "G")
HAVE = ("P", "G")  # modalities of the measured patients


@dataclass(frozen=True)
class CostRequest:
    """What is asked for.

    Parameters
    ----------
    methods : sequence of str
        Names, or all.
    patches, widths : sequence of int
        Sizes of patients; every combination is measured.
    missing : sequence of str
        Regimes: none, P, G.
    gene_widths : sequence of int
        Columns of each gene group.
    preset : str
        Of every method's config.
    device : str
        auto, cpu or cuda.
    threads : int or None
        None: one for each core.
    repeats : int
        Warm calls at most.
    seconds : float
        Time for the warm calls of one quantity.
    timeout : float
        Seconds that one quantity may take.
    memory_gib : float or None
        What a measuring process may take on a CPU; None: what is free.
    """

    methods: Sequence[str]
    patches: Sequence[int]
    widths: Sequence[int] = (1024,)
    missing: Sequence[str] = REGIMES
    gene_widths: Sequence[int] = GENE_WIDTHS
    preset: str = "standard"
    device: str = "auto"
    threads: int | None = None
    repeats: int = FOR_P95
    seconds: float = 1.5
    timeout: float = 300.0
    memory_gib: float | None = None

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            msg = f"--device {self.device!r} is not known; use auto, cpu or cuda"
            raise InputError(msg)
        limits: dict[str, float] = {
            "--repeats": self.repeats,
            "--seconds": self.seconds,
            "--timeout": self.timeout,
        }
        for option, value in limits.items():
            if value <= 0:
                msg = f"{option} is {value:g}; it must be above 0"
                raise InputError(msg)

    def place(self) -> Place:
        """Where is measured.

        Raises
        ------
        InputError
            There is no CUDA device.
        """
        import torch  # noqa: PLC0415  (only where needed)

        there = torch.cuda.is_available()
        if self.device == "cuda" and not there:
            msg = "--device cuda: torch sees no CUDA device; use --device cpu"
            raise InputError(msg)
        device = "cuda" if there and self.device != "cpu" else "cpu"
        threads = self.threads or os.cpu_count() or 1
        return Place(device, threads, self.repeats, self.seconds)


def make_tasks(request: CostRequest) -> tuple[dict[str, list[Task]], list[str]]:
    """Cells of each method, fewest patches first, and which plugins could not be loaded.

    Raises
    ------
    InputError
        A method, preset, size or regime that does not exist.
    """
    kinds, failures = _methods(request.methods)
    lacking = [_lacking(text) for text in request.missing]
    _check_preset(request.preset, kinds)
    sizes = [
        Sizes(patches, width, tuple(request.gene_widths))
        for width in request.widths
        for patches in sorted(request.patches)
    ]
    tasks = {
        name: [Task(name, request.preset, size, each) for size in sizes for each in lacking]
        for name in kinds
    }
    return tasks, [str(failure) for failure in failures]


def measure_all(
    request: CostRequest,
    tasks: dict[str, list[Task]],
    said: Callable[[CostRow], object],
) -> CostReport:
    """Measure every cell; `said` is told of each row when it is there."""
    place = request.place()
    memory = request.memory_gib or available_memory()
    rows: list[CostRow] = []
    for each in tasks.values():
        for row in _of_method(each, place, request.timeout, memory):
            rows.append(row)
            said(row)
    return CostReport(described(place), _protocol(request, place, memory), tuple(rows))


def _of_method(
    tasks: Sequence[Task], place: Place, timeout: float, memory_gib: float | None
) -> Iterator[CostRow]:
    """Rows of one method; what was too much for few patches is not tried for more."""
    for width in dict.fromkeys(task.sizes.width for task in tasks):  # a net is built for one
        here = [task for task in tasks if task.sizes.width == width]
        too_much: dict[str, CostRow] = {}
        bearable = (task for task in here if task.regime not in too_much)
        for task, answers in measured(bearable, place, timeout=timeout, memory_gib=memory_gib):
            row = row_of(task, place, answers)
            if row.outcome in (OUT_OF_MEMORY, TIMEOUT):
                too_much[task.regime] = row
            yield row
        for task in here:
            before = too_much.get(task.regime)
            if before is not None and before.patches < task.sizes.patches:
                yield _given_up(task, place, before)


def row_of(task: Task, place: Place, answers: Sequence[Answer]) -> CostRow:
    """Row of a cell from what measuring gave."""
    first = answers[0]
    values: dict[str, Any] = {}
    for answer in answers:
        values |= answer.values
    missing = {answer.quantity: told(answer) for answer in answers[1:] if answer.outcome}
    if first.outcome and first.outcome != REFUSED:
        values = {}
    return CostRow(
        **_identity(task, place),
        **values,
        outcome=first.outcome,
        reason=first.reason,
        missing=missing,
    )


def told(answer: Answer) -> str:
    """Why a quantity has no value."""
    plain = answer.outcome == NOT_MEASURED
    return answer.reason if plain else f"{answer.outcome}: {answer.reason}"


def _given_up(task: Task, place: Place, before: CostRow) -> CostRow:
    reason = f"not tried: {before.outcome} with {before.patches} patches"
    return CostRow(**_identity(task, place), outcome=before.outcome, reason=reason)


def _identity(task: Task, place: Place) -> dict[str, Any]:
    return {
        "method": task.method,
        "preset": task.preset,
        "device": place.device,
        "patches": task.sizes.patches,
        "width": task.sizes.width,
        "regime": task.regime,
    }


def _methods(names: Sequence[str]) -> tuple[dict[str, type[Method]], list[PluginError]]:
    if "all" in names:
        kinds, failures = load_all()
        return kinds, list(failures.values())
    return {name: get_method(name) for name in names}, []


def _check_preset(preset: str, kinds: dict[str, type[Method]]) -> None:
    known = {"standard", "quick", "paper"}.union(*(kind.presets for kind in kinds.values()))
    if preset not in known:
        msg = f"--preset {preset!r} is no preset of these methods; use {', '.join(sorted(known))}"
        raise InputError(msg)


def _lacking(text: str) -> tuple[str, ...]:
    """Modalities that everybody lacks in a regime."""
    rates = Regime.parse(text).rates
    names = tuple(name for name, _ in rates)
    whole = all(rate == 1 for _, rate in rates)
    if not whole or not set(names) < set(HAVE):
        msg = f"--missing {text!r}: costs are of patients who all lack the same; use none, P or G"
        raise InputError(msg)
    return names


def _protocol(request: CostRequest, place: Place, memory: float | None) -> dict[str, Any]:
    """How the numbers were made, for whoever reads them."""
    return {
        **{name: value for name, value in asdict(request).items() if name != "device"},
        "methods": list(request.methods),
        "threads": place.threads,
        "memory_gib": memory if place.device == "cpu" else None,
        "quantities": list(QUANTITIES),
        "flops_are": CONVENTION,
        "latency_is": (
            "predict of one patient whose features are in memory as float32, from transforms to "
            f"risk; first call after the fit, then at least {FEWEST} warm ones"
        ),
        "memory_is": "peak while one patient is predicted; the process holds torch and the bag",
        "training_is": (
            "an optimiser step on step_patients complete patients in one batch; the generators of "
            "diffusion models are not measured"
        ),
        "fitted_on": f"{FITTED_ON} patients of noise, without training",
    }
