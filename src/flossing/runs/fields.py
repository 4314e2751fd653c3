"""Values of settings, as files, Python and NumPy have them, converted to the type of their field.

What passes ``convert`` can be written as YAML and read back, and JAX can compute with it.
"""

import os
import types
import typing
from typing import Any, Literal

import numpy as np

from .._checks import check_choice, check_finite, check_integer, check_seed

_LARGEST_INTEGER = 2**31 - 1
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


def convert(hint: Any, value: Any, where: str) -> Any:
    """A value of the type ``hint`` from a Python, NumPy or YAML value.

    Raises:
        ValueError, TypeError: it has another type, is not finite, or is too large for JAX's 32 bits.
    """
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if origin is Literal:
        check_choice(where, value, options)
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where}: expected a list, got {value!r}.")
        return tuple(convert(options[0], item, where) for item in value)
    if origin in (types.UnionType, typing.Union):
        return _convert_to_any(options, value, where)
    if hint is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, bool) and hint is not bool:
        raise ValueError(f"{where}: expected {hint.__name__}, got {value!r}.")
    if hint is float and isinstance(value, int | float):
        return _float(value, where)
    if not isinstance(value, hint):
        raise ValueError(f"{where}: expected {hint.__name__}, got {value!r}.")
    return _integer(value, where) if hint is int else value


def _convert_to_any(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and types.NoneType in hints:
        return None
    errors = []
    for hint in hints:
        if hint is not types.NoneType:
            try:
                return convert(hint, value, where)
            except (TypeError, ValueError) as error:
                errors.append(error)
    raise errors[0]


def _float(value: float, where: str) -> float:
    check_finite(where, value)
    if abs(value) > _LARGEST_FLOAT:
        raise ValueError(f"{where}: expected a size of at most {_LARGEST_FLOAT:.4g}, got {value}.")
    return float(value)


def _integer(value: int, where: str) -> int:
    if where.endswith("seed"):
        return check_seed(where, value)
    return check_integer(where, value, -_LARGEST_INTEGER, _LARGEST_INTEGER)
