"""Trackers are told everything once, also across a resume."""

import dataclasses
import json
import sys
import time
import types

import numpy as np
import pytest
from test_checkpoint import CONFIG, Listener

from flossing.runs import resume, run
from flossing.runs.trackers import make_trackers

SHORT = dataclasses.replace(
    CONFIG,
    schedule=dataclasses.replace(CONFIG.schedule, steps_before=5),
    epochs=60,
)


def at(path):
    return dataclasses.replace(SHORT, directory=str(path))


def lines(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def check(entries, data):
    for kind, names, dimension in [
        ("training", ("loss", "accuracy", "gradient_norm"), "epoch"),
        ("flossing", ("flossing_loss", "flossing_exponents"), "flossing_step"),
    ]:
        found = [entry for entry in entries if entry["kind"] == kind]
        assert [entry["step"] for entry in found] == list(range(data.sizes[dimension]))
        for name in names:
            values = np.array([entry[name.removeprefix("flossing_")] for entry in found])
            np.testing.assert_array_equal(values.astype(np.float32), data[name].values)
    spectra = np.array([entry["exponents"] for entry in entries if entry["kind"] == "spectrum"])
    np.testing.assert_array_equal(spectra.astype(np.float32), data["exponents"].values)


@pytest.mark.slow
def test_json_lines_hold_what_the_metrics_hold(tmp_path):
    result = run(at(tmp_path / "run"))
    check(lines(tmp_path / "run"), result.data)


@pytest.mark.slow
def test_json_lines_after_a_resume_have_no_gaps_and_no_doubles(tmp_path):
    listener = Listener(2)
    run(at(tmp_path / "run"), reporter=listener, stop=listener.event)
    result = resume(tmp_path / "run")
    check(lines(tmp_path / "run"), result.data)


def test_what_is_not_finite_is_null(tmp_path):
    from flossing.runs.trackers import JsonLines

    log = JsonLines(tmp_path)
    log.log("training", 0, {"loss": np.array([1.5, np.nan, np.inf])})
    log.flush()
    assert lines(tmp_path) == [{"kind": "training", "step": 0, "loss": [1.5, None, None]}]


@pytest.mark.slow
def test_a_tracker_of_your_own(tmp_path):
    class Mine:
        def __init__(self):
            self.seen = []

        def log(self, kind, step, values):
            self.seen.append((kind, step, values))

        def close(self):
            raise AssertionError("not ours to close")

    mine = Mine()
    result = run(SHORT, write=False, trackers=[mine])
    accuracy = [values["accuracy"] for kind, _, values in mine.seen if kind == "training"]
    np.testing.assert_array_equal(np.array(accuracy), result.data["accuracy"].values)


def scalars(path):
    """Tags, steps and values in the event files of a directory (records of length, crc, bytes, crc)."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = {}
    for file in sorted(path.iterdir()):
        data, place = file.read_bytes(), 0
        while place < len(data):
            length = int.from_bytes(data[place : place + 8], "little")
            event = event_pb2.Event.FromString(data[place + 12 : place + 12 + length])
            place += 16 + length
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value
    return found


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    result = run(at(tmp_path / "run"), track=["tensorboard"])
    found = scalars(tmp_path / "run" / "tensorboard")
    accuracy = result.data["accuracy"].values
    for epoch in (0, 59):
        for network in (0, 1):
            tag = f"training/accuracy/network-{network + 1}"
            assert found[tag, epoch] == pytest.approx(float(accuracy[epoch, network]))
        assert found["training/accuracy", epoch] == pytest.approx(float(np.median(accuracy[epoch])))
    assert ("spectrum/exponents", 60) in found


@pytest.mark.slow  # starts a process of wandb
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_weights_and_biases_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    (said,) = interrupt_and_resume(tmp_path / "run")
    assert "offline, no run can go on" in said
    written = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert len(written) == 2
    assert len({path.name for path in written}) == 1  # named by the id
    for path in written:  # by a process of wandb, which may take a while
        for _ in range(200):
            if b"training/accuracy/network-2" in path.read_bytes():
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"{path}: accuracy of network 2 is missing")


class FakeRun:
    disabled = False

    def __init__(self, given, offline):
        self.given, self.id, self.offline = given, given["id"] or "fresh", offline
        self.resumed = given["resume"] == "allow" and given["id"] == "fresh"

    def define_metric(self, *names, **options):
        pass

    def log(self, values):
        pass

    def finish(self):
        pass


@pytest.fixture
def fake_wandb(monkeypatch):
    """The part of wandb that is used; collects what ``init`` was given."""
    given = []

    def init(**options):
        given.append(options)
        return FakeRun(options, library.offline)

    library = types.SimpleNamespace(init=init, offline=False, given=given)
    monkeypatch.setitem(sys.modules, "wandb", library)
    return library


def interrupt_and_resume(path, first=("wandb",)):
    listener, told = Listener(2), Listener()
    run(at(path), reporter=listener, stop=listener.event, track=first)
    assert resume(path, reporter=told, track=["wandb"]).finished
    return [text for text in [*listener.messages, *told.messages] if "wandb" in text]


@pytest.mark.slow
def test_a_resumed_run_is_the_same_run_at_wandb(fake_wandb, tmp_path):
    assert interrupt_and_resume(tmp_path / "run") == []
    first, second = fake_wandb.given
    assert (first["id"], first["resume"]) == (None, None)
    assert (second["id"], second["resume"]) == ("fresh", "allow")


@pytest.mark.slow
def test_wandb_offline_says_why_there_are_two_parts(fake_wandb, tmp_path):
    fake_wandb.offline = True
    (said,) = interrupt_and_resume(tmp_path / "run")
    assert "offline, no run can go on" in said
    assert "the same id fresh" in said
    assert fake_wandb.given[1]["id"] == "fresh"
    assert said in (tmp_path / "run/log.txt").read_text()


@pytest.mark.slow
def test_wandb_says_when_it_gets_a_part_only(fake_wandb, tmp_path):
    (said,) = interrupt_and_resume(tmp_path / "run", first=())
    assert "was not sent there before" in said


@pytest.mark.slow
def test_wandb_says_when_it_does_not_find_the_run(fake_wandb, tmp_path):
    listener, told = Listener(2), Listener()
    run(at(tmp_path / "run"), reporter=listener, stop=listener.event, track=["wandb"])
    (tmp_path / "run/wandb-run.txt").write_text("lost")
    resume(tmp_path / "run", reporter=told, track=["wandb"])
    assert "wandb: found no run lost to go on with; began one of that id" in told.messages


def test_an_unknown_tracker(tmp_path):
    with pytest.raises(ValueError, match="track: expected one of"):
        make_trackers(["paper"], tmp_path, {})
