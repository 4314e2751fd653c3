"""How good an estimator of a gradient is: bias, variance, cost, direction."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import as_numbers, check_integer, check_key, check_positive, check_single
from .._readable import Summary, readable, short
from ._estimator import Draw, Estimator, Gradient
from .stochastic_net import Loss, StochasticNet, exact_gradient, patterns

_MOST = 16


@readable
class Comparison(NamedTuple):
    """An estimator beside the exact gradient; vectors are flattened as by ``ravel_pytree``. Prints itself."""

    exact: np.ndarray
    """The gradient, shape ``(P,)``."""
    mean: np.ndarray
    """Mean of the samples, shape ``(P,)``."""
    standard_errors: np.ndarray
    """Of the mean, shape ``(P,)``."""
    num_samples: int
    passes: int
    """Cost of a sample in passes through the network."""
    bias: float
    """Norm of ``E[estimate] - exact`` over that of ``exact``, corrected for sampling noise."""
    bias_error: float
    """Standard error of the bias."""
    z_score: float
    """Of the mean's component along the exact gradient: its deviation in standard errors.

    Infinite where samples never vary; meant for samples in which every outcome occurs many times.
    """
    variance: float
    """Of one sample, summed over parameters, over the squared norm of ``exact``."""
    cosine: float
    """Cosine of the angle between the mean and the exact gradient."""
    sample_cosine: float
    """Mean cosine between a single sample and the exact gradient; samples of zero count as 0."""

    @property
    def z_scores(self) -> np.ndarray:
        """Deviation of every parameter's mean in standard errors; 0 where nothing varies or deviates."""
        deviation = self.mean - self.exact
        tiny = _rounding(self.exact) * np.abs(self.exact).max()
        with np.errstate(divide="ignore", invalid="ignore"):
            z = deviation / self.standard_errors
        return np.where(np.abs(deviation) <= tiny, 0.0, z)

    def samples_for(self, relative_error: float) -> float:
        """How many samples make the root mean square error this fraction of the gradient's norm.

        Infinite where the bias alone is larger.
        """
        check_positive("relative_error", relative_error)
        check_single(relative_error=relative_error)
        left = (relative_error - self.bias) * (relative_error + self.bias)
        return max(self.variance / left, 1.0) if left > 0 else float("inf")

    def _summary(self) -> Summary:
        each = "1 pass" if self.passes == 1 else f"{self.passes} passes"
        bias, error = short(self.bias, 4), short(self.bias_error, 2)
        title = f"{self.num_samples} samples of {each} each, {self.mean.size} parameters"
        lines = [
            f"bias: {bias}, standard error {error}, of the gradient's norm; z score {short(self.z_score)}",
            f"variance of a sample: {short(self.variance, 4)} of the squared norm",
            f"cosine to the gradient: {short(self.cosine, 4)} of the mean, {short(self.sample_cosine, 4)} of "
            "single samples (mean)",
        ]
        return Summary(title, notes=lines)


def compare(
    estimator: Estimator,
    network: StochasticNet,
    input: Float[Array, " input"],
    loss: Loss,
    *,
    num_samples: int = 1000,
    key: PRNGKeyArray,
) -> Comparison:
    """Draws samples of an estimator and compares them with the exact gradient.

    Args:
        estimator: any ``Estimator``.
        network: layers of at most 12 neurons, so that the exact gradient is known.
        input: shape ``(inputs,)``.
        loss: function of the output spikes.
        num_samples: at least 2.
        key: random key. Estimators that get the same key get the same draws.

    Raises:
        ValueError: a network that is too wide, an exact gradient of zero, samples that are not finite.
    """
    check_integer("num_samples", num_samples, 2)
    check_key("key", key)
    exact, samples = _both(estimator, network, input, loss, num_samples, key)
    return summarise(np.asarray(exact), np.asarray(samples), estimator.passes(network))


def gradient_samples(
    estimator: Estimator,
    network: StochasticNet,
    input: Float[Array, " input"],
    loss: Loss,
    num_samples: int,
    key: PRNGKeyArray,
) -> Float[Array, "samples parameters"]:
    """Independent samples of an estimator, flattened; for use under ``jit`` and ``vmap``.

    Arguments as for ``compare``.
    """
    num_samples = check_integer("num_samples", num_samples, 1)
    keys = jax.random.split(key, num_samples)
    draws = jax.vmap(lambda key: Draw.random(network, key))(keys)
    gradients = estimator.many(network, input, loss, draws)
    rows = [g.reshape(num_samples, -1) for g in jax.tree.leaves(gradients)]
    return jnp.concatenate(rows, axis=1)


