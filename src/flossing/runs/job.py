"""A run under way: its phases in blocks, what is recorded after each, and how it ends."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import xarray as xr

from ..floss import Phase, flossing_harm
from ..lyapunov._steps import dimension
from ..training import (
    FlossMetrics,
    TrainMetrics,
    TrainState,
    any_process,
    begin,
    evaluate,
    floss_block,
    measure_exponents,
    train_block,
)
from ..training.devices import placed
from ..training.streams import Stream, fold
from . import checkpoint, directory as files
from .clock import BlockKind, Moment, add_to_clock, seconds_of
from .config import RunConfig, to_mapping, to_yaml
from .record import Measurement, Record, tell
from .reporter import COMPILING, KEPT, Reporter
from .result import RunResult
from .summary import Headline
from .trackers import JsonLines, Tracker, TrackerName, make_trackers

BLOCK = 50
"""Epochs or flossing steps in one compiled block, at most."""

_HARM_STEPS = 150
"""Steps of the trajectory on which harm done by flossing is looked for."""


def _number(i: int, networks: Any) -> Any:
    """One of the networks along the leading axis."""
    return jax.tree.map(lambda x: x[i] if eqx.is_array(x) else x, networks)


def phases(config: RunConfig) -> list[Phase]:
    """The phases of a run, in order."""
    if config.schedule is None:
        return [Phase("train", 0, config.epochs)]
    return list(config.schedule.phases(config.epochs))


def compile_blocks(config: RunConfig) -> None:
    """Compiles all that a run does in blocks, by the last and incomplete block of each phase."""
    trainer, keys = config.trainer, config.keys()
    state = begin(config.networks(), trainer)
    for kind, count in {(p.kind, (p.stop - p.start) % BLOCK) for p in phases(config)}:
        block = floss_block if kind == "floss" else train_block
        block(state, keys, count, BLOCK, trainer)


class Job:
    """One run, from the state that it has reached to its end or an interrupt."""

    def __init__(
        self,
        config: RunConfig,
        path: Path | None,
        state: TrainState,
        record: Record,
        reporter: Reporter,
        stop: threading.Event | None,
    ):
        self.config = config
        self.path = path
        self.state = state
        self.record = record
        self.reporter = reporter
        self.stop = stop or threading.Event()
        self.keys = config.keys()
        self.trainer = config.trainer
        self.compiled: set[BlockKind] = set()
        self.seconds = 0.0
        self.phases = phases(config)
        steps = [phase.stop for phase in self.phases if phase.kind == "floss"]
        self.totals: dict[BlockKind, int] = {
            "flossing": max(steps, default=0),
            "training": config.epochs,
        }
        self.measured = min(config.measure_exponents or 128, self._dimension())

    def run(self, track: Sequence[TrackerName], trackers: Sequence[Tracker]) -> RunResult:
        """Does what is left to do, and writes it."""
        if self.path is None:
            return self._run(trackers)
        with checkpoint.locked(self.path):
            checkpoint.remove_leftovers(self.path)
            epochs, steps = int(self.state.epochs), int(self.state.floss_steps)
            settings = to_mapping(self.config)
            named = make_trackers(
                track,
                self.path,
                settings,
                epochs,
                begun=epochs + steps > 0,
                say=lambda text: self.say([text]),
            )
            self.lines = JsonLines(self.path)
            self.record.tell(self.lines.log)
            try:
                return self._run([self.lines, *named, *trackers])
            finally:
                for tracker in named:
                    tracker.close()

    def _run(self, trackers: Sequence[Tracker]) -> RunResult:
        self.trackers = trackers
        for kind in self.totals:
            if self._done(kind):
                self._report(kind, KEPT)
        if not int(self.state.epochs) + int(self.state.floss_steps):
            self._measure("start")
        with self._compiled_ahead():
            for phase in self.phases:
                if phase.kind == "floss":
                    self._floss(phase.stop)
                else:
                    self._train(phase.stop)
                if self._stopping():
                    break
        finished = int(self.state.epochs) == self.config.epochs
        if finished:
            self._measure("end")
            evaluation = evaluate(
                self.state.networks, self.keys, self.trainer, self.config.test_trials
            )
            self.record.evaluation = jax.tree.map(np.asarray, evaluation)
        self._save(last=True)
        seconds = self.seconds if self.path is None else seconds_of(self.path)
        return RunResult(
            self.config, self._dataset(), self.state.networks, self.path, finished, seconds
        )

    @contextlib.contextmanager
    def _compiled_ahead(self) -> Iterator[None]:
        """Meanwhile compiles the training beside the flossing: a block of no epochs, in a thread of its own.

        The thread is waited for: Python may not end while XLA compiles.
        """
        self.ahead: threading.Thread | None = None
        flosses = (
            self.phases[0].kind == "floss" and int(self.state.floss_steps) < self.phases[0].stop
        )
        if not flosses or jax.process_count() > 1:  # processes must do the same in the same order
            yield
            return

        def compile() -> None:
            with contextlib.suppress(Exception):  # the block that needs it raises the same
                train_block(self.state, self.keys, 0, BLOCK, self.trainer)

        thread = self.ahead = threading.Thread(target=compile, daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def say(self, notes: Sequence[str]) -> None:
        """Tells the reporter and the log."""
        for note in notes:
            self._log(note)
            self.reporter.message(note)

    def _stopping(self) -> bool:
        return any_process(self.stop.is_set())

    def _tell(self, kind: str, first: int, rows: TrainMetrics | FlossMetrics) -> None:
        for tracker in self.trackers:
            tell(tracker.log, kind, first, rows)

    def _floss(self, until: int) -> None:
        while (done := int(self.state.floss_steps)) < until and not self._stopping():
            count = min(BLOCK, until - done)
            self._say_that_it_compiles("flossing")
            start = Moment()
            self.state, metrics = floss_block(self.state, self.keys, count, BLOCK, self.trainer)
            self.record.add_flossing(metrics, int(self.state.epochs))
            self._time("flossing", done, count, start)
            self._tell("flossing", done, self.record.flossing[-1])
            if int(self.state.floss_steps) == until:
                self._after_flossing()
            loss = float(np.median(self.record.flossing[-1].loss[-1]))
            self._after_block("flossing", f"loss {loss:.1e}")

    def _after_flossing(self) -> None:
        """Measures; before training, looks whether flossing did harm to a network as it was at the start."""
        if int(self.state.epochs):
            self._measure("after flossing")
            return
        self._measure("before training")
        step, state, task = self.trainer.step, self.trainer.state, self.trainer.task
        start = placed(self.config.networks(), len(self.keys))
        for i, key in enumerate(self.keys):
            before, after = (_number(i, networks) for networks in (start, self.state.networks))
            harm_key, input_key = jax.random.split(fold(key, Stream.HARM, 0))
            inputs = task.sample_inputs(input_key, _HARM_STEPS)
            harm = flossing_harm(before, after, state(after), inputs, step=step, key=harm_key)
            self.say([f"network {i + 1}: {text}" for text in harm])

    def _train(self, until: int) -> None:
        every = self.config.measure_every
        while (done := int(self.state.epochs)) < until and not self._stopping():
            next_measure = done + every - done % every if every else until
            count = min(BLOCK, until - done, next_measure - done)
            self._say_that_it_compiles("training")
            start = Moment()
            if self.ahead is not None:
                self.ahead.join()
            self.state, metrics = train_block(self.state, self.keys, count, BLOCK, self.trainer)
            self.record.add_training(metrics)
            self._time("training", done, count, start)
            self._tell("training", done, self.record.training[-1])
            epochs = int(self.state.epochs)
            if every and epochs % every == 0 and epochs < self.config.epochs:
                self._measure("during training")
            self._after_block("training", self._status())

    def _status(self) -> str:
        """The most important number of the last epochs: the first metric of the task, or the loss."""
        rows = self.record.training[-1]
        for name, metric in rows.metrics.items():
            main = Headline(name, metric.unit, metric.higher_is_better, metric.chance)
            return f"{name} {main.show(np.median(metric.value[-10:]))}"
        return f"loss {np.median(rows.loss[-10:]):.3g}"

    def _dimension(self) -> int:
        """State variables of one network."""
        return dimension(self.config.state(_number(0, self.state.networks)))

    def _time(self, kind: BlockKind, first: int, count: int, start: Moment) -> None:
        block = start.block(kind, first, count)
        self.seconds += block.wall_seconds
        if self.path is not None:
            add_to_clock(self.path, block)

    def _after_block(self, kind: BlockKind, status: str) -> None:
        self._save()
        self._log(f"{kind} {self._done(kind)}/{self.totals[kind]}, {status}")
        self._report(kind, status)

    def _say_that_it_compiles(self, kind: BlockKind) -> None:
        """Before the first block of a kind: without a word, the next one would come much later."""
        if kind not in self.compiled:
            self.compiled.add(kind)
            self._log(f"{COMPILING} {kind}")
            self._report(kind, COMPILING)

    def _done(self, kind: BlockKind) -> int:
        state = self.state
        return int(state.floss_steps if kind == "flossing" else state.epochs)

    def _report(self, kind: BlockKind, status: str) -> None:
        self.reporter.progress(kind, self._done(kind), self.totals[kind], status)

    def _log(self, text: str) -> None:
        if self.path is not None:
            files.append_to_log(self.path, f"{time.strftime('%H:%M:%S')} {text}")

    def _measure(self, label: str) -> None:
        moment = int(self.state.epochs), int(self.state.floss_steps)
        if self.record.measured(*moment):
            return
        networks, size = self.state.networks, self.measured
        exponents = measure_exponents(networks, self.keys, self.trainer, size)
        self.record.measurements.append(Measurement(*moment, label, np.asarray(exponents)))
        for tracker in self.trackers:
            tracker.log("spectrum", moment[0], {"exponents": np.asarray(exponents)})

    def _dataset(self) -> xr.Dataset:
        return self.record.dataset({"title": "flossing run", "config": to_yaml(self.config)})

    def _save(self, last: bool = False) -> None:
        if self.path is None:
            return
        try:
            checkpoint.write_checkpoint(self.path, self.state, self._dataset())
            self.lines.flush()
            if last:
                files.write_arrays(self.path / files.WEIGHTS, self.state.networks)
            if last and self.record.evaluation is not None:
                checkpoint.discard_previous(self.path)
        except OSError as error:
            if last:
                raise
            self.say(
                [
                    f"could not write to {self.path} ({error}); going on, the last complete files stay"
                ]
            )
