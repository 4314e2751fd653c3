"""Surrogate derivatives for PyTorch that pass every transformation: the shapes and words of
``fl.surrogates``.

A spike is 1 where ``x > 0`` and 0 elsewhere; its derivative is declared to be ``peak * shape(sharpness
* x)``. The derivative is made of PyTorch operations, so it can be differentiated again, pushed forward
(``torch.func.jvp``) and mapped (``torch.func.vmap``). They serve as ``spike_grad=`` of snnTorch and as
``surrogate_function=`` of SpikingJelly::

    neuron = snntorch.Leaky(0.9, spike_grad=ft.surrogates.SuperSpike(10.0))
    neuron = neuron.LIFNode(surrogate_function=ft.surrogates.SuperSpike(10.0))
"""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from .. import surrogates as declared


class _Spike(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, surrogate: "Surrogate") -> Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])
        ctx.surrogate = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, None]:
        (x,) = ctx.saved_tensors
        return gradients[0] * ctx.surrogate.derivative(x), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (x,) = ctx.saved_tensors
        return tangents[0] * ctx.surrogate.derivative(x)


class Surrogate(torch.nn.Module):
    """A Heaviside step whose derivative is declared to be ``peak * shape(sharpness * x)``.

    Args:
        sharpness: inverse width, in units of one over the argument. Positive.
        peak: height of the derivative at threshold, when ``normalise`` is ``"peak"``. Positive.
        normalise: ``"peak"`` keeps ``peak``; ``"area"`` chooses the peak that makes the area one.

    Raises:
        ValueError, TypeError: as the surrogate of the same name in ``fl.surrogates``.
    """

    _declared: ClassVar[type[declared.Surrogate]]

    def __init__(
        self,
        sharpness: float = 1.0,
        *,
        peak: float = 1.0,
        normalise: Literal["peak", "area"] = "peak",
    ):
        super().__init__()
        if type(self) is Surrogate:
            raise TypeError(
                "Surrogate: has no shape; use one of its kinds, such as SuperSpike(10.0)."
            )
        self._settle(self._declared(sharpness, peak=peak, normalise=normalise))

    def _settle(self, ours: declared.Surrogate) -> None:
        self.sharpness, self.peak = float(ours.sharpness), float(ours.peak)
        self.normalise = ours.normalise
        self.area, self.half_width = float(ours.area), float(ours.half_width)
        self._ours = ours

    @classmethod
    def from_half_width(
        cls,
        half_width: float,
        *,
        peak: float = 1.0,
        normalise: Literal["peak", "area"] = "peak",
    ) -> "Surrogate":
        """The surrogate of this shape whose derivative falls to half its peak at ``|x| = half_width``."""
        ours = cls._declared.from_half_width(half_width, peak=peak, normalise=normalise)
        return cls(float(ours.sharpness), peak=peak, normalise=normalise)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes: 1 where ``x > 0``, else 0, in the dtype of ``x``; differentiates as ``derivative``."""
        return _Spike.apply(x, self)  # pyright: ignore[reportReturnType]

    def derivative(self, x: Tensor) -> Tensor:
        """The declared derivative at ``x``; in half precision it is computed in float32."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return (self.peak * self._shape(self.sharpness * wide)).to(x.dtype)

    def scale(self, factor: float) -> None:
        """Makes the derivative ``factor`` times as high from now on; spikes stay as they are."""
        self._settle(self._ours.scaled(factor))

    def describe(self) -> dict[str, Any]:
        """Everything needed to tell this surrogate from another, as plain numbers and strings."""
        return self._ours.describe()

    def extra_repr(self) -> str:
        """Settings, for ``repr``."""
        return f"sharpness={self.sharpness:g}, peak={self.peak:g}"

    def _shape(self, u: Tensor) -> Tensor:
        raise NotImplementedError


class SuperSpike(Surrogate):
    """``peak / (sharpness |x| + 1)^2``, also called fast sigmoid (Zenke & Ganguli 2018)."""

    _declared = declared.SuperSpike

    def _shape(self, u: Tensor) -> Tensor:
        return 1 / (u.abs() + 1).square()


class Sigmoid(Surrogate):
    """``peak * sech^2(sharpness x / 2)``: the derivative of a logistic function of steepness
    ``sharpness``.
    """

    _declared = declared.Sigmoid

    def _shape(self, u: Tensor) -> Tensor:
        return 4 * torch.sigmoid(u) * torch.sigmoid(-u)


class Arctan(Surrogate):
    """``peak / (1 + (sharpness x)^2)``."""

    _declared = declared.Arctan

    def _shape(self, u: Tensor) -> Tensor:
        return 1 / (1 + u.square())


class Triangular(Surrogate):
    """``peak * max(0, 1 - sharpness |x|)`` (Esser et al. 2016; Bellec et al. 2018)."""

    _declared = declared.Triangular

    def _shape(self, u: Tensor) -> Tensor:
        return torch.relu(1 - u.abs())


class Gaussian(Surrogate):
    """``peak * exp(-(sharpness x)^2 / 2)``: a Gaussian of standard deviation ``1 / sharpness``."""

    _declared = declared.Gaussian

    def _shape(self, u: Tensor) -> Tensor:
        return torch.exp(-u.square() / 2)


class Erf(Surrogate):
    """``peak * exp(-(sharpness x)^2)``: the derivative of an error function of ``sharpness x``."""

    _declared = declared.Erf

    def _shape(self, u: Tensor) -> Tensor:
        return torch.exp(-u.square())


class Exponential(Surrogate):
    """``peak * exp(-sharpness |x|)`` (the shape of Shrestha & Orchard 2018)."""

    _declared = declared.Exponential

    def _shape(self, u: Tensor) -> Tensor:
        return torch.exp(-u.abs())


class Boxcar(Surrogate):
    """``peak`` where ``|x| < 1 / (2 sharpness)``, else 0. Cannot be flossed usefully."""

    _declared = declared.Boxcar

    def _shape(self, u: Tensor) -> Tensor:
        return (u.abs() < 0.5).to(u.dtype)


class StraightThrough(Surrogate):
    """``peak`` everywhere (Bengio et al. 2013). Cannot be flossed usefully."""

    _declared = declared.StraightThrough

    def __init__(self, *, peak: float = 1.0):
        torch.nn.Module.__init__(self)
        self._settle(declared.StraightThrough(peak=peak))

    def _shape(self, u: Tensor) -> Tensor:
        return torch.ones_like(u)
