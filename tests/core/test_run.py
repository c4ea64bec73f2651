"""The owner of a run, through real trainers on one process."""

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader, IterableDataset

from safeguards import BatchFields, Limit, Outcome, verdicts
from safeguards.core.errors import ConfigurationError, LimitViolated, RankError
from safeguards.core.ledger import read
from safeguards.core.report import latest
from tests.helpers.toys import OUTSIDE, WITHIN, Accuracy, Net, expected_accuracy, loader, rows, trainer


class Broken(Net):
    def training_step(self, batch: Any, _: int) -> Any:
        raise RuntimeError("out of memory")


def fit(root: Path, *callbacks: Any, module: Net | None = None, validation: Any = None, **options: Any) -> Any:
    job = trainer(root, *callbacks, **options)
    job.fit(module or Net(), loader(64), loader() if validation is None else validation)
    return job


def outcomes(job: Any) -> list[Outcome]:
    return [verdict.outcome for verdict in verdicts(job)]


def test_every_validation_is_judged_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = Net()
    job = fit(tmp_path, Accuracy(), module=module)
    found = verdicts(job)
    assert [(v.moment.epoch, v.moment.step, v.n) for v in found] == [(0, 4, 57), (1, 8, 57)]
    assert found[-1].value == expected_accuracy(module, rows())
    (ledger,) = tmp_path.glob("safeguards/*/verdicts.jsonl")
    assert read(ledger) == (found, [])
    printed = capsys.readouterr().out
    assert printed.count("safeguard  measure") == 1
    assert str(ledger) in printed


def test_a_trainer_without_safeguards_has_no_verdicts(tmp_path: Path) -> None:
    assert verdicts(trainer(tmp_path)) == []


def test_the_run_dies_with_its_trainer(tmp_path: Path) -> None:
    job = fit(tmp_path, Accuracy())
    gone = weakref.ref(job)
    del job
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("place", [0, 1, 2])
def test_other_callbacks_see_this_moments_metric_in_any_order(tmp_path: Path, place: int) -> None:
    best = ModelCheckpoint(dirpath=tmp_path, monitor="safeguard/toy/accuracy", mode="max", save_top_k=-1)
    seen: list[tuple[float, float]] = []

    class Compare(EarlyStopping):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.sanity_checking:
                assert pl_module is not None
                seen.append((float(trainer.callback_metrics[self.monitor]), verdicts(trainer)[-1].value or -1))
                super().on_validation_end(trainer, pl_module)

    callbacks: list[Any] = [Compare("safeguard/toy/accuracy", mode="max"), best]
    callbacks.insert(place, Accuracy())
    job = fit(tmp_path, *callbacks, enable_checkpointing=True, max_epochs=3)
    assert len(seen) == 3
    assert all(metric == pytest.approx(value) for metric, value in seen)
    assert float(best.best_model_score or -1) == pytest.approx(max(v.value or -1 for v in verdicts(job)))


def test_metric_reaches_loggers(tmp_path: Path) -> None:
    job = fit(tmp_path, Accuracy(), logger=CSVLogger(tmp_path), max_epochs=1)
    assert "safeguard/toy/accuracy" in Path(job.logger.log_dir, "metrics.csv").read_text().splitlines()[0]


def test_stop_ends_at_the_next_step_whatever_the_minima(tmp_path: Path) -> None:
    guard = Accuracy(limits={"accuracy": OUTSIDE}, reaction="stop")
    job = fit(tmp_path, guard, max_epochs=5, min_epochs=4, min_steps=18, val_check_interval=2)
    assert job.global_step == 2
    assert outcomes(job) == [Outcome.FAIL]
    assert (job.fit_loop.min_epochs, job.fit_loop.min_steps) == (4, 18)


def test_strongest_reaction_wins_and_all_have_judged(tmp_path: Path) -> None:
    raising = Accuracy(limits={"accuracy": OUTSIDE}, reaction="raise", name="first")
    stopping = Accuracy(limits={"accuracy": OUTSIDE}, reaction="stop", name="second")
    job = trainer(tmp_path, raising, stopping)
    with pytest.raises(LimitViolated, match="first/accuracy") as caught:
        job.fit(Net(), loader(64), loader())
    assert len(caught.value.verdicts) == 2
    assert [v.safeguard for v in verdicts(job)] == ["first", "second"]
    (ledger,) = tmp_path.glob("safeguards/*/verdicts.jsonl")
    assert len(read(ledger)[0]) == 2


def test_record_lets_training_go_on(tmp_path: Path) -> None:
    job = fit(tmp_path, Accuracy(limits={"accuracy": OUTSIDE}))
    assert job.global_step == 8
    assert outcomes(job) == [Outcome.FAIL, Outcome.FAIL]


def test_failing_safeguard_is_an_error_verdict_not_a_dead_job(tmp_path: Path) -> None:
    job = fit(tmp_path, Accuracy(fail_on=0), Accuracy(name="sound"))
    assert outcomes(job) == [Outcome.ERROR, Outcome.PASS] * 2
    assert verdicts(job)[0].reason == "ValueError: told to fail"
    assert torch.isnan(job.callback_metrics["safeguard/toy/accuracy"])


