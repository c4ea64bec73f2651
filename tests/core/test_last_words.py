"""What stays of a fit that crashes, and what work after training may do."""

import json
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from safeguards import Outcome, SafeguardError, verdicts
from tests.helpers.toys import Accuracy, Net, loader, trainer


def fit(root: Path, guard: Accuracy) -> Any:
    job = trainer(root, guard, max_epochs=1)
    job.fit(Net(), loader(64), loader())
    return job


def outcomes(job: Any) -> list[Outcome]:
    return [verdict.outcome for verdict in verdicts(job)]


def test_a_crash_after_a_pass_lets_no_weights_through(tmp_path: Path) -> None:
    class Later(Net):
        def on_train_batch_start(self, batch: Any, index: int) -> None:
            if self.global_step == 5:
                raise RuntimeError("out of memory")

    job = trainer(tmp_path, Accuracy(), max_epochs=3)
    with pytest.raises(RuntimeError):
        job.fit(Later(), loader(64), loader())
    assert [(v.outcome, v.moment.step) for v in verdicts(job)] == [(Outcome.PASS, 4), (Outcome.NOT_EVALUATED, 5)]
    assert "RuntimeError: out of memory, steps after the last judgement" in verdicts(job)[-1].reason


def test_a_crash_at_the_step_of_the_judgement_leaves_its_verdict(tmp_path: Path) -> None:
    class AtOnce(Net):
        def on_validation_end(self) -> None:
            if not self.trainer.sanity_checking:
                raise RuntimeError("out of memory")

    job = trainer(tmp_path, Accuracy())
    with pytest.raises(RuntimeError):
        job.fit(AtOnce(), loader(64), loader())
    assert outcomes(job) == [Outcome.PASS]


class Publishes(pl.Callback):
    """Notes how each run that is handed over ended; the first time it fails on the way."""

    def __init__(self, *, fails: BaseException | None = None) -> None:
        self.fails, self.ended = fails, list[str]()

    def publish_safeguards(self, summary: Any) -> None:
        self.ended.append(summary.ended)
        if self.fails is not None and len(self.ended) == 1:
            raise self.fails


class FailsAtTheEnd(pl.Callback):
    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        raise RuntimeError("the disk is full")


def test_what_fails_once_the_run_is_closed_says_nothing_of_its_verdicts(tmp_path: Path) -> None:
    told = Publishes()
    job = trainer(tmp_path, Accuracy(), told, FailsAtTheEnd(), max_epochs=1)
    with pytest.raises(RuntimeError, match="disk is full"):
        job.fit(Net(), loader(64), loader())
    assert outcomes(job) == [Outcome.PASS]
    assert told.ended == ["finished"]


@pytest.mark.parametrize(("code", "ended"), [(143, "killed"), (1, "crashed")])
def test_what_ends_a_run_as_it_is_closed_closes_it_in_its_own_words(tmp_path: Path, code: int, ended: str) -> None:
    told = Publishes(fails=SystemExit(code))
    job = trainer(tmp_path, Accuracy(), told, max_epochs=1)
    with pytest.raises(SystemExit):
        job.fit(Net(), loader(64), loader())
    assert outcomes(job) == [Outcome.PASS]
    assert told.ended == ["finished", ended]


@pytest.mark.parametrize("late", ["double_check", "finish"])
def test_an_error_after_training_is_recorded_or_raised(tmp_path: Path, late: str) -> None:
    def fails(*_: Any) -> None:
        raise ValueError("too late")

    kind = type("Late", (Accuracy,), {late: fails})
    assert outcomes(fit(tmp_path, kind())) == [Outcome.PASS, Outcome.ERROR]
    with pytest.raises(SafeguardError, match="toy/accuracy: ValueError: too late"):
        fit(tmp_path, kind(on_error="raise"))


def test_what_work_after_training_costs_is_kept_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Slow(Accuracy):
        now = 0.0

        def finish(self, *_: Any) -> None:
            self.now += 7.0

    guard = Slow()
    guard.meter._clock = lambda: guard.now
    job = fit(tmp_path, guard)
    assert "after training (reports, second opinions): toy 7.0 s" in capsys.readouterr().out
    (kept,) = tmp_path.glob("safeguards/*/costs.json")
    costs = json.loads(kept.read_text())
    assert (costs["toy"]["seconds"], verdicts(job)[0].cost.seconds) == (7.0, 0.0)
