"""YAML 1.2, read and written."""

import math

import hypothesis
import hypothesis.strategies as st
import pytest
import yaml

from flossing.runs import RunConfig, yaml_files
from flossing.sweeps.fields import read

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TEXTS_LIKE_NUMBERS = st.from_regex(r"\A[-+.0-9a-fxoeE_:~]{0,8}\Z") | st.sampled_from(
    ["yes", "No", "on", "null", "Null", "", "=", "<<", "2001-01-01", "1e5", "0o17", "0b1", ".Inf"]
)


@hypothesis.settings(deadline=None, derandomize=True)
@hypothesis.given(PLAIN | TEXTS_LIKE_NUMBERS)
def test_what_is_written_is_read(content):
    assert yaml_files.load(yaml_files.dump({"field": content})) == {"field": content}


@hypothesis.settings(deadline=None, derandomize=True)
@hypothesis.given(PLAIN | TEXTS_LIKE_NUMBERS)
def test_readers_of_the_older_version_read_the_same(content):
    assert yaml.safe_load(yaml_files.dump({"field": content})) == {"field": content}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10), ("0o10", 8), ("0x1F", 31), ("-07", -7), ("1e-3", 1e-3), ("1E3", 1e3), (".5", 0.5),
        ("5.", 5.0), ("-.inf", -math.inf), ("true", True), ("~", None), ("", None),
        ("1:30", "1:30"), ("190:20:30.15", "190:20:30.15"), ("1_000", "1_000"), ("0b11", "0b11"),
        ("yes", "yes"), ("off", "off"), ("2001-01-01", "2001-01-01"), ("'10'", "10"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_version_1_2(text, value):
    found = yaml_files.load(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2", "[" * 3000, "{[1]: 2}", "9" * 5000, "\0"])
def test_what_is_no_yaml_is_said(text):
    with pytest.raises(yaml_files.YAMLError):
        yaml_files.load(text)


@hypothesis.settings(deadline=None, derandomize=True)
@hypothesis.given(st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_leading_zeros_on_the_command_line_change_nothing(seed, zeros):
    assert read("seed", "0" * zeros + str(seed), RunConfig()) == seed


@pytest.mark.parametrize("text", ["1:30", "1_000", "0b11", "1e3", "true", "one", "1.0", "nan"])
def test_integers_of_the_command_line_are_integers(text):
    with pytest.raises(ValueError, match="seed: expected int, got"):
        read("seed", text, RunConfig())
