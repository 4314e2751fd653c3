"""How long each block of a run took, kept beside its metrics."""

import contextlib
import json
import time
from pathlib import Path
from typing import Literal, NamedTuple

from . import directory as files

BlockKind = Literal["flossing", "training"]


class Block(NamedTuple):
    """So many epochs or flossing steps in one go."""

    kind: BlockKind
    first: int
    """Number of its first epoch or flossing step, from 0."""
    count: int
    wall_seconds: float
    processor_seconds: float
    """Of all threads of the process together."""


class Moment:
    """When a block began."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def block(self, kind: BlockKind, first: int, count: int) -> Block:
        """The block that ends now."""
        wall, processor = time.perf_counter() - self.wall, time.process_time() - self.processor
        return Block(kind, first, count, round(wall, 4), round(processor, 4))


def add_to_clock(directory: Path, block: Block) -> None:
    """Appends a line; a disk that is full costs the line, not the run."""
    with (
        contextlib.suppress(OSError),
        (directory / files.CLOCK).open("a", encoding="utf-8") as file,
    ):
        file.write(json.dumps(block._asdict()) + "\n")


def read_clock(directory: str | Path) -> list[Block]:
    """The blocks of a run in order; of one that was done twice, because the run was killed, the later.

    The first block of each kind in a process includes compilation.

    Raises:
        ValueError: there is no clock, or a line of it is damaged.
    """
    path = Path(directory) / files.CLOCK
    if not path.is_file():
        raise ValueError(f"{directory}: has no {files.CLOCK}.")
    blocks: list[Block] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            block = Block(**json.loads(line))
        except (TypeError, ValueError):
            raise ValueError(f"{path}: line {number} is damaged.") from None
        blocks = [b for b in blocks if b.kind != block.kind or b.first < block.first]
        blocks.append(block)
    return blocks


def seconds_of(directory: str | Path) -> float | None:
    """Time on the clock of all blocks of a run; ``None`` without a clock that can be read."""
    try:
        return sum(block.wall_seconds for block in read_clock(directory))
    except ValueError:
        return None
