"""Argument checks: each error names the argument, what came and what was expected."""

import inspect
from collections.abc import Sequence
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np


def is_concrete(value: Any) -> bool:
    """Whether every array in a pytree has known values (it is not being traced)."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))


def has_values(*arrays: Any) -> bool:
    """Whether these are arrays that can be read here: not traced, given away or on another process."""
    return all(
        isinstance(x, np.ndarray)
        or (
            isinstance(x, jax.Array)
            and is_concrete(x)
            and not x.is_deleted()
            and x.is_fully_addressable
        )
        for x in arrays
    )


def check_integer(
    name: str, value: Any, minimum: int | None = None, maximum: int | None = None
) -> int:
    """Returns ``value`` as ``int``; raises ``TypeError`` or ``ValueError`` naming ``name``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected an integer, got {value!r} ({type(value).__name__}).")
    if minimum is not None and value < minimum:
        raise ValueError(f"{name}: expected at least {minimum}, got {value}.")
    if maximum is not None and value > maximum:
        raise ValueError(f"{name}: expected at most {maximum}, got {value}.")
    return int(value)


def check_seed(name: str, value: Any) -> int:
    """Returns a seed as ``int``; raises unless it is one of the 2^32 that give different keys in JAX."""
    return check_integer(name, value, 0, 2**32 - 1)


def check_positive(name: str, value: Any, *, zero: bool = False) -> None:
    """Raises unless ``value`` (a number or an array) is finite and positive, or zero if allowed."""
    _check_number(name, value)
    if is_concrete(value):
        array = _concrete(value)
        good = np.isfinite(array) & ((array >= 0) if zero else (array > 0))
        if not good.all():
            wanted = "non-negative" if zero else "positive"
            raise ValueError(
                f"{name}: expected a finite {wanted} number, got {array[~good].flat[0]}."
            )


def check_finite(name: str, value: Any) -> None:
    """Raises unless ``value`` is a finite number or array of them."""
    _check_number(name, value)
    if is_concrete(value) and not np.isfinite(_concrete(value)).all():
        raise ValueError(f"{name}: expected finite numbers, got {value}.")


def check_fraction(name: str, value: Any) -> None:
    """Raises unless ``value`` lies in [0, 1]."""
    check_positive(name, value, zero=True)
    if is_concrete(value) and np.any(np.asarray(value) > 1):
        raise ValueError(f"{name}: expected a number between 0 and 1, got {value}.")


def _concrete(value: Any) -> np.ndarray:
    """The array of a number; of an integer beyond 64 bits, which NumPy knows as an object, in float64."""
    array = np.asarray(value)
    return array.astype(float) if array.dtype == object else array


def check_single(**numbers: Any) -> None:
    """Raises unless each is one finite number: an array would scale rows or columns unseen."""
    for name, value in numbers.items():
        check_finite(name, value)
        if np.ndim(value):
            raise ValueError(f"{name}: expected one number, got shape {np.shape(value)}.")


def settle_integers(settings: Any, **ranges: int | tuple[int, int]) -> None:
    """Checks integer fields of a frozen dataclass, and makes NumPy's small integers plain ones.

    Args:
        settings: an instance in its ``__post_init__``.
        ranges: by name of the field, the smallest value or the smallest and largest one.
    """
    for name, limits in ranges.items():
        bounds = limits if isinstance(limits, tuple) else (limits,)
        object.__setattr__(settings, name, check_integer(name, getattr(settings, name), *bounds))


def as_numbers(name: str, value: Any) -> Any:
    """An array, or lists of numbers as an array of NumPy; entries are real numbers or booleans.

    Raises:
        TypeError: rows of different lengths, or entries that are no real numbers.
    """
    array = value
    if not isinstance(value, jax.Array | np.ndarray):
        try:
            array = np.asarray(value) if is_concrete(value) else jnp.asarray(value)
        except (TypeError, ValueError):
            raise TypeError(
                f"{name}: expected an array of real numbers, got rows that differ in length; fill up the "
                "shorter ones, or take one at a time."
            ) from None
    real = jnp.issubdtype(array.dtype, jnp.integer) or jnp.issubdtype(array.dtype, jnp.floating)
    if not (real or array.dtype == np.dtype(bool)):
        raise TypeError(f"{name}: expected an array of real numbers, got dtype {array.dtype}.")
    return array


