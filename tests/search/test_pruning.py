"""Pruning in each of {1 process, 2 under DDP, 2 under ZeRO-2} x {memory, journal, SQLite, PostgreSQL}.

The processes of a trial never see a storage: they ask their search. So the trials of all storages share processes here,
and a search of its own answers each. `test_processes` starts a trial's processes as a search does.
"""

import contextlib
import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest

from safeguards.core.errors import TrialFailed
from safeguards.search import Search, Space
from safeguards.search.line import ADDRESS, Exchange
from safeguards.search.torchrun import Heard
from tests.helpers.launch import launch
from tests.search.server import MARKS, URL, fresh_database

RATE = Space.read({"rate": {"type": "float", "low": 0.0, "high": 1.0}})
WORLDS = {"auto": 1, "ddp": 2, "deepspeed_cpu_stage_2": 2}
STEPS = {1: "4", 2: "2"}
STORAGES = ["memory", "journal", "sqlite", "postgres"]


class Cell:
    """A search of one trial, and the line to it."""

    def __init__(self, strategy, storage, place, address):
        self.strategy, self.place = strategy, place / f"{strategy}-{storage}"
        self.place.mkdir()
        given = {"space": RATE, "objectives": {"score": "maximize"}, "constraints": ["toy/accuracy"]}
        self.search = Search(**given, storage=address, name=strategy, sampler="random")
        self.search.study.pruner = optuna.pruners.ThresholdPruner(lower=0.5)
        self.heard = Heard(lambda step, value: self.task.prune(step, value))
        self.exchange = Exchange(self.heard.answer)

    def run(self, ranks):
        """Answer until the trial has told how it ended, or there are no processes any more."""

        def train(task):
            self.task = task
            while self.heard.ending is None and not ranks.done():
                self.exchange.serve(0.1)
            if self.heard.ending is None:
                raise TrialFailed("the processes ended")
            return self.heard.ending

        self.search.run(train, trials=1)

    def found(self):
        (trial,) = self.search.study.get_trials()
        steps = [file.read_text() for file in sorted(self.place.glob("steps*"))]
        return trial, steps


def train_each(cells):
    """Runs on every process."""
    from tests.search.trial import train

    for strategy, place, address in cells:
        os.environ[ADDRESS] = address
        train(place, strategy, {"rate": 0.5}, bad=True)


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    """What became of the trial in each cell."""
    place = tmp_path_factory.mktemp("cells")
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as threads:
        addresses = {"memory": None, "journal": f"journal:{place / 'journal'}", "sqlite": f"sqlite:///{place / 'db'}"}
        if URL:
            addresses["postgres"] = stack.enter_context(fresh_database())
        keys = list(itertools.product(WORLDS, addresses))
        cells = {key: Cell(*key, place, addresses[key[1]]) for key in keys}
        for world in (2, 1):  # in this order, so that the processes to fork from are made side by side
            own = [cells[key] for key in keys if WORLDS[key[0]] == world]
            told = [(cell.strategy, str(cell.place), stack.enter_context(cell.exchange).address) for cell in own]
            ranks = threads.submit(launch, f"{__file__}:train_each", world=world, cells=told)
            for cell in own:
                cell.run(ranks)
            ranks.result()
        yield {key: cell.found() for key, cell in cells.items()}


@pytest.mark.parametrize("strategy", WORLDS)
@pytest.mark.parametrize(
    "storage", [pytest.param(name, marks=MARKS if name == "postgres" else []) for name in STORAGES]
)
def test_rank_0_decides_all_stop_together_and_the_study_sees_it(pruned, strategy, storage):
    trial, steps = pruned[strategy, storage]
    assert (trial.state.name, trial.intermediate_values) == ("PRUNED", {1: 0.0})
    assert steps == [STEPS[WORLDS[strategy]]] * WORLDS[strategy], "one epoch of three, on all ranks"
    assert -1.0 <= trial.constraints["toy/accuracy"] <= 0.0
    assert [verdict["n"] for verdict in trial.user_attrs["verdicts"]] == [57]
