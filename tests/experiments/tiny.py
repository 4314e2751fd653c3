"""Every experiment as small as it gets; copying and parity differ from XOR in their task alone."""

from dataclasses import replace

from flossing.experiments.binary.first_exponent import BinaryFirstExponent
from flossing.experiments.binary.spectra import BinarySpectra
from flossing.experiments.binary.xor import BinaryXOR
from flossing.experiments.fields.bias import Bias
from flossing.experiments.fields.closed_loop import ClosedLoop
from flossing.experiments.fields.single_neuron import SingleNeuron
from flossing.experiments.fields.surrogate_fields import SurrogateFields
from flossing.experiments.rate.ablation import Ablation
from flossing.experiments.rate.architectures import Architectures
from flossing.experiments.rate.baselines import Baselines
from flossing.experiments.rate.chaos import Chaos
from flossing.experiments.rate.condition_number import ConditionNumber
from flossing.experiments.rate.delays import XOR
from flossing.experiments.rate.spectra import Spectra
from flossing.experiments.rate.target_exponents import TargetExponents
from flossing.experiments.spiking.classification import Classification
from flossing.experiments.spiking.gradients import SpikingGradients
from flossing.experiments.spiking.spectrum import RESETS, SpikingSpectrum
from flossing.experiments.spiking.spike_train_matching import SpikeTrainMatching
from flossing.experiments.spiking.stack import SpikingStack
from flossing.experiments.spiking.stochastic import Stochastic
from flossing.experiments.spiking.xor import SpikingXOR
from flossing.experiments.tasks.scale import Scale
from flossing.experiments.tasks.sequence_tasks import SequenceTasks

_TRAINED = {"hidden_size": 8, "networks": 2, "epochs": 20, "steps_before": 3}
_LIF = {"neurons": 8, "flossed": 3, "phases": ((3, 1e-2),), "window": 30, "warmup": 10}
_FLOSSED = {"networks": 2, "steps": 3, "window": 20, "warmup": 5, "measured_steps": 100}


def _surrogate_fields():
    q = SurrogateFields.quick()
    return replace(
        q,
        task=replace(q.task, classes=3, inputs=6, samples=60, num_steps=30, spike_steps=20),
        shape=replace(q.shape, neurons=16, layers=1),
        schedule=replace(q.schedule, epochs=4, batch_size=10),
        steepnesses=(1.0, 20.0),
        targets=(0.0,),
        plan=replace(q.plan, num_exponents=2, phases=((2, 1e-2),), window=30),
        samples_in_stream=8,
        probes=2,
        noise_samples=4,
    )


def _classification():
    q = Classification.quick()
    return replace(
        q,
        task=replace(
            q.task,
            classes=2,
            inputs=8,
            samples=40,
            frequencies=3,
            alpha=2.0,
            num_steps=30,
            spike_steps=15,
        ),
        architecture=replace(
            q.architecture, filters=(4,), kernels=(5,), strides=(1,), input_rate=16.0
        ),
        schedule=replace(q.schedule, epochs=2, batch_size=16, learning_rate=0.05),
        repeats=4,
        window=5,
    )


def _spiking_stack():
    q = SpikingStack.quick()
    return replace(q, seeds=(1,), schedule=replace(q.schedule, epochs=2))


def _spiking_xor():
    q = SpikingXOR.quick()
    return replace(
        q,
        epochs=12,
        tried=(4.0,),
        adaptive=replace(q.adaptive, num_starts=2),
        cell=replace(q.cell, hidden_size=8),
        bits=replace(q.bits, bin_steps=4, channels=8),
    )


