"""Exponents from the transposed Jacobians, along the trajectory backwards: first derivatives are enough."""

from typing import TYPE_CHECKING

import torch

from ._propagate import Course, Logs, Moment
from ._tree import take

if TYPE_CHECKING:
    from .spectrum import Plan


def propagate_back(
    course: Course, moment: Moment, plan: "Plan", num_steps: int
) -> tuple[Moment, Logs, int, int]:
    """Tangents from the end of a trajectory to its start, those of the warm-up not counted.

    ``Q_{t-1} R_t = D_t^T Q_t``: the diagonals of ``R_t`` have the same means over long times as
    forwards. States of every ``sqrt(T)``-th step are kept, and those between computed again.

    Returns:
        The last state with the basis before the first counted step, the logarithms in the order of time, and
        the first and the last counted step.
    """
    first, last = plan.state_warmup, num_steps - plan.warmup
    every = max(1, int((num_steps - first) ** 0.5))
    marks = {}
    rows, rest = moment.rows, moment.rest
    for t in range(first, num_steps, every):
        marks[t] = rows, rest
        rows, rest = course.walk(rows, rest, t, min(t + every, num_steps))
    end = moment._replace(rows=rows, rest=rest)
    basis = moment.basis
    intervals = [*course.intervals(first, last)]
    bounds = {start for start, _ in intervals} | {last}
    growth, lost = [], []
    for mark in reversed(sorted(marks)):
        states = [marks[mark]]
        stop = min(mark + every, num_steps)
        for t in range(mark, stop - 1):
            states.append(course.walk(*states[-1], t, t + 1))
        for t in range(stop - 1, mark - 1, -1):
            vectors = course.pusher.pull(*states[t - mark], basis.vectors, take(course.inputs, t))
            if course.mask is not None:
                vectors = torch.where(course.mask[t][:, None, None], vectors, basis.vectors)
            basis = basis._replace(vectors=vectors)
            if t in bounds or t > last:
                basis, grown = basis.renormalised()
                if t < last:
                    growth.append(grown)
                    lost.append(basis.lost())
    # In the order of time: what is lost backwards is lost from the last window on.
    gone = basis.lost().expand(len(lost), *lost[0].shape)
    logs = Logs(torch.stack(growth[::-1]), gone)
    return end._replace(basis=basis), logs, first, last
