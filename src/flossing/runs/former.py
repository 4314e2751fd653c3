"""Settings of versions up to 0.1.0: what to write in their place.

Names are dotted, as on the command line of those versions: ``flossing.window``, ``training.epochs``.
"""

from collections.abc import Iterator
from typing import Any

from .._warn import renamed

SCHEDULES = {"both": "phases", "between": "phases with steps_before 0"}
"""Names of schedules that are now called otherwise."""

GROUPS = {
    "flossing": "is now schedule, as schedule: {name: adaptive, window: 100}",
    "training": "is no group any more: epochs and batch_size stand by themselves, the rest is optimiser",
}
"""Groups of settings that are gone, and what has taken their place."""
_WRITE = {
    "flossing.schedule": "write schedule: its name",
    "flossing.starts": "write schedule.num_starts",
    "flossing.adaptive.look_starts": "write schedule.num_starts",
    "flossing.adaptive.control": "choose the schedule heights for surrogate derivatives",
    "flossing.adaptive.response": "choose the schedule heights, and write schedule.response",
    "flossing.adaptive.centre": "choose the schedule heights, and write schedule.level",
    "flossing.joint_weight": "choose the schedule joint, and write schedule.weight",
    "training.optimiser": "write optimiser: its name",
    "training.num_steps": "write task.num_steps",
    "task.name": "write task: its name",
    "cell.name": "write cell: its name",
    "cell.gate_bias": "write cell.update_bias for gru, cell.forget_bias for lstm",
}
_KEPT = {
    "flossing": "steps_before num_exponents targets penalty window warmup state_warmup learning_rate "
    "final_learning_rate clip_norm every max_times steps_between band learned",
    "training": "learning_rate final_learning_rate clip clip_norm",
}
_GONE = {
    "schedule": "which detach_warmup detach_states renormalise_every optimiser parameters centred watched "
    "settle max_steps memory",
    "optimiser": "readout_rate slow_below roll_back beta1 beta2 jacobian_penalty train_initial_state "
    "keep_zeros",
    "cell": "first_exponent mean density shortcuts dale lines line_start form centred_inputs "
    "membrane_readout bias_range",
}
_TOP = {"epochs", "batch_size"}


def instead_of(name: str) -> str | None:
    """What to write in the place of a setting that is gone; ``None`` if there never was one of that name.

    Flags of the group ``training`` had no prefix: ``learning_rate`` is looked up there as well.
    """
    name = name.replace("-", "_")
    if message := renamed(name):
        return message.removesuffix(".")
    if name in GROUPS:
        return GROUPS[name]
    group, _, rest = name.partition(".")
    last = name.rpartition(".")[2]
    if not rest:
        return instead_of(f"training.{name}") if name in _of_training() else None
    if name in _WRITE:
        return f"is gone; {_WRITE[name]}"
    if group == "training" and last in _TOP:
        return f"is gone; write {last}"
    if last in _KEPT.get(group, "").split():
        part = {"flossing": "schedule", "training": "optimiser"}[group]
        return f"is gone; write {part}.{last}"
    part = {"flossing": "schedule", "training": "optimiser"}.get(group, group)
    if last in _GONE.get(part, "").split():
        return f"is gone from the settings; write one of your own that has it, as --{part} FILE.py:NAME"
    return GROUPS.get(group)


def _of_training() -> list[str]:
    """Settings whose flags had no prefix, and which are none of a run now."""
    return ["num_steps", *_KEPT["training"].split(), *_GONE["optimiser"].split()]


def in_group(group: str, content: Any) -> str:
    """What to write in the place of a group of an old file, setting by setting."""
    words = [f"{group} {GROUPS[group]}"]
    words += [f"{name} {instead_of(name)}" for name in _names(content, f"{group}.")]
    return "; ".join(words) + "."


def _names(content: Any, prefix: str) -> Iterator[str]:
    for name, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
