"""What a configuration takes it can write and read again, field by field; what it does not take is named."""

import math
import typing
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

import flossing as fl
from flossing.commands.train import parse
from flossing.runs import RunConfig, from_yaml, parts, to_yaml
from flossing.runs.config import PLAIN
from flossing.sweeps import fields, grid as grids

HINTS = typing.get_type_hints(RunConfig)
FIELDS = {name: HINTS[name] for name in PLAIN if name != "directory"} | {
    f"{part}.{field}": hint
    for part in parts.FAMILIES
    for field, hint in parts.settings(type(getattr(RunConfig(), part))).items()
}
NUMBERS = [name for name, hint in FIELDS.items() if hint is float or float in typing.get_args(hint)]
INTEGERS = [name for name, hint in FIELDS.items() if hint is int]
BASES = [RunConfig(), RunConfig(task=fl.tasks.DelayedXOR(4, num_steps=30), measure_every=None)]
SETTINGS = hypothesis.settings(deadline=None, max_examples=20, derandomize=True)


def odd(kind):
    """Values that fields of a type may get: likely, extreme and of NumPy."""
    plain = {
        float: st.floats() | st.integers() | st.floats(0, 1).map(np.float32),
        int: st.integers() | st.integers(0, 400) | st.integers(0, 255).map(np.uint8),
        bool: st.booleans() | st.booleans().map(np.bool_),
        str: st.text()
        | st.sampled_from(["yes", "010", "1:30", "1e5", "null", "~", "q[/x]", "a: b"]),
        type(None): st.none(),
    }
    options = typing.get_args(kind)
    if kind in plain:
        return plain[kind]
    if typing.get_origin(kind) is typing.Literal:
        return st.sampled_from(options)
    if typing.get_origin(kind) is tuple:
        return st.lists(odd(options[0]), max_size=3).map(tuple)
    return st.one_of([odd(option) for option in options])


def numbers_in(value):
    return [x for part in value for x in numbers_in(part)] if isinstance(value, tuple) else [value]


def wrapped(name, value):
    return (value,) if typing.get_origin(FIELDS[name]) is tuple else value


@pytest.mark.slow
@pytest.mark.parametrize("name", FIELDS)
def test_what_is_taken_is_written_and_read(name, untyped):
    @SETTINGS
    @hypothesis.given(st.sampled_from(BASES), odd(FIELDS[name]))
    def check(base, value):
        try:
            config = fields.replace(base, {name: value})
        except (ValueError, TypeError) as error:
            assert name.split(".")[-1] in str(error)  # noqa: PT017
            return
        assert from_yaml(to_yaml(config)) == config
        for number in numbers_in(fields.get(config, name)):
            assert type(number) in (int, float, bool, str, type(None))
            assert not isinstance(number, float) or math.isfinite(np.float32(number))

    check()


@pytest.mark.slow
@pytest.mark.parametrize("bad", [math.nan, 1e39, 10**400], ids=str)
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_are_none_are_refused_at_every_entry(name, bad, untyped, capsys):
    last = name.split(".")[-1]
    with pytest.raises(ValueError, match=rf"{last}: expected"):
        fields.replace(RunConfig(), {name: wrapped(name, bad)})
    with pytest.raises(ValueError, match=rf"{last}: expected"):
        grids.grid(RunConfig(), {name: [wrapped(name, bad)]}).runs  # noqa: B018
    if isinstance(bad, float):
        flag = name.replace("_", "-")
        with pytest.raises((ValueError, SystemExit)) as caught:
            parse([f"--{flag}={bad}"])
        assert f"{last}: expected" in str(caught.value) + capsys.readouterr().err


def test_integers_that_jax_cannot_hold_are_refused(untyped):
    for name in INTEGERS:
        for bad in (2**32, -(2**32), 10**30):
            with pytest.raises(ValueError, match=rf"{name.split('.')[-1]}: "):
                fields.replace(RunConfig(), {name: bad})


@SETTINGS
@hypothesis.given(st.integers(-(2**70), 2**70) | st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_seeds_give_different_keys_or_are_refused(one, other):
    keys = []
    for seed in (one, other):
        try:
            config = RunConfig(seed=seed)
        except ValueError as error:
            assert "seed: expected at" in str(error)  # noqa: PT017
            assert not 0 <= seed < 2**32
            return
        keys.append(jax.random.key_data(config.keys()).tolist())
    assert (keys[0] == keys[1]) == (one == other)


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint32])
def test_seeds_of_numpy_are_those_of_python(kind):
    config = RunConfig(seed=kind(7))
    assert config == RunConfig(seed=7)
    assert from_yaml(to_yaml(config)) == config


def test_sweeps_and_the_command_line_refuse_the_same_seeds(untyped):
    for text in ("4294967297", "-1", "18446744073709551617"):
        with pytest.raises(ValueError, match="seed: expected at"):
            parse(["--seed", text])
        with pytest.raises(ValueError, match="seed: expected at"):
            grids.grid(RunConfig(), grids.parse([f"seed={text}"], RunConfig())).runs  # noqa: B018


def test_a_path_is_a_directory(tmp_path):
    config = RunConfig(directory=Path(tmp_path))
    assert from_yaml(to_yaml(config)).directory == str(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden_size: 5", "unknown field 'hidden_size'; did you mean cell.hidden_size?"),
        ("task: {hidden_sise: 5}", "xor has no such setting; it has delay, amplitude, num_steps."),
        ("nothing: 5", "there are task, cell, schedule, optimiser, epochs"),
        ("schedule: {basis_warmup: 5}", "is now called warmup: steps in"),
        ("seed: 1\nseed: 2", "the field 'seed' is given twice"),
        ("seed: 1:30", "seed: expected int, got '1:30'"),
        ("realisations: 1_000", "realisations: expected int, got '1_000'"),
        ("optimiser: {learning_rate: nan}", "learning_rate: expected float, got 'nan'"),
        ("optimiser: {learning_rate: .nan}", "learning_rate: expected finite numbers, got nan"),
        ("training: {epochs: 5, num_steps: 9}", "training.num_steps is gone; write task.num_steps"),
    ],
)
def test_files_are_told_what_is_wrong(text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        from_yaml(text, "mine.yaml")
    assert message in str(caught.value)
