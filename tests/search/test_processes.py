"""Trials on two processes: all ranks stop together when the study prunes, and train the same or not at all."""

import optuna
import pytest

from safeguards.core.errors import TrialFailed
from safeguards.search import Search, Space
from tests.search.test_torchrun import run

RATE = Space.read({"rate": {"type": "float", "low": 0.0, "high": 1.0}})


def test_the_study_prunes_and_all_ranks_stop_at_the_same_step(tmp_path):
    """Three epochs of 29 rows in batches of 16 are six steps."""
    search = Search(
        space=RATE,
        objectives={"score": "maximize"},
        constraints=["toy/accuracy"],
        storage=f"sqlite:///{tmp_path / 'study.db'}",
        sampler="random",
    )
    search.study.pruner = optuna.pruners.ThresholdPruner(lower=0.5)

    def train(task):
        given = {"strategy": "deepspeed_cpu_stage_2", "parameters": dict(task.parameters), "bad": True}
        return run("train", tmp_path, prune=task.prune, **given)

    result = search.run(train, trials=1)
    (trial,) = search.study.get_trials()
    assert (trial.state.name, trial.intermediate_values, result.pruned) == ("PRUNED", {1: 0.0}, 1)
    assert [(tmp_path / f"steps{rank}").read_text() for rank in (0, 1)] == ["2", "2"]
    assert -1.0 <= trial.constraints["toy/accuracy"] <= 0.0
    assert [verdict["n"] for verdict in trial.user_attrs["verdicts"]] == [57]


def test_ranks_with_different_parameters_do_not_begin(tmp_path):
    with pytest.raises(TrialFailed, match=r"would train with different parameters: rank 0: .*0.*; rank 1: .*1"):
        run("train", tmp_path, strategy="ddp", parameters={"rate": 0.5}, differ=True)
    assert not list(tmp_path.glob("steps*"))
