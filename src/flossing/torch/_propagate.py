"""The loop that all spectra share: push tangents, orthonormalise, keep the logarithms."""

import dataclasses
import itertools
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._engine import Pusher
from ._orthonormalise import orthonormalise
from ._products import products
from ._segments import recomputed
from ._tree import map_tensors, take


class Basis(NamedTuple):
    """Tangent vectors in the rows of ``vectors``, shape (batch, k, n).

    Slots are sorted by growth; a lost direction has a zero row, at the end. ``origin`` names the row of
    the first basis that a slot continues. Without losses ``alive`` and ``origin`` are ``None``.
    """

    vectors: Tensor
    alive: Tensor | None = None
    origin: Tensor | None = None

    def renormalised(self) -> tuple["Basis", Tensor]:
        """An orthonormal basis, and the growth by row of the first one."""
        factors = orthonormalise(self.vectors)
        origin = self.origin
        if factors.order is not None:
            rank = torch.arange(factors.order.shape[-1], device=factors.order.device)
            before = rank.expand(factors.order.shape) if origin is None else origin
            origin = before.gather(-1, factors.order)
        growth = factors.log_growth
        if origin is not None:
            growth = torch.zeros_like(growth).scatter(-1, origin, growth)
        alive = factors.alive
        if alive is not None and bool(alive.all()) and self.origin is None:
            return Basis(factors.vectors), factors.log_growth
        return Basis(factors.vectors, alive, origin), growth

    def lost(self) -> Tensor:
        """Which rows of the first basis are lost, shape (batch, k)."""
        batch, k, _ = self.vectors.shape
        none = torch.zeros(batch, k, dtype=torch.bool, device=self.vectors.device)
        if self.alive is None or self.origin is None:
            return none
        return none.scatter(-1, self.origin, ~self.alive)


class Moment(NamedTuple):
    """A batch of states, as rows of numbers and other leaves, and their tangents."""

    rows: Tensor
    rest: list[Any]
    basis: Basis

    def renormalised(self, growth: list[Tensor], lost: list[Tensor]) -> "Moment":
        """With an orthonormal basis; what was found goes to the end of the lists."""
        basis, grown = self.basis.renormalised()
        growth.append(grown)
        lost.append(basis.lost())
        return self._replace(basis=basis)


class Logs(NamedTuple):
    """Logarithms of the growth in each interval, (intervals, batch, k), and what was lost by its end."""

    growth: Tensor
    lost: Tensor


