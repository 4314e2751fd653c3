"""Worker processes that die while they start: another takes their place; a sweep that has none says so."""

import os
import textwrap

import pytest
from distributed import Client
from sweep_helpers import SMALL

import flossing as fl
from flossing.sweeps.local import local_cluster

pytestmark = pytest.mark.slow
DYING = """
    import os, sys

    def die(times):
        for number in range(times):
            try:
                os.close(os.open(f"{os.environ['DEATHS']}/{number}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            os._exit(9)

    class Hook:
        def find_spec(self, name, path=None, target=None):
            if name == os.environ["DIES_AT"]:
                die(int(os.environ["TIMES"]))

    if "--multiprocessing-fork" in sys.orig_argv and "DEATHS" in os.environ:
        if os.environ["DIES_AT"] == "":
            die(int(os.environ["TIMES"]))
        sys.meta_path.insert(0, Hook())
"""


@pytest.fixture
def dying(tmp_path, monkeypatch):
    """Makes processes that are started by ``spawn`` die so many times, at the import of some module."""

    def prepare(moment, times):
        (tmp_path / "deaths").mkdir()
        (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(DYING))
        paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
        monkeypatch.setenv("DIES_AT", moment)
        monkeypatch.setenv("TIMES", str(times))
        monkeypatch.setenv("DEATHS", str(tmp_path / "deaths"))
        return tmp_path / "deaths"

    return prepare


@pytest.mark.parametrize(("moment", "times"), [("", 2), ("flossing.sweeps.worker", 1)])
def test_a_worker_that_dies_while_it_starts_is_replaced(dying, moment, times):
    deaths = dying(moment, times)
    with (
        local_cluster(1, 1, "127.0.0.1", "127.0.0.1:0", None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3
    assert len(list(deaths.iterdir())) == times


def test_a_worker_that_dies_whenever_it_starts_is_said(dying, tmp_path):
    dying("distributed", 100)
    with pytest.raises(ConnectionError, match="workers: a worker process could not be started"):
        fl.sweep(SMALL, {"seed": [1]}, tmp_path / "sweep", workers=1)
