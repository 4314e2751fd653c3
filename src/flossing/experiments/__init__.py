"""Published figures and questions of our own as experiments, in wings by kind of network."""

import json
from importlib import import_module, resources
from typing import Any

from .lab.experiment import Experiment

EXPERIMENTS = {
    "target-exponents": "rate.target_exponents:TargetExponents",
    "spectra": "rate.spectra:Spectra",
    "condition-number": "rate.condition_number:ConditionNumber",
    "chaos": "rate.chaos:Chaos",
    "xor": "rate.delays:XOR",
    "copy": "rate.delays:Copy",
    "parity": "rate.delays:Parity",
    "ablation": "rate.ablation:Ablation",
    "architectures": "rate.architectures:Architectures",
    "baselines": "rate.baselines:Baselines",
    "sequence-tasks": "tasks.sequence_tasks:SequenceTasks",
    "scale": "tasks.scale:Scale",
    "binary-first-exponent": "binary.first_exponent:BinaryFirstExponent",
    "binary-spectra": "binary.spectra:BinarySpectra",
    "binary-xor": "binary.xor:BinaryXOR",
    "spiking-spectrum": "spiking.spectrum:SpikingSpectrum",
    "spiking-gradients": "spiking.gradients:SpikingGradients",
    "stochastic": "spiking.stochastic:Stochastic",
    "spiking-stack": "spiking.stack:SpikingStack",
    "spiking-xor": "spiking.xor:SpikingXOR",
    "classification": "spiking.classification:Classification",
    "classification-shd": "spiking.classification:ClassificationSHD",
    "spike-train-matching": "spiking.spike_train_matching:SpikeTrainMatching",
    "closed-loop": "fields.closed_loop:ClosedLoop",
    "bias": "fields.bias:Bias",
    "single-neuron": "fields.single_neuron:SingleNeuron",
    "surrogate-fields": "fields.surrogate_fields:SurrogateFields",
}
"""Module and class by name, as ``floss reproduce`` takes it."""


def experiment(name: str) -> type[Experiment]:
    """The class of an experiment; an instance of it is its full settings, ``quick()`` a small version.

    Raises:
        KeyError: there is none of that name.
    """
    module, class_name = EXPERIMENTS[name].split(":")
    return getattr(import_module(f"flossing.experiments.{module}"), class_name)


def kept_verdict(name: str) -> dict[str, Any] | None:
    """What came out of the full run that is kept: ``claims.json`` as a mapping; ``None`` if there is none."""
    file = resources.files("flossing.experiments") / "kept" / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