@pytest.mark.parametrize("work", ["finish", "double_check"])
def test_last_work_that_fails_is_an_error_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str) -> None:
    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Accuracy, work, fail)
    job = fit(tmp_path, Accuracy(), max_epochs=1)
    assert outcomes(job) == [Outcome.PASS, Outcome.ERROR]
    assert verdicts(job)[-1].reason == "OSError: disk full"


def test_failing_safeguard_raises_on_request(tmp_path: Path) -> None:
    with pytest.raises(RankError, match="told to fail") as caught:
        fit(tmp_path, Accuracy(fail_on=0, on_error="raise"))
    assert isinstance(caught.value.__cause__, ValueError)


def test_missing_field_is_an_error_that_names_it(tmp_path: Path) -> None:
    job = fit(tmp_path, Accuracy(fields=BatchFields(inputs=0, target=3)))
    assert outcomes(job) == [Outcome.ERROR] * 2
    assert "target=3" in verdicts(job)[0].reason


def test_safeguards_of_one_kind_get_names_of_their_own(tmp_path: Path) -> None:
    job = fit(
        tmp_path, Accuracy(), Accuracy(limits={"accuracy": Limit(at_least=0.5)}), Accuracy(name="a|b"), max_epochs=1
    )
    assert [v.safeguard for v in verdicts(job)] == ["toy", "toy.2", "a_7c_b"]
    (names,) = tmp_path.glob("safeguards/*/names.json")
    assert '"a_7c_b": "a|b"' in names.read_text()


@pytest.mark.parametrize(
    ("options", "validation", "words"),
    [
        ({"limit_val_batches": 0}, None, "no validation ran"),
        ({"check_val_every_n_epoch": 5}, None, "check_val_every_n_epoch=5, but 2 epochs ran"),
        ({}, [], "no validation ran"),
        ({"limit_train_batches": 0}, None, "no training ran"),
        ({"max_steps": 3}, None, "no batch of a validation reached it before training ended at step 3"),
    ],
)
def test_silence_never_passes(tmp_path: Path, options: dict[str, Any], validation: Any, words: str) -> None:
    job = fit(tmp_path, Accuracy(limits={"accuracy": WITHIN, "rows": WITHIN}), validation=validation, **options)
    assert [(v.measure, v.outcome) for v in verdicts(job)] == [
        ("accuracy", Outcome.NOT_EVALUATED),
        ("rows", Outcome.NOT_EVALUATED),
    ]
    assert words in verdicts(job)[0].reason


def test_a_crash_before_the_first_judgement_is_said(tmp_path: Path) -> None:
    job = trainer(tmp_path, Accuracy())
    with pytest.raises(RuntimeError):
        job.fit(Broken(), loader(64), loader())
    assert outcomes(job) == [Outcome.NOT_EVALUATED]
    assert "RuntimeError: out of memory" in verdicts(job)[0].reason


def test_several_loaders_are_judged_apart(tmp_path: Path) -> None:
    job = fit(tmp_path, Accuracy(), validation={"near": loader(20, seed=1), "far/x": loader(30, seed=2)}, max_epochs=1)
    assert [(v.moment.loader, v.n) for v in verdicts(job)] == [("near", 20), ("far/x", 30)]
    assert {"safeguard/toy/accuracy/near", "safeguard/toy/accuracy/far_2f_x"} <= set(job.callback_metrics)


@pytest.mark.parametrize("inference_mode", [True, False])
def test_validate_and_test_outside_a_fit(tmp_path: Path, inference_mode: bool) -> None:
    module, job = Net(), trainer(tmp_path, Accuracy(), inference_mode=inference_mode)
    job.validate(module, loader(), verbose=False)
    job.test(module, loader(30, seed=5), verbose=False)
    assert [(v.moment.stage, v.n) for v in verdicts(job)] == [("validate", 57), ("test", 30)]
    assert "safeguard/toy/accuracy/test" in job.callback_metrics


def test_a_silent_test_after_a_fit_is_said(tmp_path: Path) -> None:
    job = fit(tmp_path, Accuracy())
    job.test(Net(), loader(), verbose=False)
    job.test(Net(), [], verbose=False)
    assert outcomes(job) == [Outcome.PASS] * 3 + [Outcome.NOT_EVALUATED]


def test_column_beside_the_set_follows_the_rows(tmp_path: Path) -> None:
    column = [f"g{i}" for i in range(57)]
    job = fit(tmp_path, Accuracy(fields=BatchFields(inputs=0, target=1, groups={"sex": column})), max_epochs=1)
    assert verdicts(job)[0].details["groups"] == sorted(column)


def test_shuffled_validation_is_fine_on_one_process(tmp_path: Path) -> None:
    job = fit(tmp_path, Accuracy(), validation=loader(shuffle=True), max_epochs=1)
    assert verdicts(job)[0].n == 57


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(list(zip(*rows().tensors, strict=True)))


