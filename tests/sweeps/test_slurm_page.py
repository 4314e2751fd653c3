"""docs/tutorials/slurm.md: its commands are understood, and print the script that stands there."""

import re
import shlex
from pathlib import Path

import pytest

from flossing.cli import main
from flossing.commands import sweep as command
from flossing.sweeps.jobs import job_script, parse_options

_PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "slurm.md"
_TEXT = _PAGE.read_text(encoding="utf-8")
_COMMANDS = [
    shlex.split(block.replace("\\\n", " "))[2:]
    for block in re.findall(r"```sh\n(floss sweep .*?)```", _TEXT, re.DOTALL)
]


def test_there_are_five_commands():
    assert len(_COMMANDS) == 5


@pytest.mark.slow
@pytest.mark.parametrize("arguments", _COMMANDS, ids=lambda arguments: arguments[-1])
def test_a_command_names_settings_and_options_of_a_job_that_exist(arguments):
    options = command.parse(arguments)
    assert command.settings(options).runs
    if options.cluster:
        assert job_script(options.cluster, parse_options(sum(options.cluster_options, ())))


def test_the_first_command_prints_the_script_of_the_page(capsys):
    assert main(["sweep", *_COMMANDS[0]]) == 0
    printed = capsys.readouterr().out
    (shown,) = re.findall(r"```text\n(.*?)```", _TEXT, re.DOTALL)
    assert printed.startswith(shown)
    assert printed.removeprefix(shown).strip().count("\n") == 0