def real_array(name: str, value: Any, dtype: Any = None) -> jax.Array:
    """``value`` as an array of floating-point numbers; integers and booleans become ``dtype``.

    Floating-point numbers keep their precision; ``dtype`` is the default one if not given. Raises as
    ``as_numbers``.
    """
    # Not to JAX first, which would cut integers of 64 bits before they become floating-point numbers.
    array = as_numbers(name, value)
    if jnp.issubdtype(array.dtype, jnp.floating):
        return jnp.asarray(array)
    return jnp.asarray(array.astype(jnp.result_type(float) if dtype is None else dtype))


def as_floats(name: str, value: Any) -> jax.Array:
    """Floats of single precision at least, so that sums of small integers or halves do not overflow."""
    array = real_array(name, value)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def as_indices(name: str, value: Any, count: int) -> jax.Array:
    """Integers of any dtype from 0 to ``count - 1`` as int32; the range is checked if values are known."""
    array = as_numbers(name, value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name}: expected integers, got dtype {array.dtype}.")
    if is_concrete(array):
        values = np.asarray(array).ravel()
        wrong = values[(values < 0) | (values >= count)]
        if wrong.size:
            raise ValueError(f"{name}: expected 0 to {count - 1}, got {wrong[0]}.")
    return jnp.asarray(array).astype(jnp.int32)


def _check_number(name: str, value: Any) -> None:
    try:
        array = value if isinstance(value, jax.Array) else np.asarray(value)
        if array.dtype == object and all(type(x) in (int, float) for x in np.asarray(array).flat):
            array = array.astype(float)  # integers beyond 64 bits
        if not (
            jnp.issubdtype(array.dtype, jnp.integer) or jnp.issubdtype(array.dtype, jnp.floating)
        ):
            raise TypeError
    except OverflowError:
        raise ValueError(f"{name}: expected finite numbers, got one beyond 1e308.") from None
    except (TypeError, ValueError):
        raise TypeError(
            f"{name}: expected a number, got {value!r} ({type(value).__name__})."
        ) from None


def positive_parameter(name: str, value: Any, *, zero: bool = False) -> float | jax.Array:
    """A positive number, or an array of them, as ``float`` or as a floating-point array.

    Raises as ``check_positive``.
    """
    check_positive(name, value, zero=zero)
    if isinstance(value, jax.Array) or np.ndim(value):
        return real_array(name, value)
    return float(value)


def check_instance(name: str, value: Any, kind: type, wanted: str) -> None:
    """Raises ``TypeError`` unless ``value`` is of that kind; a class in place of an instance is said."""
    if isinstance(value, kind):
        return
    if isinstance(value, type) and issubclass(value, kind):
        needed = [
            p.name
            for p in inspect.signature(value).parameters.values()
            if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
        ]
        raise TypeError(
            f"{name}: expected {wanted}, got the class {value.__name__}; "
            f"write {value.__name__}({', '.join(needed)})."
        )
    raise TypeError(f"{name}: expected {wanted}, got {value!r} ({type(value).__name__}).")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raises unless ``value`` is one of ``choices``."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name}: expected one of {listed}, got {value!r}.")


def check_key(name: str, key: Any) -> None:
    """Raises unless ``key`` is a single JAX random key, new style or raw."""
    if key is None:
        raise ValueError(f"{name}: expected a random key such as jax.random.key(0), got None.")
    if not hasattr(key, "dtype"):
        raise TypeError(
            f"{name}: expected a random key such as jax.random.key(0), got {key!r} ({type(key).__name__})."
        )
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.shape != ():
            raise ValueError(f"{name}: expected one random key, got an array of shape {key.shape}.")
    elif key.dtype != jnp.uint32 or key.shape != (2,):
        raise TypeError(
            f"{name}: expected a random key such as jax.random.key(0), "
            f"got an array of dtype {key.dtype} and shape {key.shape}."
        )


def check_shape(name: str, array: Any, expected: tuple[int, ...]) -> None:
    """Raises unless ``array`` has the expected shape."""
    shape = jnp.shape(array)
    if shape != expected:
        raise ValueError(f"{name}: expected shape {expected}, got {shape}.")