def summarise(
    exact: Float[np.ndarray, " parameters"],
    samples: Float[np.ndarray, "samples parameters"],
    passes: int = 1,
) -> Comparison:
    """The comparison of samples that are already there; arguments as the fields of ``Comparison``.

    All sums are in double precision.

    Raises:
        ValueError, TypeError: fewer than two samples, other shapes, an exact gradient of zero, samples that
            are NaN or infinite.
    """
    given = np.asarray(as_numbers("exact", exact))
    exact, samples = given.astype(float), np.asarray(as_numbers("samples", samples), float)
    if samples.ndim != 2 or len(samples) < 2 or samples.shape[1:] != exact.shape:
        raise ValueError(
            f"samples: expected at least two rows of {exact.size} numbers, got shape {samples.shape}."
        )
    norm = float(np.linalg.norm(exact))
    if not norm > 0:
        raise ValueError("network: its exact gradient is zero, to which nothing can be compared.")
    if not np.isfinite(samples).all():
        raise ValueError("estimator: samples are NaN or infinite.")
    count = len(samples)
    mean = samples.mean(0)
    errors = samples.std(0, ddof=1) / np.sqrt(count)
    deviation = mean - exact
    size = float(np.linalg.norm(deviation))
    along = samples @ (deviation / size) if size > 0 else np.zeros(count)
    unit = exact / norm
    component = samples @ unit
    component_error = component.std(ddof=1) / np.sqrt(count)
    off = component.mean() - norm
    lengths = np.linalg.norm(samples, axis=1)
    cosines = np.divide(component, lengths, out=np.zeros(count), where=lengths > 0)
    length = float(np.linalg.norm(mean))
    return Comparison(
        exact=given,
        mean=mean,
        standard_errors=errors,
        num_samples=count,
        passes=passes,
        bias=float(np.sqrt(max(size**2 - np.square(errors).sum(), 0.0))) / norm,
        bias_error=float(along.std(ddof=1) / np.sqrt(count)) / norm,
        z_score=_z_score(off, component_error, _rounding(given) * norm),
        variance=float(samples.var(0, ddof=1).sum()) / norm**2,
        cosine=float(mean @ unit / length) if length > 0 else 0.0,
        sample_cosine=float(cosines.mean()),
    )


def _rounding(exact: np.ndarray) -> float:
    """Relative deviations up to this are rounding errors: some units in the last place."""
    single = jnp.issubdtype(exact.dtype, jnp.floating) and exact.dtype.itemsize < 8
    return 16 * float(jnp.finfo(exact.dtype).eps) if single else 1e-9


def _z_score(deviation: float, error: float, tiny: float) -> float:
    if abs(deviation) <= tiny:
        return 0.0
    return float(deviation / error) if error > 0 else float(np.copysign(np.inf, deviation))


def expected_gradient(
    estimator: Estimator, network: StochasticNet, input: Float[Array, " input"], loss: Loss
) -> Gradient:
    """The exact expectation of an estimator: the sum over all spike patterns of at most 16 neurons.

    Raises:
        ValueError: more neurons, or an estimator that depends on more than the spikes.
    """
    if not estimator.spikes_only:
        raise ValueError(
            f"estimator: {type(estimator).__name__} depends on more than the spikes; use compare."
        )
    if network.num_neurons > _MOST:
        raise ValueError(
            f"network: enumeration is for at most {_MOST} neurons, got {network.num_neurons}."
        )
    return _expected(estimator, network, input, loss)


@eqx.filter_jit
def _expected(estimator: Estimator, network: StochasticNet, input: Array, loss: Loss) -> Gradient:
    dtype = network.biases[0].dtype
    cuts = np.cumsum(network.sizes[1:])[:-1]

    def of_pattern(pattern: Array) -> tuple[Gradient, Array]:
        # A number below every probability makes a spike, one above every probability none.
        uniforms = tuple(jnp.split(2 - 3 * pattern, cuts))
        spikes = network(input, uniforms)
        probability = jnp.ones((), dtype)
        before = network.numbers(input)
        for weight, bias, noise, now in zip(
            network.weights, network.biases, network.noises, spikes, strict=True
        ):
            p = noise.probability(weight @ before + bias)
            probability = probability * jnp.where(now > 0, p, 1 - p).prod()
            before = now
        draw = Draw(uniforms, jnp.zeros((), dtype))
        return estimator(network, input, loss, draw), probability

    every = jnp.asarray(patterns(network.num_neurons), dtype)
    gradients, probabilities = jax.lax.map(of_pattern, every, batch_size=1024)
    return jax.tree.map(lambda g: jnp.tensordot(probabilities, g, 1), gradients)


@eqx.filter_jit
def _both(
    estimator: Estimator,
    network: StochasticNet,
    input: Array,
    loss: Loss,
    num_samples: int,
    key: PRNGKeyArray,
) -> tuple[Array, Array]:
    exact = jax.flatten_util.ravel_pytree(exact_gradient(network, input, loss))[0]
    return exact, gradient_samples(estimator, network, input, loss, num_samples, key)
