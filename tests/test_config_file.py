"""Config files and what they may hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.config_file import parse_published, read_config, read_fields
from streaming_wavlm.errors import ConfigError, UnknownKeyError, UnsupportedCheckpointError
from tiny import tiny_config


def written(tmp_path: Path, text: str, name: str = "model.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "num_layers: 6\nhidden_dims: [8, 8, 8, 8, 8, 8, 8]\nlookahead_size: chunk\n",
        "wavlm:\n  num_layers: 6\n  hidden_dims: [8, 8, 8, 8, 8, 8, 8]\n  lookahead_size: chunk\n",
        "# a comment\nstudent_num_layers: 6\nstudent_hidden_dims: [8,8,8,8,8,8,8]\nlookahead_size: 'chunk'\n",
        '{"num_layers": 6, "hidden_dims": [8, 8, 8, 8, 8, 8, 8], "lookahead_size": "chunk"}',
        "{num_layers: 6, hidden_dims: [8, 8, 8, 8, 8, 8, 8], lookahead_size: chunk}",
        "\ufeffnum_layers: 6\nhidden_dims: [8, 8, 8, 8, 8, 8, 8]\nlookahead_size: chunk\n",
        "eight: &eight 8\n",
    ],
)
def test_yaml_and_json_are_read_in_every_spelling(tmp_path, text) -> None:
    path = written(tmp_path, text)
    if "eight" in text:
        with pytest.raises(UnknownKeyError, match="'eight'"):
            read_fields(path)
        return
    expected = {"num_layers": 6, "hidden_dims": [8] * 7, "lookahead_size": "chunk"}
    assert read_fields(path) == read_fields(str(path)) == expected
    assert read_config(path) == StreamingWavLMConfig(**expected)


def test_a_config_gives_every_field_a_dict_those_it_has_and_none_nothing() -> None:
    assert read_fields(tiny_config()) == tiny_config().to_dict()
    assert read_fields({"student_chunk_ms": 200}) == {"chunk_ms": 200}
    assert read_fields(None) == {}


def test_a_base_gives_the_rest() -> None:
    assert read_config({"chunk_ms": 200}, tiny_config()) == tiny_config(chunk_ms=200)


def test_a_published_config_serves_as_a_model_config(tmp_path) -> None:
    values = {
        "model_type": "streaming_wavlm",
        "format_version": 1,
        **tiny_config().to_dict(),
        "provenance": {"weights": "random"},
        "defaults": ["strides"],
    }
    path = written(tmp_path, json.dumps(values), "config.json")
    assert read_config(path) == tiny_config()
    published = parse_published(values, "x")
    assert published.provenance == {"weights": "random"}
    assert published.defaults == ("strides",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; a config is a mapping such as 'num_layers: 12'"),
        ("# nothing\n", "is empty"),
        ("- 1\n- 2\n", "must be a mapping of config fields, got list"),
        ("12", "must be a mapping of config fields, got int"),
        ("num_layers: 6\ndim: 8\nnum_layers: 12\n", "line 3 gives the key 'num_layers' a second time"),
        ("wavlm:\n  dim: 6\n  dim: 12\n", "line 3 gives the key 'dim' a second time"),
        ('{"dim": 6, "dim": 12}', "the key 'dim' is given twice"),
        ("num_layers: [6\n", "cannot be read as a YAML or JSON config"),
        ("num_layers: !!python/object/apply:os.system ['true']\n", "cannot be read as a YAML or JSON config"),
        ("encoder: !new:speechbrain.X\n  dim: 3\n", "cannot be read as a YAML or JSON config"),
        ("{" * 5000, "cannot be read as a YAML or JSON config"),
        ("num_layer: 6\n", "'num_layer', which is no field; did you mean 'num_layers'"),
        ("student_windowsize: 6\n", "'windowsize', which is no field; did you mean 'window_size'"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, words) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_fields(path)
    if not isinstance(caught.value, UnknownKeyError):
        assert str(path) in str(caught.value)


def test_a_value_of_the_wrong_kind_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="num_layers must be a positive integer, got 'six'"):
        read_config(written(tmp_path, "num_layers: six\n"))


@pytest.mark.parametrize("kind", ["{{x: *a{0}, y: *a{0}}}", "[*a{0}, *a{0}]"])
def test_aliases_of_aliases_are_refused_before_anybody_looks_at_them(tmp_path, kind) -> None:
    lines = ["a0: &a0 [1]"] + [f"a{i}: &a{i} {kind.format(i - 1)}" for i in range(1, 60)]
    lines.append("num_layers: *a59")
    with pytest.raises(ConfigError, match="stand for more than 100000 values") as caught:
        read_fields(written(tmp_path, "\n".join(lines)))
    assert len(str(caught.value)) < 500


def test_an_alias_of_what_it_stands_in_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"line \d begins something that holds itself"):
        read_fields(written(tmp_path, "wavlm: &a\n  wavlm: *a\n"))
    values: dict = {}
    values["wavlm"] = values
    with pytest.raises(ConfigError, match="section inside"):
        read_fields(values)


def test_plain_aliases_are_read(tmp_path) -> None:
    text = "conv_bias: &no false\ncausal: true\nfinal_norm: *no\nhidden_dims: [8, 8]\n"
    assert read_fields(written(tmp_path, text))["final_norm"] is False


def test_keys_of_several_kinds_beside_the_section_are_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match="beside it, '1', 'a'"):
        read_fields(written(tmp_path, "wavlm: {num_layers: 2}\n1: 2\na: 3\n"))


def test_a_long_value_is_shortened_in_the_message(tmp_path) -> None:
    for value in ([1] * 100_000, "x" * 100_000, -(16**9000), {"a": [[[[1]]] * 1000] * 1000}):
        with pytest.raises(ConfigError, match="num_layers must be a positive integer") as caught:
            read_config({"num_layers": value})
        assert len(str(caught.value)) < 2000
    with pytest.raises(ConfigError, match=r"got \[8, 8, 8, 8, 8, 8, 0\]"):
        read_config({"hidden_dims": [8] * 6 + [0]})


def test_a_file_that_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(
        ConfigError, match=r"there is no config file '.*none\.yaml'; give a YAML or JSON file"
    ):
        read_fields(tmp_path / "none.yaml")


def test_a_folder_and_a_binary_file_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_fields(tmp_path)
    (tmp_path / "x.yaml").write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match="is not text"):
        read_fields(tmp_path / "x.yaml")


def test_another_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="a dict or a StreamingWavLMConfig, got int"):
        read_fields(12)  # type: ignore[arg-type]


def test_the_config_of_a_transformers_wavlm_is_sent_to_convert(tmp_path) -> None:
    path = written(tmp_path, '{"model_type": "wavlm", "hidden_size": 768}', "config.json")
    with pytest.raises(UnsupportedCheckpointError, match=r"streaming_wavlm\.convert"):
        read_fields(path)


def test_a_newer_format_is_refused(tmp_path) -> None:
    with pytest.raises(UnsupportedCheckpointError, match=r"format_version 99.*upgrade it"):
        read_fields(written(tmp_path, "format_version: 99\n"))
