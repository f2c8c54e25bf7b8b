"""Configs come back from JSON as they were."""

import json
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import pytest

from survbench.config import config_of, typed


@dataclass(frozen=True)
class Config:
    kind: ClassVar[str] = "none of the fields"
    layers: tuple[tuple[int, float], ...] = ((8, 0.1), (4, 0.2))
    rate: float | None = None
    weight: int | float = 1
    pair: tuple[float, int] = (2.0, 2)
    names: list[str] | None = None
    steps: int = 3
    sure: bool = True


@pytest.mark.parametrize(
    "config",
    [Config(), Config(layers=(), rate=0.5, weight=2.5, sure=False), Config(layers=((1, 0.0),))],
)
def test_a_config_comes_back_from_json_whole(config: Config) -> None:
    back = config_of(Config, json.loads(json.dumps(asdict(config))))
    assert back == config
    assert [type(one) for one in asdict(back).values()] == [
        type(one) for one in asdict(config).values()
    ]


def test_whole_numbers_become_floats_only_where_a_field_takes_no_whole_ones() -> None:
    sloppy: dict[str, Any] = {"rate": 2, "weight": 2, "steps": 2, "sure": True}
    found = typed(Config(**sloppy))
    assert [repr(getattr(found, name)) for name in sloppy] == ["2.0", "2", "2", "True"]


def test_a_list_becomes_a_tuple_whatever_its_field_calls_it() -> None:
    assert config_of(Config, {"names": ["a", "b"]}).names == ("a", "b")


def test_a_field_that_is_no_longer_there_is_passed_over() -> None:
    assert config_of(Config, {"steps": 4, "gone": 1}) == Config(steps=4)
