"""Settings: canonical text, ids, configs from presets and from text."""

import hashlib
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import pytest

from survbench.bench.setting import Setting, parse_value, read_changes, resolve
from survbench.config import config_of
from survbench.errors import InputError, UnknownNameError
from survbench.method import Method
from survbench.registry import get_method
from tests.bench.fakes import PlainConfig

SETTING = Setting("c0", "f0", "paired", "none", "plain", 1, {"lr": 0.1, "b": [1, 2]})
CANONICAL = (
    '{"cohort_hash":"c0","config":{"b":[1,2],"lr":0.1},"method":"plain","population":"paired",'
    '"split_hash":"f0","train_regime":"none","version":1}'
)


@pytest.fixture
def plain(fakes: object) -> type[Method]:
    return get_method("plain")


def test_the_id_is_the_start_of_the_sha256_of_sorted_json_without_blanks() -> None:
    assert SETTING.canonical() == CANONICAL
    assert SETTING.id == hashlib.sha256(CANONICAL.encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    "change",
    [
        {"cohort_hash": "c1"},
        {"split_hash": "f1"},
        {"population": "all"},
        {"train_regime": "P"},
        {"method": "other"},
        {"version": 2},
        {"config": {"lr": 0.2, "b": [1, 2]}},
        {"control": "permute"},
    ],
)
def test_every_part_of_a_setting_changes_its_id(change: dict[str, object]) -> None:
    assert replace(SETTING, **change).id != SETTING.id  # type: ignore[arg-type]


def test_the_order_of_config_keys_does_not_change_the_id() -> None:
    assert replace(SETTING, config={"b": [1, 2], "lr": 0.1}).id == SETTING.id


def test_a_preset_fills_the_config_and_set_goes_over_it(plain: type[Method]) -> None:
    found = resolve(plain, "quick", {"weight": "0.5"})
    assert found.config == PlainConfig(columns=2, weight=0.5)
    assert found.changed == {"weight": 0.5}
    assert found.presets == ("quick",)


def test_setting_a_field_to_what_it_is_changes_nothing(plain: type[Method]) -> None:
    found = resolve(plain, "standard", {"weight": "1", "sizes": "1,2"})
    assert found.changed == {}
    assert found.values == resolve(plain, "standard", {}).values


def test_one_and_one_point_zero_are_one_setting_where_the_field_is_a_float(
    plain: type[Method],
) -> None:
    values = resolve(plain, "paper", {}).values
    assert values == resolve(plain, "standard", {"columns": "9", "weight": "2.0"}).values
    assert isinstance(values["weight"], float)


def test_presets_that_give_the_same_config_are_all_named(plain: type[Method]) -> None:
    assert resolve(plain, "quick", {"columns": "3"}).presets == ("quick", "standard")


def test_a_config_survives_json(plain: type[Method]) -> None:
    found = resolve(plain, "paper", {"sizes": "4,5,6", "limit": "1e-3"})
    assert config_of(plain.Config, found.values) == found.config


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("3", int, 3),
        ("3", float, 3.0),
        ("2e-4", float, 2e-4),
        ("True", bool, True),
        ("off", bool, False),
        ("1", bool, True),
        ("a=b,c", str, "a=b,c"),
        ("none", float | None, None),
        ("0.5", float | None, 0.5),
        ("2", int | float, 2),
        ("1,2", tuple[int, ...], (1, 2)),
        ("", tuple[int, ...], ()),
        ("1,0.5", tuple[int, float], (1, 0.5)),
        ("down", Literal["up", "down"], "down"),
        ("2", Literal[1, 2], 2),
    ],
)
def test_text_is_read_by_the_type_of_its_field(text: str, hint: object, value: object) -> None:
    read = parse_value(text, hint, "m.key")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "hint", "allowed"),
    [
        ("3.5", int, "a whole number"),
        ("x", float, "a finite number"),
        ("nan", float, "a finite number"),
        ("inf", float, "a finite number"),
        ("maybe", bool, "true or false"),
        ("left", Literal["up", "down"], "one of up, down"),
        ("1,x", tuple[int, ...], "a list such as 1,2"),
        ("1,2,3", tuple[int, int], "a list such as 1,2"),
        ("x", float | None, "a finite number or none"),
        ("x", dict, "settable on the command line"),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_is_allowed(
    text: str, hint: object, allowed: str
) -> None:
    with pytest.raises(InputError, match=rf"^m\.key='{text}' is not .*{allowed}"):
        parse_value(text, hint, "m.key")


def test_an_unknown_key_is_answered_with_the_closest(plain: type[Method]) -> None:
    with pytest.raises(UnknownNameError, match=r"'colums'. Did you mean 'columns'\? See"):
        resolve(plain, "standard", {"colums": "3"})


def test_an_unknown_preset_is_answered_with_the_closest(plain: type[Method]) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'standard'"):
        resolve(plain, "standart", {})


def test_what_the_config_itself_refuses_is_wrong_input(plain: type[Method]) -> None:
    with pytest.raises(InputError, match="config of plain: columns is 0"):
        resolve(plain, "standard", {"columns": "0"})


def test_a_config_that_is_no_plain_json_is_refused(plain: type[Method]) -> None:
    @dataclass(frozen=True)
    class Odd:
        what: object = len

    class OddMethod(plain):  # type: ignore[misc,valid-type]
        Config = Odd
        presets: ClassVar[dict[str, dict[str, object]]] = {}

    with pytest.raises(InputError, match="not plain JSON"):
        resolve(OddMethod, "standard", {})


def test_changes_belong_to_the_method_they_name() -> None:
    texts = ["a.lr=1", "b.note=x.y=z"]
    assert read_changes(texts, ["a", "b"]) == {"a": {"lr": "1"}, "b": {"note": "x.y=z"}}
    assert read_changes(["lr = 1", "a.b=2"], ["a"]) == {"a": {"lr": "1", "b": "2"}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lr", "is not key=value"),
        ("=1", "is not key=value"),
        ("a.=1", "is not key=value"),
        ("lr=1", r"write --set METHOD\.lr=1"),
        ("aa.lr=1", "Did you mean 'a'|Known: a, b"),
        ("a.lr=2", "gives a.lr twice"),
    ],
)
def test_changes_that_cannot_be_read_are_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_changes(["a.lr=1", text], ["a", "b"])


def test_a_control_is_part_of_the_id_and_no_control_is_not() -> None:
    assert replace(SETTING, control="none").canonical() == CANONICAL
    assert replace(SETTING, control="permute").id != SETTING.id
