"""What surrogate gradients are: where they are exact, where they are biased, that they are no gradients."""

from ..escape_noise import (
    EscapeNoise as EscapeNoise,
    ExponentialNoise as ExponentialNoise,
    ShapeNoise as ShapeNoise,
    SigmoidNoise as SigmoidNoise,
    StepNoise as StepNoise,
)
from ._estimator import Draw as Draw, Estimator as Estimator
from .bias import (
    BiasMap as BiasMap,
    BiasProfile as BiasProfile,
    bias_map as bias_map,
    bias_profile as bias_profile,
    sign_agreement as sign_agreement,
)
from .comparison import (
    Comparison as Comparison,
    compare as compare,
    expected_gradient as expected_gradient,
    gradient_samples as gradient_samples,
    summarise as summarise,
)
from .curl import Curl as Curl, curl as curl, plane_curl as plane_curl
from .estimators import (
    Exact as Exact,
    FiniteDifference as FiniteDifference,
    ScoreFunction as ScoreFunction,
    StraightThrough as StraightThrough,
    Surrogate as Surrogate,
)
from .line_integrals import (
    LineIntegral as LineIntegral,
    along_path as along_path,
    line_integral as line_integral,
)
from .paths import circle as circle, random_plane as random_plane, segment as segment
from .smooth_nets import TwoPathNet as TwoPathNet, logistic_step as logistic_step
from .stochastic_derivatives import (
    SmoothedStochasticDerivative as SmoothedStochasticDerivative,
    StochasticDerivative as StochasticDerivative,
)
from .stochastic_net import (
    StochasticNet as StochasticNet,
    exact_gradient as exact_gradient,
    expected_loss as expected_loss,
    expected_spikes as expected_spikes,
)
from .surrogate_gradient import (
    GradientField as GradientField,
    SmoothStep as SmoothStep,
    surrogate_gradient as surrogate_gradient,
    true_gradient as true_gradient,
    with_smooth_steps as with_smooth_steps,
    with_surrogate as with_surrogate,
)
