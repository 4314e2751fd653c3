"""Pieces of work one after another in this process."""

import threading
from collections.abc import Sequence

from . import worker
from .board import Display, tell
from .worker import Job, Outcome


def go(
    jobs: Sequence[Job], retries: int, display: Display, stop: threading.Event
) -> dict[int, Outcome]:
    """The outcome of every job, by index; those that a stop left out are missing or ``stopped``."""
    outcomes: dict[int, Outcome] = {}
    for job in jobs:
        worker.stop_with(job.topic, stop)
        for left in range(retries, -1, -1):
            outcome = worker.work(job, lambda _, news, job=job: tell(display, job.name, news))
            if outcome.status != "failed" or stop.is_set() or not left:
                break
            last = outcome.error.strip().splitlines()[-1]
            display.message(f"{job.name}: failed ({last}); trying again")
        outcomes[job.index] = outcome
        display.ended(job.index, outcome.status)
    return outcomes
