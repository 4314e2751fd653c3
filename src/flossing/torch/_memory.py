"""How much memory a run takes, told before it starts."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def free_bytes(device: torch.device) -> int | None:
    """Free memory of a device; ``None`` where the system does not say."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved
    if device.type != "cpu":
        return None
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # no Linux
        return None
    kibibytes = {line.split(":")[0]: line.split()[1] for line in lines if line.strip()}
    return 1024 * int(kibibytes["MemAvailable"]) if "MemAvailable" in kibibytes else None


class Saved:
    """Counts the bytes that graphs made within this context keep for their backward pass."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}

    def __enter__(self) -> "Saved":
        def pack(x: Tensor) -> Tensor:
            storage = x.untyped_storage()
            self._seen[storage.data_ptr()] = storage.nbytes()
            return x

        self._hooks: Any = torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.__exit__(*error)

    @property
    def bytes(self) -> int:
        """So far."""
        return sum(self._seen.values())

    def bytes_beside(self, parameters: list[Tensor]) -> int:
        """So far, without what these tensors hold anyway."""
        held = {x.untyped_storage().data_ptr() for x in parameters}
        return sum(size for place, size in self._seen.items() if place not in held)


def check_memory(needed: float, device: torch.device, what: str) -> None:
    """Raises ``MemoryError`` if more is needed than is free."""
    free = free_bytes(device)
    if free is not None and needed > free:
        raise MemoryError(
            f"{what} need about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free on "
            f"{device}. Take fewer examples or exponents, fewer steps, or a larger store_every."
        )
