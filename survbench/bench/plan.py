"""A command to the cells it asks for; everything is checked here, before anything is written."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from survbench.bench.cell import Cell
from survbench.bench.ground import CONTROLS, Ground, Source
from survbench.bench.run import Task
from survbench.bench.setting import PRESETS, Setting, read_changes, resolve
from survbench.bench.truth import TRUTH
from survbench.bench.truth import VERSION as TRUTH_VERSION
from survbench.cohort import Regime
from survbench.cohort.transforms import Fill
from survbench.errors import InputError, ResultError, UnknownNameError
from survbench.method import Method
from survbench.registry import get_method, load_all

EVERY = "all"
NONE = "none"
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Request:
    """What somebody asks to run; see `survbench run --help`."""

    methods: tuple[str, ...]
    missing: tuple[str, ...] = ()
    cohort: str = "demo"
    splits: str | None = None
    folds: tuple[int, ...] | None = None
    seeds: tuple[int, ...] = (0,)
    population: str = "paired"
    train_missing: str = NONE
    preset: str | None = None
    changes: tuple[str, ...] = ()
    device: str = "auto"
    jobs: int | None = None
    threads: int = 1
    timeout: float | None = None
    retry_failed: bool = False
    control: str = NONE
    fill: str = ""
    results: Path = Path("results")


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run will do.

    Parameters
    ----------
    source : Source
        Where the patients come from.
    ground : Ground
        The patients.
    tasks : list of Task
        Every cell asked for, finished or not.
    todo : list of Task
        Those with something left to do.
    regimes : tuple of str
        Test regimes, `none` first.
    results : Path
        The results folder.
    jobs : int
        Processes at once.
    timeout : float or None
        Minutes a cell may take.
    control : str
        Negative control; "none" for real outcomes.
    notes : list of str
        What the user should know before the run.
    """

    source: Source
    ground: Ground
    tasks: list[Task]
    todo: list[Task]
    regimes: tuple[str, ...]
    results: Path
    jobs: int
    timeout: float | None
    control: str = NONE
    notes: list[str] = field(default_factory=list)

    @property
    def settings(self) -> set[str]:
        """Ids of the settings of this run."""
        return {task.cell.setting for task in self.tasks}

    def failures(self) -> list[str]:
        """What is kept as failed of the cells of this run, one line each."""
        wanted = {"fit", *self.regimes}
        return [
            f"{task.cell} {stage}: {told}"
            for task in self.tasks
            for stage, told in task.cell.failures.items()
            if stage in wanted
        ]


def make_plan(request: Request) -> Plan:
    """Check a request and list its cells.

    Raises
    ------
    InputError
        Anything about the request, the cohort, the splits or finished cells is wrong.
    """
    _check_options(request)
    source = Source(request.cohort, request.splits, request.population)
    ground = source.ground
    methods, notes = _methods(request.methods)
    regimes = _regimes(request.missing, ground)
    request = replace(
        request,
        train_missing=_regime(request.train_missing, ground),
        device=_device(request.device),
        preset=request.preset or ("quick" if ground.cohort.info.embedded else "standard"),
        folds=_folds(request.folds, ground),
    )
    strict = EVERY not in request.methods and len(methods) == 1
    settings = _settings(request, methods, ground, named=EVERY not in request.methods)
    _check_writable(request.results)
    tasks = [
        replace(task, regimes=regimes, strict=strict) for task in _tasks(request, settings, ground)
    ]
    todo = [task for task in tasks if _is_open(task)]
    return Plan(
        source=source,
        ground=ground,
        tasks=tasks,
        todo=todo,
        regimes=regimes,
        results=request.results,
        jobs=_jobs(request, len(todo)),
        timeout=request.timeout,
        control=request.control,
        notes=notes + _told_of(ground, regimes),
    )


def _check_options(request: Request) -> None:
    least = {"jobs": request.jobs, "threads": request.threads}
    for name, value in least.items():
        if value is not None and value < 1:
            msg = f"--{name} is {value}; it must be a whole number from 1"
            raise InputError(msg)
    if request.timeout is not None and not (request.timeout > 0 and math.isfinite(request.timeout)):
        msg = f"--timeout is {request.timeout}; it must be minutes above 0"
        raise InputError(msg)
    if request.control not in CONTROLS:
        see = "'survbench run --help'"
        raise UnknownNameError("control", request.control, CONTROLS, see)  # noqa: EM101
    if request.fill:
        Fill.patches(request.fill)
    if not request.seeds or min(request.seeds) < 0:
        msg = f"--seed is {','.join(map(str, request.seeds))!r}; give whole numbers from 0"
        raise InputError(msg)


def _methods(names: Sequence[str]) -> tuple[dict[str, type[Method]], list[str]]:
    """Methods asked for, each once, and what could not be imported of all."""
    if not names:
        msg = "no method given; name one with --method, see 'survbench methods'"
        raise InputError(msg)
    if EVERY not in names:
        return {name: get_method(name) for name in names}, []
    if len(set(names)) > 1:
        msg = f"--method {','.join(names)}: 'all' stands alone"
        raise InputError(msg)
    loaded, failures = load_all()
    return loaded, [f"left out: {error}" for error in failures.values()]


def _regime(text: str, ground: Ground) -> str:
    """Canonical text of a regime the cohort allows."""
    regime = Regime.parse(text)
    regime.missing(ground.cohort.select([0]))
    return str(regime)


