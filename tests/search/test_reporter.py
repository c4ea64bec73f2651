"""The callback of a trial on one process, with the search's side of the line played by the test."""

import math

import pytest
import torch

from safeguards import Limit
from safeguards.core.errors import ConfigurationError, LimitViolated, SafeguardError, TrialFailed
from safeguards.search import TrialReporter
from safeguards.search.line import ADDRESS
from tests.helpers.toys import OUTSIDE, WITHIN, Accuracy, Net, loader, trainer


class Search:
    """Prunes at the validations it is told to; remembers what it heard."""

    def __init__(self, *prune_at):
        self.prune_at, self.reports, self.endings = prune_at, [], []

    def report(self, step, value):
        self.reports.append((step, value))
        return step in self.prune_at

    def end(self, ending):
        self.endings.append(ending)

    @property
    def ending(self):
        (one,) = self.endings
        return one


class Scripted(Net):
    """Logs the values that it is given, one per validation."""

    def __init__(self, *values):
        super().__init__()
        self.values = list(values)

    def on_validation_epoch_end(self):
        if not self.trainer.sanity_checking:
            self.log("score", torch.tensor(self.values.pop(0)))


def fit(tmp_path, search, *callbacks, module=None, fails=None, epochs=2, **reporter):
    given = {"objectives": ["val_loss"], "line": search} | reporter
    job = trainer(tmp_path, TrialReporter(**given), *callbacks, max_epochs=epochs, min_epochs=epochs)
    if fails is None:
        job.fit(module or Net(), loader(), loader())
    else:
        with pytest.raises(fails[0], match=fails[1]):
            job.fit(module or Net(), loader(), loader())
    return job


def test_each_validation_is_reported_and_the_last_one_is_the_value(tmp_path):
    search = Search()
    job = fit(tmp_path, search, Accuracy(limits={"accuracy": WITHIN}), epochs=3, constraints=["toy/accuracy"])
    assert [step for step, _ in search.reports] == [1, 2, 3]
    ending = search.ending
    assert ending.state == "complete"
    assert ending.values == {"val_loss": search.reports[-1][1]} == {"val_loss": float(job.callback_metrics["val_loss"])}
    accuracy = float(job.callback_metrics["safeguard/toy/accuracy"])
    assert ending.violations == {"toy/accuracy": pytest.approx(-accuracy, abs=1e-6)}
    assert [(one["measure"], one["outcome"], one["moment"]["epoch"]) for one in ending.verdicts] == [
        ("accuracy", "PASS", 2)
    ]


def test_a_trial_that_is_pruned_ends_at_the_next_step_whatever_the_minima(tmp_path):
    search = Search(2)
    limits = {"accuracy": OUTSIDE}
    job = fit(tmp_path, search, Accuracy(limits=limits), epochs=5, constraints=["toy/accuracy"])
    assert (job.current_epoch, job.fit_loop.min_epochs) == (2, 5)
    assert (search.ending.state, search.ending.reason) == ("pruned", "pruned at validation 2")
    accuracy = float(job.callback_metrics["safeguard/toy/accuracy"])
    assert search.ending.violations == {"toy/accuracy": pytest.approx(2.0 - accuracy, abs=1e-6)}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_fails_the_trial_and_is_never_told(tmp_path, value):
    search = Search()
    job = fit(tmp_path, search, module=Scripted(0.5, value, 0.7), epochs=3, objectives=["score"])
    assert job.current_epoch == 2
    assert search.reports == [(1, 0.5)]
    assert (search.ending.state, search.ending.reason) == ("failed", f"score is {value} at validation 2")
    assert search.ending.values == {}


def test_several_objectives_are_told_at_the_end_only(tmp_path):
    search = Search(1)
    job = fit(tmp_path, search, objectives=["val_loss", "seconds"], epochs=2)
    assert (search.reports, job.current_epoch) == ([], 2)
    assert list(search.ending.values) == ["val_loss", "seconds"]


def test_the_metrics_of_safeguards_and_seconds_are_objectives_too(tmp_path):
    search = Search()
    fit(tmp_path, search, Accuracy(), objectives=["safeguard/toy/accuracy", "seconds"])
    assert search.ending.state == "complete"
    assert 0 <= search.ending.values["safeguard/toy/accuracy"] <= 1
    assert search.ending.values["seconds"] > 0


def test_a_metric_that_is_not_there_is_told_with_the_nearest(tmp_path):
    search = Search()
    fit(
        tmp_path,
        search,
        objectives=["val_los"],
        fails=(SafeguardError, "no metric 'val_los' after validation; .*val_loss"),
    )
    assert search.ending.state == "failed"
    assert "val_loss" in search.ending.reason


