"""Realisations over the devices there are: accelerators, cores of a CPU, machines."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

_AXIS = "realisation"


def over_realisations(function: Callable, *args: PyTree) -> Any:
    """``function`` of every realisation: batched, or one after the other where that is faster (CPU)."""
    if jax.default_backend() != "cpu":
        return eqx.filter_vmap(function, in_axes=eqx.if_array(0))(*args)
    arrays, rest = eqx.partition(args, eqx.is_array)
    static = []

    def of_realisation(arrays: PyTree) -> PyTree:
        out, kept = eqx.partition(function(*eqx.combine(arrays, rest)), eqx.is_array)
        static.append(kept)
        return out

    out = jax.lax.map(of_realisation, arrays)
    return eqx.combine(out, static[-1])


def spread(function: Callable, realisations: PyTree, *shared: PyTree, axes: tuple[int, ...]) -> Any:
    """``function(realisations, *shared)`` with the realisations laid over all devices.

    Each device works through its share without waiting for the others. Where the number of devices does
    not divide that of realisations, the last one is computed more than once and counted once.

    Args:
        function: of realisations, any number of them, along the leading axis of every array.
        realisations: pytree of arrays with that axis.
        shared: pytrees of arrays that all get.
        axes: for each of the outputs, the axis of its arrays along which realisations are.
    """
    arrays, rest = eqx.partition(realisations, eqx.is_array)
    count = jax.tree.leaves(arrays)[0].shape[0]
    devices = _devices_for(count)
    parts = len(devices)
    if parts == 1:
        return function(realisations, *shared)
    share = -(-count // parts)
    static = []

    def of_arrays(arrays: PyTree, *shared: PyTree) -> PyTree:
        out, kept = eqx.partition(function(eqx.combine(arrays, rest), *shared), eqx.is_array)
        static.append(kept)
        return out

    # Nine realisations on two devices are five each: 0 to 4 on one, and 5 to 8 and 8 once more on the other.
    # The tenth result is cut off. All devices get what is shared, and outputs are gathered such that each
    # device has all of them, as the next block wants them.
    everywhere = PartitionSpec()
    mesh = Mesh(np.asarray(devices), (_AXIS,))
    which = jnp.minimum(jnp.arange(parts * share), count - 1)
    out = jax.shard_map(
        of_arrays,
        mesh=mesh,
        in_specs=(PartitionSpec(_AXIS), *[everywhere] * len(shared)),
        out_specs=tuple(PartitionSpec(*[None] * axis, _AXIS) for axis in axes),
        check_vma=False,
    )(jax.tree.map(lambda x: x[which], arrays), *shared)
    out = tuple(
        jax.tree.map(lambda x, axis=axis: jax.lax.slice_in_dim(x, 0, count, axis=axis), part)
        for part, axis in zip(out, axes, strict=True)
    )
    out = jax.lax.with_sharding_constraint(out, NamedSharding(mesh, everywhere))
    return eqx.combine(out, static[-1])


def over_devices(function: Callable, shared: PyTree, parts: PyTree) -> Any:
    """The sum over all devices of ``function(shared, share)``, where parts are divided among them.

    For gradients of one network over many trials. As many devices take part as divide the number of parts;
    one alone where realisations are laid over the devices already.

    Args:
        function: of ``shared`` and of any number of parts; returns arrays.
        shared: what all devices get.
        parts: pytree of arrays with the parts along their leading axis.
    """
    count = jax.tree.leaves(parts)[0].shape[0]
    devices = math.gcd(count, jax.local_device_count())
    if devices == 1 or jax.sharding.get_abstract_mesh().axis_names:
        return function(shared, parts)
    arrays, rest = eqx.partition(shared, eqx.is_array)
    everywhere = PartitionSpec()

    def share(arrays: PyTree, parts: PyTree) -> Any:
        summands = function(eqx.combine(arrays, rest), parts)
        return jax.tree.map(lambda x: jax.lax.psum(x, _AXIS), summands)

    return jax.shard_map(
        share,
        mesh=Mesh(np.asarray(jax.local_devices()[:devices]), (_AXIS,)),
        in_specs=(everywhere, PartitionSpec(_AXIS)),
        out_specs=everywhere,
        check_vma=False,
    )(arrays, parts)


def mean_of_parts(function: Callable, shared: PyTree, batch: PyTree, size: int) -> Any:
    """The mean of ``function(shared, part)`` over parts of a batch, which are spread over the devices.

    Args:
        function: returns arrays.
        shared: what all parts get.
        batch: pytree of arrays with the trial as leading axis.
        size: trials of a part at most; parts are as large as they can be to be all of the same size.
    """
    trials = jax.tree.leaves(batch)[0].shape[0]
    size = max(n for n in range(1, min(size, trials) + 1) if trials % n == 0)
    count = trials // size

    def total(shared: PyTree, parts: PyTree) -> Any:
        # Added up as they come: gradients are many times as large as what they are computed from.
        shapes = eqx.filter_eval_shape(function, shared, jax.tree.map(lambda x: x[0], parts))
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

        def add(sums: Any, part: PyTree) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, sums, function(shared, part)), None

        return jax.lax.scan(add, zeros, parts)[0]

    parts = jax.tree.map(lambda x: x.reshape(count, size, *x.shape[1:]), batch)
    return jax.tree.map(lambda x: x / count, over_devices(total, shared, parts))


def placed(tree: PyTree, count: int) -> PyTree:
    """Arrays of ``count`` realisations, held by every device that takes part in the work on them.

    Programs are compiled for where their arguments are: arrays that come from elsewhere would have them
    compiled anew. Where arrays are in the right place, nothing is moved.
    """
    devices = _devices_for(count)
    if len(devices) == 1:
        return tree
    shared = NamedSharding(Mesh(np.asarray(devices), (_AXIS,)), PartitionSpec())

    def place(array: jax.Array) -> jax.Array:
        if jax.process_count() == 1:
            return jax.device_put(array, shared)
        if not array.is_fully_addressable:
            return array
        if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(place(jax.random.key_data(array)))
        return jax.make_array_from_process_local_data(shared, np.asarray(array))

    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.tree.map(place, arrays), rest)


def _devices_for(count: int) -> list[Any]:
    """The devices that ``count`` realisations are laid over, each with as many as the others, or one less."""
    parts = jax.device_count()
    if jax.process_count() == 1:  # several processes must not leave one out
        parts = -(-count // -(-count // parts))
    return jax.devices()[:parts]


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process; every process has to ask."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))
