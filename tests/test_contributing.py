"""The example in CONTRIBUTING.md works as it stands."""

import re
import sys
import textwrap
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from survbench.check import PROMISES, NotConcernedError, Trial
from survbench.method import Method

GUIDE = Path(__file__).parents[1] / "CONTRIBUTING.md"


@pytest.fixture
def method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Method]:
    """Method of the guide, from a file with the name the guide gives it."""
    block = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert block is not None
    file = tmp_path / "meanpair.py"
    file.write_text(textwrap.dedent(block[1]))
    spec = spec_from_file_location("meanpair", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "meanpair", module)
    spec.loader.exec_module(module)
    found: type[Method] = module.MeanPair
    found.name = "meanpair"
    return found


def test_the_example_keeps_every_promise(method: type[Method]) -> None:
    trial = Trial(method)
    for promise in PROMISES:
        try:
            promise(trial)
        except NotConcernedError:
            continue
