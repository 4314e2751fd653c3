"""Sends the runs of a sweep to Dask and sees each to its end, whatever dies on the way."""

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from distributed import Client, Future

from . import worker
from .board import Display, tell
from .worker import Job, Outcome

_POLL_SECONDS = 0.1
_REPEAT_SECONDS = 2.0
_PATIENCE_SECONDS = 600.0


class Driver:
    """Keeps every run that is not at its end with the scheduler, in order, and counts failures.

    Dask moves the run of a dead worker to another one by itself. When the scheduler is lost, runs are
    sent again to the one that ``connect`` finds.
    """

    def __init__(
        self,
        client: Client,
        connect: Callable[[], Client] | None,
        jobs: Sequence[Job],
        retries: int,
        display: Display,
        stop: threading.Event,
    ):
        self.client = client
        self.connect = connect
        self.jobs = {job.index: job for job in jobs}
        self.topic = jobs[0].topic
        self.retries = retries
        self.display = display
        self.stop = stop
        self.outcomes: dict[int, Outcome] = {}
        self.failures = dict.fromkeys(self.jobs, 0)
        self.sent = 0
        self.futures: dict[int, Future] = {}
        self.last_stop = 0.0

    def go(self) -> dict[int, Outcome]:
        """The outcome of every run; those cut off by a stop are missing or ``stopped``.

        Raises:
            ConnectionError: the scheduler is gone and does not come back.
        """
        if not self.stop.is_set():
            self.client.subscribe_topic(self.topic, self._hear)
            self._send(list(self.jobs))
        return self.wait()

    def wait(self) -> dict[int, Outcome]:
        """Goes on until every run has ended or, after ``stop``, has finished its block."""
        while self.futures:
            if not self._connected():
                self._reconnect()
            for index, future in list(self.futures.items()):
                self._look(index, future)
            if self.stop.is_set() and self.futures and not self._stop_runs():
                break
            time.sleep(_POLL_SECONDS)
        return self.outcomes

    def _connected(self) -> bool:
        return self.client.status in ("running", "connecting")

    def _send(self, indices: Sequence[int]) -> None:
        if not indices:
            return
        jobs = [self.jobs[i] for i in indices]
        self.sent += 1
        keys = [(f"run-{self.topic}", job.index, self.sent) for job in jobs]
        futures = self.client.map(worker.work, jobs, key=keys, retries=0)
        self.futures |= dict(zip(indices, futures, strict=True))

    def _look(self, index: int, future: Future) -> None:
        if future.status in ("cancelled", "lost"):
            if self.client.status == "running" and not self.stop.is_set():
                self._send([index])
            elif self.stop.is_set():
                self._end(index, Outcome("stopped"))
        elif future.status == "error":
            self._failed(index, _error_text(future))
        elif future.status == "finished":
            try:
                outcome = Outcome(*future.result(timeout=30))
            except Exception:  # its worker died before it handed the outcome over: look again
                return
            if outcome.status == "failed":
                self._failed(index, outcome.error)
            elif outcome.status == "stopped" and not self.stop.is_set():
                self._send([index])
            else:
                self._end(index, outcome)

    def _failed(self, index: int, error: str) -> None:
        self.failures[index] += 1
        if self.failures[index] > self.retries or self.stop.is_set():
            self._end(index, Outcome("failed", error))
            return
        last = error.strip().splitlines()[-1]
        self.display.message(f"{self.jobs[index].name}: failed ({last}); trying again")
        self._send([index])

    def _end(self, index: int, outcome: Outcome) -> None:
        del self.futures[index]
        self.outcomes[index] = outcome
        self.display.ended(index, outcome.status)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        news = event[1]
        tell(self.display, self.jobs[news["run"]].name, news)

    def _stop_runs(self) -> bool:
        """Tells all workers to stop, again and again: some may just have started. False: nobody is there."""
        now = time.monotonic()
        if now - self.last_stop < _REPEAT_SECONDS:
            return True
        self.last_stop = now
        try:
            if not self.client.nthreads():
                return False
            self.client.run(worker.stop, self.topic, on_error="ignore")
        except Exception:
            return self._connected()
        return True

    def _reconnect(self) -> None:
        if self.connect is None:
            raise ConnectionError(
                "client: its scheduler is gone; what is written stays, and the same sweep goes on."
            )
        self.display.message("the scheduler is gone; waiting for it to come back")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                self.client = self.connect()
                break
            except ConnectionError:
                if time.monotonic() > deadline or self.stop.is_set():
                    raise
                time.sleep(1)
        self.display.message("connected to the scheduler again")
        self.client.subscribe_topic(self.topic, self._hear)
        indices = list(self.futures)
        self.futures.clear()
        self._send(indices)


def _error_text(future: Future) -> str:
    try:
        error: Any = future.exception(timeout=30)
        trace: Any = future.traceback(timeout=30)
    except Exception as problem:
        return f"the run ended with an error that did not arrive: {problem!r}"
    return "".join(traceback.format_exception(type(error), error, trace))
