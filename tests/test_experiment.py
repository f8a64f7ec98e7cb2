from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from streaming_wavlm.errors import ConfigError, UnknownKeyError
from streaming_wavlm.experiment import (
    build,
    differences,
    merge,
    override,
    read_values,
    to_values,
    to_yaml,
)


@dataclass(frozen=True)
class Part:
    path: str
    weight: float = 1.0
    kind: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ConfigError(f"weight must not be negative, got {self.weight}")


@dataclass(frozen=True)
class Whole:
    name: str
    steps: int = 10
    rate: float = 0.5
    on: bool = False
    limit: int | Literal["chunk"] | None = None
    span: tuple[float, float] = (0.0, 1.0)
    parts: tuple[Part, ...] = ()
    tags: list[str] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    where: dict[str, tuple[str, ...]] = field(default_factory=dict)
    inner: Part | None = None


def test_nested_fields_get_their_types() -> None:
    whole = build(
        Whole,
        {
            "name": "x",
            "rate": 1,
            "limit": "chunk",
            "span": [1, 2],
            "parts": [{"path": "p", "weight": 2}],
            "where": {"split": ["train"]},
            "inner": {"path": "q"},
        },
    )
    assert whole.rate == 1.0
    assert isinstance(whole.rate, float)
    assert whole.parts == (Part("p", 2.0),)
    assert whole.span == (1.0, 2.0)
    assert whole.where == {"split": ("train",)}
    assert whole.inner == Part("q")


def test_an_unknown_key_names_the_nearest_and_its_place() -> None:
    with pytest.raises(UnknownKeyError, match=r"recipe has the key 'stepz'.*did you mean 'steps'"):
        build(Whole, {"name": "x", "stepz": 3})
    with pytest.raises(UnknownKeyError, match=r"recipe\.parts\.1 has the key 'wieght'.*'weight'"):
        build(Whole, {"name": "x", "parts": [{"path": "p"}, {"path": "p", "wieght": 3}]})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "lacks 'name'"),
        ({"name": 3}, r"recipe\.name must be text, got int 3"),
        ({"name": "x", "steps": 1.5}, r"recipe\.steps must be a whole number"),
        ({"name": "x", "steps": True}, r"recipe\.steps must be a whole number"),
        ({"name": "x", "on": 1}, r"recipe\.on must be true or false"),
        ({"name": "x", "rate": "fast"}, r"recipe\.rate must be a number"),
        ({"name": "x", "rate": None}, r"recipe\.rate must be a number"),
        ({"name": "x", "span": [1]}, r"recipe\.span must be a list of 2 values"),
        ({"name": "x", "parts": {"path": "p"}}, r"recipe\.parts must be a list"),
        ({"name": "x", "parts": ["p"]}, r"recipe\.parts\.0 must be a mapping"),
        ({"name": "x", "limit": "lump"}, r"recipe\.limit must be one of 'chunk'"),
        ({"name": "x", "inner": {"path": "p", "kind": "c"}}, r"recipe\.inner\.kind must be one of 'a', 'b'"),
        ({"name": "x", "inner": {"path": "p", "weight": -1}}, r"recipe\.inner: weight must not be negative"),
        ({"name": "x", "where": {"split": "train"}}, r"recipe\.where\.split must be a list"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Whole, values)


def test_a_number_without_a_dot_before_its_exponent_is_a_number() -> None:
    # YAML 1.1 reads 1e-4 as text.
    assert build(Whole, override({"name": "x"}, ["rate=1e-4"])).rate == 1e-4


def test_overrides_reach_mappings_and_lists_and_leave_the_original() -> None:
    values = {"name": "x", "parts": [{"path": "p"}, {"path": "q"}]}
    changed = override(values, ["parts.1.weight=3", "name=y=z", "fields.a.b=[1, two]", "limit=null"])
    assert changed["parts"] == [{"path": "p"}, {"path": "q", "weight": 3}]
    assert changed["name"] == "y=z"
    assert changed["fields"] == {"a": {"b": [1, "two"]}}
    assert changed["limit"] is None
    assert values == {"name": "x", "parts": [{"path": "p"}, {"path": "q"}]}


@pytest.mark.parametrize(
    "word", ["steps", "=3", "parts.7.path=x", "parts.first.path=x", "name.deep=3", "a=[1"]
)
def test_a_malformed_override_is_refused(word: str) -> None:
    with pytest.raises(ConfigError):
        override({"name": "x", "parts": [{"path": "p"}]}, [word])


def test_merging_goes_into_mappings_and_replaces_lists() -> None:
    assert merge({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"c": [2]}, "e": 3}) == {
        "a": {"b": 1, "c": [2]},
        "d": 2,
        "e": 3,
    }


def test_yaml_gives_back_the_same(tmp_path: Path) -> None:
    whole = Whole("x", span=(1e-4, 2.0), parts=(Part("p", 1e-8, "b"),), where={"s": ("1",)}, limit=3)
    (tmp_path / "x.yaml").write_text(to_yaml(whole))
    assert build(Whole, read_values(tmp_path / "x.yaml")) == whole


def test_differences_are_listed_by_dotted_key() -> None:
    before = to_values(Whole("x", parts=(Part("p"), Part("q"))))
    after = to_values(Whole("y", parts=(Part("p"), Part("q", 2.0))))
    assert differences(before, before) == {}
    assert differences(before, after) == {"name": ("x", "y"), "parts.1.weight": (1.0, 2.0)}
    assert differences({"a": 1}, {"a": True, "b": 2}) == {"a": (1, True), "b": ("(absent)", 2)}


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: 1\na: 2", "a: [", "a: !!python/object:os.system {}"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"recipe\.yaml") as caught:
        read_values(path)
    assert "config" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        read_values(tmp_path / "nowhere.yaml")