EXPERIMENTS = {
    "target-exponents": lambda: replace(
        TargetExponents.quick(),
        targets=(-0.5,), hidden_size=24, networks=2, epochs=20, num_starts=2, state_warmup=20,
        window=40, warmup=20, measured_steps=200,
    ),
    "spectra": lambda: replace(
        Spectra.quick(), **_FLOSSED, hidden_size=12, flossed=(2,), epochs=2, epochs_between=2
    ),
    "condition-number": lambda: replace(
        ConditionNumber.quick(),
        **_FLOSSED, hidden_size=18, flossed=(17,), horizons=(10, 20, 30), gradient_steps=10,
        max_sweeps=2, modes=4,
    ),
    "chaos": lambda: replace(
        Chaos.quick(),
        gains=(0.5, 2.0), sizes=((16, 2),), counted=50, flossed_size=8, windows=(1,),
        trajectory_steps=4, steps=5, measured_steps=50,
    ),
    "ablation": lambda: replace(
        Ablation.quick(), **_TRAINED, variants=("none", "default"), delay=4
    ),
    "architectures": lambda: replace(
        Architectures.quick(), **_TRAINED, architectures=("leaky",), delays={"copy": (4,)}
    ),
    "baselines": lambda: replace(
        Baselines.quick(), **_TRAINED, methods=("clipping", "linear", "adaptive"), delay=4
    ),
    "xor": lambda: replace(
        XOR.quick(), **_TRAINED, delays=(4,), schedules=("none", "adaptive")
    ),
    "sequence-tasks": lambda: replace(
        SequenceTasks.quick(),
        tasks=("match",), kinds=("tanh",), units=12, networks=2, share=0.01,
        methods=("clipping", "flossed, all"),
    ),
    "scale": lambda: replace(
        Scale.quick(), sizes=((8, 10, 8),), shares=(0.25,), window=20, steps_before=2
    ),
    "binary-first-exponent": lambda: replace(
        BinaryFirstExponent.quick(),
        hidden_size=12, networks=2, fresh_networks=2, epochs=10, starts=1, window=20,
    ),
    "binary-spectra": lambda: replace(
        BinarySpectra.quick(),
        flossed=(1, 16), hidden_size=40, networks=2, steps=5, of_one=BinaryFirstExponent(epochs=5),
        starts=1, window=20, measured_steps=50,
    ),
    "binary-xor": lambda: replace(
        BinaryXOR.quick(),
        kinds=("ring",), delays=(4,), shown_delay=4, hidden_size=12, networks=2, epochs=12,
    ),
    "closed-loop": lambda: replace(
        ClosedLoop.quick(),
        points=(64, 256), smooth=(1.0,), pixels=5, neurons=4, steps=8, radii=(0.1, 1e-3),
        evaluations=1000,
    ),
    "bias": lambda: replace(Bias.quick(), num_points=101, map_points=5),
    "single-neuron": lambda: replace(
        SingleNeuron.quick(),
        width=2, depths=(1, 2), widths=(2,), steepnesses=(3.0,), networks=6, sampled_depths=(2,),
        sampled_steepnesses=(3.0,), samples=200,
    ),
    "surrogate-fields": _surrogate_fields,
    "spiking-spectrum": lambda: replace(
        SpikingSpectrum.quick(),
        **_LIF, flossed_exactly=3, channels=20, measured_steps=60, sharpnesses=(0.5, 8.0),
        rates=(20.0, 40.0), resets=tuple(RESETS)[:1], leading=2,
    ),
    "spiking-gradients": lambda: replace(
        SpikingGradients.quick(),
        **_LIF, channels=20, networks=6, measured_steps=100, horizon=110, shown=6,
    ),
    "stochastic": lambda: replace(
        Stochastic.quick(),
        **_LIF, units=20, steepnesses=(1.0, 4.0), lif_steepnesses=(8.0,), measured_steps=60, shown=6,
    ),
    "spiking-stack": _spiking_stack,
    "spiking-xor": _spiking_xor,
    "classification": _classification,
    "spike-train-matching": lambda: replace(
        SpikeTrainMatching.quick(), size=20, steps=40, epochs=20, trials=2, repeats=4
    ),
}  # fmt: skip
