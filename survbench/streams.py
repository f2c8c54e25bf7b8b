"""Random streams named by text, and masks drawn from case ids: the same everywhere."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np


def _leading_word(text: str) -> int:
    """First 8 bytes of sha256 of the UTF-8 text, big-endian."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def seed_of(*parts: object) -> int:
    """Seed in [0, 2^63) of the stream named "part/part/..."."""
    return _leading_word("/".join(str(part) for part in parts)) >> 1


def uniform(mask_seed: int, modality: str, case_id: str) -> float:
    """Number in [0, 1) that decides whether a patient lacks a modality; a hash, not chance."""
    return _leading_word(f"{mask_seed}/{modality}/{case_id}") / 2**64


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seed torch, numpy and random for a block and give the caller's states back after it."""
    import torch  # noqa: PLC0415  (listing methods must not load torch)

    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002  (third parties draw from the global state)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def random_states() -> dict[str, Any]:
    """State of every global random generator, as plain values that compare."""
    import torch  # noqa: PLC0415

    kind, words, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "torch": torch.get_rng_state().tolist(),
        "cuda": [state.tolist() for state in torch.cuda.get_rng_state_all()]
        if torch.cuda.is_initialized()
        else [],
        "numpy": [kind, np.asarray(words).tolist(), *rest],
        "python": random.getstate(),
    }


def set_random_states(states: Mapping[str, Any]) -> None:
    """Take the states of `random_states` back."""
    import torch  # noqa: PLC0415

    kind, words, *rest = states["numpy"]
    torch.set_rng_state(torch.tensor(states["torch"], dtype=torch.uint8))
    if states["cuda"]:
        cuda = [torch.tensor(state, dtype=torch.uint8) for state in states["cuda"]]
        torch.cuda.set_rng_state_all(cuda)
    np.random.set_state((kind, np.array(words, np.uint32), *rest))  # noqa: NPY002
    random.setstate(states["python"])
