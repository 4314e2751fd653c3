"""Tasks whose trials are drawn: files and commands make them again, and so does a compiled program."""

import equinox as eqx
import jax
import numpy as np
import pytest

from flossing.commands.train import parse
from flossing.runs import RunConfig, from_yaml, to_yaml
from flossing.tasks import (
    AddingProblem,
    ContinuousCopy,
    DyckWords,
    FlipFlop,
    FrequencyDiscrimination,
    MatchToSample,
)

WRITTEN = {
    "adding --task.num-steps 12": AddingProblem(12),
    "continuous-copy --task.delay 4 --task.num-values 2 --task.noise 0.5": ContinuousCopy(
        4, num_values=2, noise=0.5
    ),
    "match-to-sample --task.min-delay 3 --task.num-stimuli 4 --task.stimulus-steps 2": MatchToSample(
        min_delay=3, num_stimuli=4, stimulus_steps=2
    ),
    "match-to-sample --task.delay 5 --task.min-delay none --task.noise 0": MatchToSample(
        5, noise=0.0
    ),
    "flip-flop --task.num-steps 20 --task.num-bits 2 --task.probability 0.1": FlipFlop(
        20, num_bits=2, probability=0.1
    ),
    "frequency-discrimination --task.lowest 0.2 --task.difference 0.01": FrequencyDiscrimination(
        lowest=0.2, difference=0.01
    ),
    "dyck --task.num-kinds 3 --task.depth 4 --task.opening 0.5": DyckWords(
        num_kinds=3, depth=4, opening=0.5
    ),
}


@pytest.mark.parametrize(("words", "task"), WRITTEN.items(), ids=WRITTEN)
def test_commands_and_files_make_the_task(words, task):
    assert parse(["--task", *words.split()]).settings.task == task
    config = RunConfig(task=task)
    assert from_yaml(to_yaml(config)) == config


@pytest.mark.slow
@pytest.mark.parametrize("task", WRITTEN.values(), ids=WRITTEN)
def test_a_compiled_batch_has_the_trials_of_its_keys(task, key):
    """Phases of some 30 rad in single precision: compiled programs may round their sines otherwise."""
    batch = eqx.filter_jit(task.batch)(key, 2, 3)
    keys = jax.random.split(jax.random.fold_in(key, 2), 3)
    for i in range(3):
        for found, expected in zip(batch, task.sample(keys[i]), strict=True):
            if expected is not None:
                assert found.dtype == expected.dtype
                np.testing.assert_allclose(found[i], expected, atol=2e-5)
