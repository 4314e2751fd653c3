"""Text is printed as it stands, whatever is in it, and a silence while a program is compiled is announced."""

import io
import shlex

import hypothesis
import hypothesis.strategies as st
import pytest
from rich.console import Console
from test_cli import PLAIN

from flossing.cli import main
from flossing.runs import console as console_room
from flossing.runs.console import ConsoleReporter, progress_display, results_table, say
from flossing.runs.reporter import COMPILING, KEPT

ODD = st.text(
    st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1
) | st.sampled_from(
    [
        "q[/x]",
        "exp[a]/r",
        "[bold]b[/bold]",
        ":smile:/a",
        "[link=x]",
        "\\[a]",
        "https://a.b/c 1.5 'x'",
    ]
)


def console(terminal):
    return Console(file=io.StringIO(), width=40, force_terminal=terminal, color_system=None)


@hypothesis.settings(deadline=None)
@hypothesis.given(ODD)
def test_a_line_is_what_was_given(text):
    out = console(False)
    say(out, text)
    assert out.file.getvalue() == text + "\n"


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(ODD.map(str.strip).filter(bool), st.booleans())
def test_labels_of_bars_are_what_was_given(label, terminal):
    out = Console(file=io.StringIO(), width=400, force_terminal=terminal, color_system=None)
    with progress_display(out) as progress:
        reporter = ConsoleReporter(progress, label)
        reporter.progress("training", 1, 2, label)
        reporter.message(label)
    printed = out.file.getvalue()
    assert f"{label}: training" in printed
    assert f"{label}: {label}" in printed


def test_a_title_is_what_was_given():
    out = console(False)
    out.print(results_table({}, "a [/x] :smile: run"))
    assert "a [/x] :smile: run" in out.file.getvalue()


def test_where_there_is_no_terminal_compiling_is_said_once_per_program():
    out = console(False)
    with progress_display(out) as progress:
        reporter = ConsoleReporter(progress, "train")
        reporter.progress("flossing", 0, 100, COMPILING)
        for done in (50, 100):
            reporter.progress("flossing", done, 100, "loss 1")
        reporter.progress("training", 0, 400, COMPILING)
        for done in (39, 40, 41, 79, 81):
            reporter.progress("training", done, 400, "accuracy 50.0 %")
    assert [line for line in out.file.getvalue().splitlines() if line] == [
        "train: compiling",
        "train: flossing 50/100, loss 1",
        "train: flossing 100/100, loss 1",
        "train: training 0/400, compiling",
        "train: training 39/400, accuracy 50.0 %",
        "train: training 40/400, accuracy 50.0 %",
        "train: training 81/400, accuracy 50.0 %",
    ]


def test_a_run_that_goes_on_says_what_was_done_before():
    out = console(False)
    with progress_display(out) as progress:
        reporter = ConsoleReporter(progress, "train")
        reporter.progress("flossing", 60, 60, KEPT)
        reporter.progress("training", 50, 400, KEPT)
        reporter.progress("training", 50, 400, COMPILING)
    assert [line for line in out.file.getvalue().splitlines() if line] == [
        "train: compiling",
        "train: flossing 60/60, done before",
        "train: training 50/400, done before",
        "train: training 50/400, compiling",
    ]


def test_flossing_and_training_have_a_bar_each():
    out = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    with progress_display(out) as progress:
        reporter = ConsoleReporter(progress, "train")
        reporter.progress("flossing", 60, 60, "loss 1")
        reporter.progress("training", 50, 400, "loss 2")
        bars = [(bar.description, bar.completed, bar.total) for bar in progress.tasks]
    assert bars == [("train: flossing", 60, 60), ("train: training", 50, 400)]


@pytest.mark.slow
def test_directories_are_printed_as_they_are(tmp_path, monkeypatch, capsys):
    name = "exp[a]/q[/x] :smile: a$x_$"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flossing.commands.train.use_devices", lambda options: None)
    monkeypatch.setattr("flossing.commands.train.first_that_did_not_learn", lambda data: 2)
    assert main(["train", *PLAIN, "--epochs", "2", "--directory", name]) == 0
    out = capsys.readouterr().out
    assert f"run:     {name}\n" in out
    assert f"figure:  {name}/figures/run.png\n" in out.replace("\\", "/")
    assert "train: compiling\n" in out
    command = out.split("network 2 did not learn; to see why:  ")[1].splitlines()[0]
    assert shlex.split(command) == [*"floss examine --run".split(), name, "--realisation", "2"]
    examined = ["examine", "--run", name, "--steps", "20", "--directory", f"{name}-examined"]
    assert main(examined) == 0
    out = capsys.readouterr().out.replace("\\", "/")
    assert f"written: {name}-examined/examine.json" in out
    assert f"network 1 of {name}: " in out


@pytest.mark.slow
def test_the_command_to_go_on_can_be_pasted(tmp_path, monkeypatch, capsys):
    from flossing.commands import train

    train_run = train.run

    def stopped(config, *, stop, **options):
        stop.set()
        return train_run(config, stop=stop, **options)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "use_devices", lambda options: None)
    monkeypatch.setattr(train, "run", stopped)
    assert main(["train", *PLAIN, "--directory", "my [/run]"]) == 1
    command = capsys.readouterr().out.split("go on with:  ")[1].strip()
    assert shlex.split(command) == ["floss", "train", "--resume", "my [/run]"]


@pytest.mark.parametrize(("setting", "shown"), [(None, True), ("0", False)])
def test_bars_of_notebooks_can_be_turned_off(setting, shown, monkeypatch):
    monkeypatch.setattr(console_room, "find_spec", lambda name: name)
    monkeypatch.delenv("TTY_INTERACTIVE", raising=False)
    if setting is not None:
        monkeypatch.setenv("TTY_INTERACTIVE", setting)
    assert console_room._can_move(Console(force_jupyter=True)) == shown