def _regimes(texts: Sequence[str], ground: Ground) -> tuple[str, ...]:
    """Canonical texts, each once, `none` first."""
    return tuple(dict.fromkeys([NONE, *(_regime(text, ground) for text in texts)]))


def _device(name: str) -> str:
    if name not in DEVICES:
        raise UnknownNameError("device", name, DEVICES, "'survbench run --help'")  # noqa: EM101
    if name == "cpu":
        return name
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        msg = "--device cuda: there is no CUDA device here; use --device cpu"
        raise InputError(msg)
    return "cpu"


def _folds(asked: tuple[int, ...] | None, ground: Ground) -> tuple[int, ...]:
    folds = ground.folds if asked is None else tuple(dict.fromkeys(asked))
    for fold in folds:
        if fold not in ground.folds:
            have = ", ".join(map(str, ground.folds))
            msg = f"--folds: splits {ground.splits!r} have no fold {fold}; they have {have}"
            raise InputError(msg)
    if not folds:
        msg = "--folds names no fold"
        raise InputError(msg)
    return folds


def _settings(
    request: Request, methods: dict[str, type[Method]], ground: Ground, *, named: bool
) -> list[Task]:
    """One task for each method's setting, at seed 0 and fold 0."""
    changes = read_changes(request.changes, list(methods))
    preset = request.preset or "standard"
    found = []
    for name, method in methods.items():
        resolved = resolve(method, preset, changes[name])
        made = method(resolved.config)
        if named:
            made.modalities_used(ground.cohort)
        other_fill = request.fill if made.fill not in (None, request.fill) else ""
        setting = Setting(
            cohort_hash=ground.cohort.info.data_hash,
            split_hash=ground.split_hash,
            population=request.population,
            train_regime=request.train_missing,
            method=name,
            version=method.version,
            config=resolved.values,
            control=request.control,
            fill=other_fill,
        )
        changed = dict(resolved.changed) | ({"fill": other_fill} if other_fill else {})
        found.append(_task(request, setting, ground, resolved.presets, changed))
    return found


def _task(
    request: Request,
    setting: Setting,
    ground: Ground,
    presets: tuple[str, ...],
    changed: dict[str, object],
) -> Task:
    cell = Cell(request.results, ground.cohort.name, setting.method, setting.id, 0, 0)
    return Task(
        cell=cell,
        setting=setting,
        splits=ground.splits,
        preset=request.preset or "standard",
        presets=presets,
        changed=changed,
        regimes=(),
        device=request.device,
        threads=request.threads,
        retry=request.retry_failed,
    )


def _tasks(request: Request, settings: list[Task], ground: Ground) -> list[Task]:
    """Every cell: folds within seeds within methods; those of the truth first."""
    folds = request.folds or ()
    cells = [
        replace(task, cell=replace(task.cell, seed=seed, fold=fold))
        for task in settings
        for seed in dict.fromkeys(request.seeds)
        for fold in folds
    ]
    if ground.cohort.info.truth is None:
        return cells
    truth = [
        _task(request, _truth_setting(name, request, ground), ground, PRESETS, {}) for name in TRUTH
    ]
    seeds = (0,) if request.control == NONE else request.seeds  # then a seed names a permutation
    return [
        replace(task, cell=replace(task.cell, seed=seed, fold=fold))
        for task in truth
        for seed in seeds
        for fold in folds
    ] + cells


def _truth_setting(name: str, request: Request, ground: Ground) -> Setting:
    return Setting(
        cohort_hash=ground.cohort.info.data_hash,
        split_hash=ground.split_hash,
        population=request.population,
        train_regime=NONE,
        method=name,
        version=TRUTH_VERSION,
        config={},
        control=request.control,
    )


def _is_open(task: Task) -> bool:
    """Whether a cell lacks something that this run should make; finished parts are verified."""
    cell = task.cell
    failures = {} if task.retry else cell.failures
    if not cell.whole:
        return "fit" not in failures
    cell.verify()
    return any(regime not in failures for regime in cell.missing(task.regimes))


def _check_writable(results: Path) -> None:
    if results.exists() and not results.is_dir():
        msg = f"results folder {str(results)!r} is a file; give a folder with --results"
        raise ResultError(msg)
    place = results.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        msg = f"results folder {str(results)!r} cannot be written; give another with --results"
        raise ResultError(msg)


def _jobs(request: Request, cells: int) -> int:
    """Processes at once: as many as asked for, else one per share of the cores, or one on a GPU."""
    if request.jobs is not None:
        return max(1, min(request.jobs, cells))
    if request.device == "cuda":
        return 1
    return max(1, min(cores() // request.threads, cells))


def cores() -> int:
    """Processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def _told_of(ground: Ground, regimes: Sequence[str]) -> list[str]:
    """What a run leaves out, and what its regimes really take."""
    notes = []
    if len(ground.left_out):
        notes.append(
            f"population paired: {len(ground.left_out)} patients of cohort {ground.cohort.name!r} "
            "lack a modality and are left out"
        )
    if ground.unknown:
        notes.append(
            f"splits {ground.splits!r}: {ground.unknown} cases are not in the cohort, left out"
        )
    for text in regimes:
        regime = Regime.parse(text)
        if any(rate < 1 for _, rate in regime.rates):
            masked = regime.apply(ground.cohort)
            shares = ", ".join(f"{share:.1%} lack {name}" for name, share in masked.shares.items())
            notes.append(f"regime {text}: {shares}")
    return notes
