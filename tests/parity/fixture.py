"""Reading parity fixtures, finding their checker, and comparing."""

import importlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from survbench.errors import InputError
from survbench.learn import Batch, Widths
from survbench.learn.batch import BagBatch, GeneBatch
from survbench.learn.losses import survival_of

TOLERANCE = 1e-5
Ours = Mapping[str, Any]


class UnknownFixtureError(InputError):
    """A file that is no parity fixture, or one nobody checks."""


@dataclass(frozen=True)
class Fixture:
    """Inputs, reference weights and reference outputs of one network, with what `meta` says."""

    path: Path
    inputs: Mapping[str, NDArray[Any]]
    state: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[Any]]
    meta: Mapping[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """The network's options."""
        return dict(self.meta.get("config", {}))

    @cached_property
    def dtype(self) -> torch.dtype:
        """float64 where `meta` asks for it, else float32."""
        conventions = self.meta.get("conventions", {})
        said = [self.meta.get("kind", ""), self.meta.get("precision", "")]
        said += [conventions.get("precision", "")] if isinstance(conventions, dict) else []
        return torch.float64 if any("float64" in str(text) for text in said) else torch.float32

    def tensor(self, name: str) -> Tensor:
        """Input `name`; floats in the dtype of the fixture."""
        value = torch.as_tensor(self.inputs[name])
        return value.to(self.dtype) if value.is_floating_point() else value

    def suffixes(self, name: str) -> list[str]:
        """What follows `name` in the names of the inputs: '' for x, '_square' for x_square."""
        return [key.removeprefix(name) for key in self.inputs if re.match(rf"{name}(_|$)", key)]

    def load(self, net: nn.Module, renames: Sequence[tuple[str, str]] = ()) -> None:
        """Put the reference's weights into `net`, in eval mode.

        `renames` are (regular expression, replacement) pairs on the reference's names; each name
        is changed by the first that matches at its start. A weight too many or too few raises.
        """
        state = {}
        for name, value in self.state.items():
            ours = name
            for pattern, replacement in renames:
                if re.match(pattern, name):
                    ours = re.sub(f"^(?:{pattern})", replacement, name)
                    break
            state[ours] = torch.as_tensor(value)
        net.load_state_dict(state)
        net.to(self.dtype).eval()


@dataclass(frozen=True)
class Difference:
    """How far one output of ours is from the reference."""

    output: str
    largest: float
    good: bool
    why: str = ""

    def __str__(self) -> str:
        verdict = "ok" if self.good else "FAIL"
        return f"{self.output:<36} {self.largest:9.2e}  {verdict}{self.why and '  ' + self.why}"


def read_fixture(path: str | Path) -> Fixture:
    """Fixture from an npz file."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        meta = json.loads(str(arrays.pop("meta")))
    except (OSError, ValueError, KeyError) as error:
        msg = f"{path.name} is no parity fixture: {error}"
        raise UnknownFixtureError(msg) from error

    def under(prefix: str) -> dict[str, NDArray[Any]]:
        return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

    return Fixture(path, under("input/"), under("state/"), under("output/"), meta)


def checkers() -> list[str]:
    """Names of the fixtures that have a checker here."""
    skip = {"__init__", "__main__", "fixture", "test_parity"}
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in skip)


def checker_of(path: Path, meta: Mapping[str, Any]) -> Callable[[Fixture], Ours]:
    """The function that computes our outputs: by file name (suffixes allowed), then by `meta`."""
    method = str(meta.get("method", ""))
    for name in (path.stem, method):
        fits = [known for known in checkers() if re.match(rf"{known}(?![a-z])", name)]
        if fits:
            module = importlib.import_module(f"tests.parity.{max(fits, key=len)}")
            outputs: Callable[[Fixture], Ours] = module.outputs
            return outputs
    msg = f"no checker for {path.name} (method {method!r}); known: {', '.join(checkers())}"
    raise UnknownFixtureError(msg)


def compare(fixture: Fixture) -> list[Difference]:
    """One difference per recorded output; an output nobody computes is a failure."""
    ours = checker_of(fixture.path, fixture.meta)(fixture)
    return [_difference(name, ours.get(name), theirs) for name, theirs in fixture.outputs.items()]


def _difference(name: str, ours: Any, theirs: NDArray[Any]) -> Difference:
    if ours is None:
        return Difference(name, np.inf, good=False, why="no checker for this output")
    ours = ours.detach().numpy() if isinstance(ours, Tensor) else np.asarray(ours)
    if ours.shape != theirs.shape:
        why = f"shape {ours.shape}, reference {theirs.shape}"
        return Difference(name, np.inf, good=False, why=why)
    if theirs.dtype.kind in "US":
        same = bool((ours == theirs).all())
        return Difference(name, 0.0 if same else np.inf, good=same)
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.where(ours == theirs, 0.0, np.abs(ours - theirs))
    allowed = TOLERANCE * np.maximum(1, np.abs(theirs))
    with np.errstate(invalid="ignore"):
        good = bool((apart <= allowed).all())
    return Difference(name, float(apart.max(initial=0.0)), good=good)


def widths(
    *, patch: int | None = None, genes: int | Mapping[str, int] | None = None, intervals: int = 4
) -> Widths:
    """Widths of a cohort with patches `patch` wide and/or gene groups one behind the other."""
    sizes = {"all": genes} if isinstance(genes, int) else dict(genes or {})
    groups, first = {}, 0
    for name, size in sizes.items():
        groups[name] = tuple(range(first, first + size))
        first += size
    return Widths(
        patch={} if patch is None else {"P": patch},
        columns={} if genes is None else {"G": first},
        groups={} if genes is None else {"G": groups},
        intervals=intervals,
        order=(() if patch is None else ("P",)) + (() if genes is None else ("G",)),
    )


def batch(
    bags: Sequence[Tensor] | None = None,
    genes: Tensor | None = None,
    groups: Mapping[str, Sequence[int]] | None = None,
) -> Batch:
    """Batch of bags (n_i, D) and/or gene rows (B, C), everybody having both."""
    modalities: dict[str, BagBatch | GeneBatch] = {}
    size = len(bags if bags is not None else genes if genes is not None else ())
    if bags is not None:
        length = torch.tensor([len(bag) for bag in bags])
        modalities["P"] = BagBatch(torch.cat(list(bags)), length, torch.arange(size))
    if genes is not None:
        chosen = {"all": range(genes.shape[1])} if groups is None else groups
        index = {name: torch.tensor(list(columns)) for name, columns in chosen.items()}
        modalities["G"] = GeneBatch(genes, torch.arange(size), index)
    return Batch(case_id=tuple(f"case{i}" for i in range(size)), modalities=modalities)


def survival_outputs(logits: Tensor, suffix: str = "") -> dict[str, Tensor]:
    """Logits (B, K) with their hazards, survival and risk, as the fixtures name them."""
    hazard, survival = survival_of(logits)
    named = {
        "logits": logits,
        "hazards": hazard,
        "survival": survival,
        "risk": -survival.sum(dim=-1),
    }
    return {name + suffix: value for name, value in named.items()}