class Intervals(Accuracy):
    """Fails by its interval at the given judgements."""

    def __init__(self, *failing, interval=True, **options):
        super().__init__(limits={"accuracy": Limit(at_least=0.5)}, **options)
        self._failing, self._interval = failing, interval

    def examine(self, seen, scene):
        from dataclasses import replace

        value = 0.2 if scene.look in self._failing else 0.8
        ends = (value - 0.1, value + 0.1) if self._interval else None
        return {"accuracy": replace(super().examine(seen, scene)["accuracy"], value=value, interval=ends)}


@pytest.mark.parametrize(
    ("guard", "epochs_run", "state"),
    [
        (Intervals(2, 3), 3, "pruned"),
        (Intervals(1, 3), 4, "complete"),
        (Intervals(1, 2, 3, 4, interval=False), 4, "complete"),
        (Intervals(3, 4), 4, "pruned"),
    ],
)
def test_a_trial_whose_limit_fails_by_its_interval_twice_in_a_row_ends(tmp_path, guard, epochs_run, state):
    search = Search()
    asked = {"objectives": ["val_loss", "seconds"], "constraints": ["toy/accuracy"], "end_after_failures": 2}
    job = fit(tmp_path, search, guard, epochs=4, **asked)
    assert (job.current_epoch, search.ending.state) == (epochs_run, state)
    if state == "pruned":
        assert search.ending.reason == "toy/accuracy failed at 2 validations in a row"


@pytest.mark.parametrize(("decide_on", "violation"), [("point", -0.3), ("interval", -0.2)])
def test_what_decides_a_verdict_decides_its_constraint(tmp_path, decide_on, violation):
    search = Search()
    fit(tmp_path, search, Intervals(decide_on=decide_on), constraints=["toy/accuracy"])
    assert search.ending.violations == {"toy/accuracy": pytest.approx(violation)}


def test_a_limit_that_is_no_constraint_ends_no_trial(tmp_path):
    search = Search()
    job = fit(tmp_path, search, Intervals(1, 2), constraints=[], end_after_failures=1)
    assert (job.current_epoch, search.ending.state) == (2, "complete")


def test_a_limit_that_raises_prunes_the_trial_with_its_violation(tmp_path):
    search = Search()
    guard = Accuracy(limits={"accuracy": OUTSIDE}, reaction="raise")
    fit(tmp_path, search, guard, constraints=["toy/accuracy"], fails=(LimitViolated, "toy/accuracy"))
    assert search.ending.state == "pruned"
    assert search.ending.reason.startswith("toy/accuracy: ")
    assert 1.0 <= search.ending.violations["toy/accuracy"] <= 2.0


class Breaks(Net):
    def training_step(self, batch, index):
        if self.current_epoch == 1:
            raise RuntimeError("out of memory")
        return super().training_step(batch, index)


def test_a_crash_is_told_with_its_reason(tmp_path):
    search = Search()
    fit(tmp_path, search, module=Breaks(), constraints=["toy/accuracy"], fails=(RuntimeError, "out of memory"))
    assert (search.ending.state, search.ending.reason) == ("failed", "RuntimeError: out of memory")
    assert search.ending.violations == {"toy/accuracy": 1000.0}


def test_a_search_that_is_gone_ends_the_training(tmp_path):
    class Gone(Search):
        def report(self, step, value):
            raise TrialFailed("the search that started this trial does not answer")

        def end(self, ending):
            raise TrialFailed("still gone")

    job = fit(tmp_path, Gone(), fails=(SafeguardError, "does not answer"))
    assert job.current_epoch == 0


def test_a_fit_without_validation_has_no_value(tmp_path):
    search = Search()
    job = trainer(tmp_path, TrialReporter(objectives=["val_loss"], line=search), max_epochs=1, limit_val_batches=0)
    job.fit(Net(), loader(), loader())
    assert (search.ending.state, search.ending.reason) == (
        "failed",
        "no validation ran, so there is no value of the objective",
    )


def test_the_sanity_check_is_no_validation(tmp_path):
    search = Search()
    job = trainer(tmp_path, TrialReporter(objectives=["val_loss"], line=search), max_epochs=1, num_sanity_val_steps=1)
    job.fit(Net(), loader(), loader())
    assert [step for step, _ in search.reports] == [1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"objectives": []}, "expected a list of metrics"),
        ({"objectives": "val_loss"}, "expected a list of metrics"),
        ({"objectives": ["a"], "end_after_failures": 0}, "expected 1 or more"),
    ],
)
def test_a_wrong_argument_is_told_where_it_enters(wrong, said):
    with pytest.raises(ConfigurationError, match=said):
        TrialReporter(**wrong)


def test_outside_a_search_training_does_not_begin(tmp_path, monkeypatch):
    monkeypatch.delenv(ADDRESS, raising=False)
    job = trainer(tmp_path, TrialReporter(objectives=["val_loss"]))
    with pytest.raises(ConfigurationError, match="no search has started this process"):
        job.fit(Net(), loader(), loader())
    assert job.global_step == 0