def test_iterable_validation_is_fine_on_one_process(tmp_path: Path) -> None:
    job = fit(tmp_path, Accuracy(), validation=DataLoader(Stream(), batch_size=10), max_epochs=1)
    assert (verdicts(job)[0].n, outcomes(job)) == (57, [Outcome.PASS])


def test_cap_thins_rows_and_says_so(tmp_path: Path) -> None:
    job = fit(tmp_path, Accuracy(max_share_of_fit=1e-9), validation=loader(570), max_epochs=3)
    first, last = verdicts(job)
    assert 0 < first.n < 100
    assert "max_share_of_fit allowed 64 of 570 rows" in first.reason
    assert (last.outcome, last.moment.stage) == (Outcome.NOT_EVALUATED, "fit_end")
    assert (
        last.reason == "max_share_of_fit left out 2 looks since its last verdict: judge these with trainer.validate()"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limits": {}}, "expected a limit per measure"),
        ({"limits": {"acuracy": WITHIN}}, "did you mean 'accuracy'"),
        ({"limits": {"accuracy": 0.5}}, "expected a Limit"),
        ({"reaction": "rollback"}, r"reaction='rollback'.*'record', 'stop', 'raise'"),
        ({"on_error": "ignore"}, "on_error"),
        ({"decide_on": "mean"}, "decide_on"),
        ({"max_share_of_fit": 0}, "max_share_of_fit=0"),
    ],
)
def test_bad_options_are_refused_where_they_enter(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Accuracy(**options)


@pytest.mark.parametrize("address", ["memory://bucket/x", "s3://user:secret@bucket/x", "file:///tmp/x"])
def test_an_address_is_no_folder_for_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.chdir(tmp_path)
    job = trainer(address, Accuracy())
    with pytest.raises(
        ConfigurationError, match=r"default_root_dir=.*a local folder.*ModelCheckpoint\(dirpath"
    ) as told:
        job.validate(Net(), loader(), verbose=False)
    assert "secret" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_predicting_says_nothing(tmp_path: Path) -> None:
    job = fit(tmp_path, Accuracy())
    job.predict(Net(), DataLoader(rows().tensors[0], batch_size=8))
    assert outcomes(job) == [Outcome.PASS] * 2


def test_silence_is_over_once_judged(tmp_path: Path) -> None:
    job = fit(tmp_path, Accuracy(), limit_val_batches=0)
    job.validate(Net(), loader(), verbose=False)
    assert outcomes(job) == [Outcome.NOT_EVALUATED] * 2
    second = trainer(tmp_path, Accuracy())
    with pytest.raises(RuntimeError):
        second.fit(Broken(), loader(64), loader())
    second.validate(Net(), loader(), verbose=False)
    assert outcomes(second) == [Outcome.NOT_EVALUATED, Outcome.PASS]
    assert [v.outcome for v in latest(verdicts(second))] == [Outcome.PASS]


def test_a_logger_that_raises_ends_nothing(tmp_path: Path) -> None:
    class Lost(CSVLogger):
        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            if "safeguard/toy/accuracy" in metrics:
                raise OSError("disk full")

    with pytest.warns(
        UserWarning, match="Lost lost the verdicts' metrics: OSError: disk full; verdicts.jsonl has them$"
    ):
        job = fit(tmp_path, Accuracy(), logger=Lost(tmp_path))
    assert len(verdicts(job)) == 2


def test_lost_ledger_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "safeguards").write_text("in the way")
    with pytest.warns(UserWarning, match="kept in memory only: .*; once that is mended they are written with the next"):
        job = fit(tmp_path, Accuracy())
    assert len(verdicts(job)) == 2


def test_verdicts_that_could_not_be_written_are_written_later(tmp_path: Path) -> None:
    obstacle = tmp_path / "safeguards"
    obstacle.write_text("in the way")

    class Clears(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 0:
                obstacle.unlink()

    with pytest.warns(UserWarning, match="kept in memory only: .*; once that is mended they are written with the next"):
        job = fit(tmp_path, Accuracy(), Clears(), max_epochs=2)
    (ledger,) = tmp_path.glob("safeguards/*/verdicts.jsonl")
    assert read(ledger) == (verdicts(job), [])


def test_publishing_reaches_loggers_once_and_may_fail(tmp_path: Path) -> None:
    class Publisher(CSVLogger):
        summaries: list[Any] = []  # noqa: RUF012 - shared on purpose

        def publish_safeguards(self, summary: Any) -> None:
            self.summaries.append(summary)
            raise OSError("server gone")

    with pytest.warns(UserWarning, match="publish_safeguards failed: OSError: server gone"):
        job = fit(tmp_path, Accuracy(limits={"accuracy": OUTSIDE}, reaction="stop"), logger=Publisher(tmp_path))
    (summary,) = Publisher.summaries
    assert summary.ended == "stopped_for_safety"
    assert list(summary.verdicts) == verdicts(job)
