"""Trials on two processes: all ranks stop together when the study prunes, and train the same or not at all."""

import optuna
import pytest

from safeguards.core.errors import TrialFailed
from safeguards.search import Search, Space
from tests.search.test_torchrun import run

RATE = Space.read({"rate": {"type": "float", "low": 0.0, "high": 1.0}})


def test_the_study_prunes_and_all_ranks_stop_at_the_same_step(tmp_path):
    """The third trial scores below the median of two; three epochs of 29 rows in batches of 16 are six steps."""
    search = Search(
        space=RATE,
        objectives={"score": "maximize"},
        constraints=["toy/accuracy"],
        storage=f"sqlite:///{tmp_path / 'study.db'}",
        sampler="random",
    )
    search.study.pruner = optuna.pruners.ThresholdPruner(lower=0.5)
    strategies = ["deepspeed_cpu_stage_2", "ddp"]

    def train(task):
        folder = tmp_path / str(task.number)
        given = {"strategy": strategies[task.number], "parameters": dict(task.parameters), "bad": True}
        return run("train", folder, prune=task.prune, **given)

    result = search.run(train, trials=2)
    trials = search.study.get_trials()
    assert [(trial.state.name, trial.intermediate_values) for trial in trials] == [("PRUNED", {1: 0.0})] * 2
    assert result.pruned == 2
    assert [(tmp_path / str(n) / f"steps{rank}").read_text() for n in (0, 1) for rank in (0, 1)] == ["2"] * 4
    assert all(-1.0 <= trial.constraints["toy/accuracy"] <= 0.0 for trial in trials)
    assert [trial.user_attrs["verdicts"][0]["n"] for trial in trials] == [57, 57]


def test_ranks_with_different_parameters_do_not_begin(tmp_path):
    with pytest.raises(TrialFailed, match=r"would train with different parameters: rank 0: .*0.*; rank 1: .*1"):
        run("train", tmp_path, strategy="ddp", parameters={"rate": 0.5}, differ=True)
    assert not list(tmp_path.glob("steps*"))