@dataclasses.dataclass
class Course:
    """A stretch of a trajectory: steps ``start`` to ``stop`` of the inputs."""

    pusher: Pusher
    inputs: Any
    mask: Tensor | None
    """(time, batch): where an example still runs; ``None`` for all."""
    every: int
    block: int = 1
    """Of how many steps Jacobians are made at once, if they are."""

    def intervals(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The ends of the intervals between renormalisations; the last one may be shorter."""
        edges = [*range(start, stop, self.every), stop]
        return list(itertools.pairwise(edges))

    def walk(
        self, rows: Tensor, rest: list[Any], start: int, stop: int
    ) -> tuple[Tensor, list[Any]]:
        """States without tangents."""
        for t in range(start, stop):
            new = self.pusher.advance(rows, rest, take(self.inputs, t))
            rows, rest = self._kept(t, new, (rows, rest))
        return rows, rest

    def run(
        self, moment: Moment, intervals: list[tuple[int, int]], differentiate: bool
    ) -> tuple[Moment, list[Tensor], list[Tensor]]:
        """States and tangents over some intervals; growth and losses of each."""
        if self.pusher.engine.dense:
            return self._run_dense(moment, intervals, differentiate)
        growth, lost = [], []
        for start, stop in intervals:
            for t in range(start, stop):
                moment = self._step(moment, t, differentiate)
            moment = moment.renormalised(growth, lost)
        return moment, growth, lost

    def _run_dense(
        self, moment: Moment, intervals: list[tuple[int, int]], differentiate: bool
    ) -> tuple[Moment, list[Tensor], list[Tensor]]:
        growth, lost = [], []
        start, stop = intervals[0][0], intervals[-1][1]
        ends = {end for _, end in intervals}
        for first in range(start, stop, self.block):
            last = min(first + self.block, stop)
            moment, matrices = self._jacobians(moment, first, last, differentiate)
            within = {t - first for t in range(first + 1, last + 1) if t in ends}
            done = None
            if moment.basis.alive is None:
                done = products(matrices, moment.basis.vectors, within)
            if done is not None:
                moment = moment._replace(basis=Basis(done[0]))
                growth += done[1]
                lost += [moment.basis.lost()] * len(within)
                continue
            for t, matrix in enumerate(matrices.mT):
                vectors = moment.basis.vectors @ matrix
                moment = moment._replace(basis=moment.basis._replace(vectors=vectors))
                if t + 1 in within:
                    moment = moment.renormalised(growth, lost)
        return moment, growth, lost

    def _jacobians(
        self, moment: Moment, start: int, stop: int, differentiate: bool
    ) -> tuple[Moment, Tensor]:
        """The moment with the state after some steps, and the Jacobians of these."""
        rows, rest, states = moment.rows, moment.rest, []
        for t in range(start, stop):
            states.append(rows)
            rows, rest = self.walk(rows, rest, t, t + 1)
        inputs = take(self.inputs, slice(start, stop))
        matrices = self.pusher.jacobians(torch.stack(states), rest, inputs, differentiate)
        if self.mask is not None:
            ones = torch.eye(rows.shape[-1], dtype=rows.dtype, device=rows.device)
            matrices = torch.where(self.mask[start:stop, :, None, None], matrices, ones)
        return moment._replace(rows=rows, rest=rest), matrices

    def _step(self, moment: Moment, t: int, differentiate: bool) -> Moment:
        rows, rest, basis = moment
        after, rest_after, vectors = self.pusher.push(
            rows, rest, basis.vectors, take(self.inputs, t), differentiate
        )
        if self.mask is not None:
            vectors = torch.where(self.mask[t][:, None, None], vectors, basis.vectors)
        new = self._kept(t, (after, rest_after), (rows, rest))
        return Moment(*new, basis._replace(vectors=vectors))

    def _kept(self, t: int, new: tuple, old: tuple) -> tuple[Tensor, list[Any]]:
        """The new state of examples that still run, the old one of those that have ended."""
        if self.mask is None:
            return new
        running = self.mask[t]

        def choose(after: Any, before: Any) -> Any:
            if not (isinstance(after, Tensor) and after.ndim and len(after) == len(running)):
                return after
            return torch.where(running.view(-1, *[1] * (after.ndim - 1)), after, before)

        rest = [choose(a, b) for a, b in zip(new[1], old[1], strict=True)]
        return choose(new[0], old[0]), rest


def propagate(
    course: Course,
    moment: Moment,
    start: int,
    stop: int,
    *,
    differentiate: bool = False,
    store_every: int = 1,
    parameters: list[Tensor] | None = None,
) -> tuple[Moment, Logs]:
    """States and tangents from one step to another, with one row of logarithms per interval.

    With ``store_every`` above 1 and derivatives, what lies between such steps is computed again for them.
    """
    intervals = course.intervals(start, stop)
    per_segment = -(-store_every // course.every)
    growth: list[Tensor] = []
    lost: list[Tensor] = []
    if not differentiate or store_every == 1 or len(intervals) < 2 * per_segment:
        moment, growth, lost = course.run(moment, intervals, differentiate)
    else:
        for first in range(0, len(intervals), per_segment):
            part = intervals[first : first + per_segment]
            moment, *new = _segment(course, moment, part, parameters or [])
            growth += new[0]
            lost += new[1]
    # What a direction lost in the last interval left uncounted behind it.
    basis, rest = moment.basis.renormalised()
    growth[-1] = growth[-1] + rest
    return moment._replace(basis=basis), Logs(torch.stack(growth), torch.stack(lost))


def _segment(
    course: Course, moment: Moment, part: list[tuple[int, int]], parameters: list[Tensor]
) -> tuple[Moment, list[Tensor], list[Tensor]]:
    """A stretch whose graph is not stored."""
    rest_tensors = [x for x in moment.rest if isinstance(x, Tensor)]
    flags = [x for x in moment.basis[1:] if x is not None]
    other: dict[str, Any] = {}

    def body(arguments: list[Tensor], differentiate: bool) -> list[Tensor]:
        rows, vectors, *more = arguments
        rest = _filled(moment.rest, more[: len(rest_tensors)])
        given = more[len(rest_tensors) :]
        basis = Basis(vectors, *given) if given else Basis(vectors)
        end, growth, lost = course.run(Moment(rows, rest, basis), part, differentiate)
        other["rest"] = map_tensors(Tensor.detach, end.rest)
        other["flagged"] = end.basis.alive is not None
        tensors = [x for x in end.rest if isinstance(x, Tensor)]
        flags = [x for x in end.basis[1:] if x is not None]
        return [
            end.rows,
            end.basis.vectors,
            torch.stack(growth),
            torch.stack(lost),
            *tensors,
            *flags,
        ]

    arguments = [moment.rows, moment.basis.vectors, *rest_tensors, *flags]
    rows, vectors, growth, lost, *more = recomputed(body, arguments, parameters)
    rest = _filled(other["rest"], more[: len(rest_tensors)])
    flags = more[len(rest_tensors) :]
    basis = Basis(vectors, *flags) if other["flagged"] else Basis(vectors)
    return Moment(rows, rest, basis), list(growth.unbind()), list(lost.unbind())


def _filled(rest: list[Any], values: list[Tensor]) -> list[Any]:
    """The leaves with these tensors in the places of tensors."""
    given = iter(values)
    return [next(given) if isinstance(x, Tensor) else x for x in rest]
