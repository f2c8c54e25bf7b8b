"""Benchmark of multimodal cancer survival prediction when a modality is missing.

The public names load on first use, so that `import survbench` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from survbench.cohort import Bags, Cohort, GeneGroups, Regime, load_cohort, read_splits
    from survbench.learn import NeuralMethod
    from survbench.method import Method, Prediction
    from survbench.registry import get_method

__version__ = "0.1.0"

__all__ = [
    "Bags",
    "Cohort",
    "GeneGroups",
    "Method",
    "NeuralMethod",
    "Prediction",
    "Regime",
    "__version__",
    "get_method",
    "load_cohort",
    "read_splits",
]

_HOME = {
    "Bags": "survbench.cohort",
    "Cohort": "survbench.cohort",
    "GeneGroups": "survbench.cohort",
    "Method": "survbench.method",
    "NeuralMethod": "survbench.learn",
    "Prediction": "survbench.method",
    "Regime": "survbench.cohort",
    "get_method": "survbench.registry",
    "load_cohort": "survbench.cohort",
    "read_splits": "survbench.cohort",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module it lives in."""
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """Public names, loaded or not."""
    return sorted({*globals(), *__all__})
