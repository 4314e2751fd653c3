"""Runs on disk: one directory each, written block by block, that explains itself and can be resumed."""

from .config import RunConfig as RunConfig, from_yaml as from_yaml, to_yaml as to_yaml
from .examining import driven as driven
from .record import Record as Record, epochs_to as epochs_to
from .result import RunResult as RunResult
from .train import load as load, resume as resume, run as run, train as train
