"""A retraining as its command runs it: killed at every step, called again, refused, one at a time."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipelines import deliver, retrain, train
from pipelines.data.scans import PIXELS
from pipelines.told import ends_when_told
from safeguards.core.errors import EvidenceError
from safeguards.gate import Record
from safeguards.search import Ending, Torchrun
from safeguards.search.line import ADDRESS, Exchange
from safeguards.search.members import marked
from safeguards.search.torchrun import Heard
from safeguards.tracking import ModelRegistry
from tests.helpers.children import GROUP_SECONDS
from tests.helpers.killing import begun, ended, killed_before
from tests.pipelines.live import at_once

CONF = Path(__file__).parents[2] / "conf"
LONGEST_SECONDS = 200.0
STEPS = ("meet", "look", "train", "compare", "seal", "rule", "card", "tell")
LENIENT = {
    "class_path": "safeguards.FairnessCheck",
    "init_args": {
        "fields": {"inputs": "inputs", "target": "target", "row_id": "row_id", "groups": {"stroke": "stroke"}},
        "limits": {"worst_group_accuracy": {"at_least": 0.0}},
    },
}
SHORT = {"max_epochs": 1, "check_val_every_n_epoch": 1, "logger": False, "callbacks": [LENIENT]}
POLICY = {
    "required": ["fairness/worst_group_accuracy"],
    "paired": {"accuracy": {"better": "higher", "minimum_effect": 0.95}},
    "tracked": False,
    "classes": ["pipelines.models.*"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Path]:
    """A folder with two deliveries, a short training and a store; what it holds grows from test to test."""
    folder = tmp_path_factory.mktemp("retrain")
    shutil.copyfile(empty_database, folder / "store.db")
    for number, name in enumerate(("first", "same again")):
        delivered(folder / name, seed=number)
    (folder / "short.yaml").write_text(yaml.safe_dump({"trainer": SHORT}))
    (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'store.db'}")
        yield folder


def delivered(folder: Path, seed: int) -> None:
    """600 images of noise with a bright line that tells the class."""
    folder.mkdir()
    draw = np.random.default_rng(seed)
    digit = draw.integers(8, size=600)
    images = draw.uniform(0, 0.3, size=(600, 8, 8))
    images[np.arange(600), digit] = 1.0
    frame = pd.DataFrame(images.reshape(600, -1), columns=PIXELS)
    stroke = np.where(draw.integers(2, size=600) == 1, "thin", "thick")
    frame.assign(row=range(600), digit=digit, stroke=stroke).to_parquet(folder / "scans.parquet")
    assert deliver.main([str(folder)]) == 0


def asked(place: Path, delivery: str, *more: str) -> list[str]:
    return [
        f"--config={CONF / 'retrain.yaml'}",
        f"--train=[{CONF / 'scans' / 'train.yaml'}, {place / 'short.yaml'}]",
        f"--policy={place / 'policy.yaml'}",
        f"--delivery={place / delivery}",
        f"--directory={place / 'shelf'}",
        f"--code=[{CONF.parent / 'pipelines'}]",
        f"--lock={CONF.parent / 'requirements.lock'}",
        *more,
    ]


def run(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    monkeypatch.setattr(sys, "argv", ["retrain", *arguments])
    return retrain.command()


def test_told_to_end_as_it_trains_it_says_so_and_leaves_nothing_that_counts(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = asked(place, "first", f"--directory={place / 'cut'}")
    child = begun(lambda: ends_when_told(lambda: run(monkeypatch, arguments)))
    until = time.monotonic() + LONGEST_SECONDS
    while not list(place.glob("cut/scans/jobs/*/*-train.part/processes/**/stdout.log")):
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(child, signal.SIGTERM)
    assert ended(child) == 128 + signal.SIGTERM
    assert capfd.readouterr().err == "error: told to end (SIGTERM) before it was done\n"
    assert not marked(f"MLFLOW_TRACKING_URI=sqlite:///{place / 'store.db'}")
    assert ModelRegistry("scans").champion() is None
    (job,) = place.glob("cut/scans/jobs/*")
    assert sorted(path.name[3:] for path in job.iterdir()) == ["look", "meet", "train.part"]


def trained_by_a_fork(_: Torchrun, arguments: list[str], folder: Path, prune: Callable[[int, float], bool]) -> Ending:
    """In a process that has imported already what those of torchrun take ten seconds to import."""
    heard = Heard(prune)
    with Exchange(heard.answer) as exchange:

        def fit() -> None:
            os.environ[ADDRESS], sys.argv = exchange.address, ["train"]
            train.main(["fit", *arguments])

        child = begun(fit)
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            exchange.serve(0.1)
    assert heard.ending is not None
    return heard.ending


def test_killed_at_every_step_it_ends_as_if_nothing_had_happened(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Torchrun, "run", trained_by_a_fork)
    arguments = asked(place, "first")
    for step in STEPS:
        with monkeypatch.context() as patch:
            if step == "rule":  # made anew, and in a fresh process, by the next of them
                patch.setattr("safeguards.gate.promotion.check_in_a_fresh_process", at_once)
            assert killed_before(step, lambda: run(monkeypatch, arguments)) == -signal.SIGKILL, step
    assert run(monkeypatch, arguments) == 0
    told = capsys.readouterr().out
    assert "scans: promoted; there is no champion yet" in told
    assert "retraining: train" not in told
    registry = ModelRegistry("scans")
    assert (registry.champion(), [one.number for one in registry.versions()], len(registry.history())) == (1, [1], 1)
    (job,) = place.glob("shelf/scans/jobs/*")
    assert sorted(path.name[3:] for path in job.iterdir()) == sorted(STEPS)


def test_called_again_it_says_how_it_ended_and_does_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, asked(place, "first")) == 0
    assert "retraining:" not in capsys.readouterr().out
    monkeypatch.setattr(ModelRegistry, "champion", lambda _: 7)
    assert run(monkeypatch, asked(place, "first")) == 3
    assert "version 1 was promoted then, and version 7 is champion now" in capsys.readouterr().out


def test_new_data_without_drift_call_for_nothing_when_only_drift_does(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, asked(place, "same again", "--when=drift", "--look.limit.at_most=0.5")) == 4
    assert "nothing to do; drift" in capsys.readouterr().out


def test_what_stays_on_disk_is_bounded_where_it_is_asked_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = place / "shelf" / "scans"
    old = [shelf / what for what in ("data/" + "0" * 64, "jobs/" + "0" * 16, "jobs/" + "1" * 16)]
    for one in old:
        for name in ("01-meet", "02-look", "03-tell"):
            (one / name).mkdir(parents=True)
        os.utime(one, (int(one.name[0]), int(one.name[0])))
    assert run(monkeypatch, asked(place, "first")) == 0
    assert all(one.is_dir() for one in old)
    assert run(monkeypatch, asked(place, "first", "--keep=1")) == 0
    assert [one.exists() for one in old[:2]] == [False, False]
    assert any(one.name not in ("0" * 16, "1" * 16) for one in (shelf / "jobs").iterdir())


def test_what_hinders_removing_is_told_and_changes_no_ending(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hindered(*_: object, **__: object) -> list[str]:
        raise EvidenceError("the record of a former champion is gone")

    monkeypatch.setattr(retrain, "prune", hindered)
    assert run(monkeypatch, asked(place, "first", "--keep=1")) == 0
    told = capsys.readouterr()
    assert "scans: promoted" in told.out
    assert "warning: not everything old was removed: the record of a former champion is gone" in told.err


def test_less_than_one_kept_is_refused_before_anything_is_trained(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, asked(place, "same again", "--keep=0")) == 2
    told = capsys.readouterr()
    assert "keep: 0: expected 1 or more" in told.err
    assert "retraining:" not in told.out


def under_zero(place: Path) -> list[str]:
    """Trained by two processes under ZeRO stage 2, which wait for each other no longer than those of other tests."""
    waits = place / "waits.yaml"
    waits.write_text(yaml.safe_dump({"trainer": {"strategy": {"init_args": {"timeout": GROUP_SECONDS}}}}))
    files = [CONF / "scans" / "train.yaml", CONF / "strategy" / "cpu2.yaml", waits, place / "short.yaml"]
    return asked(place, "same again", f"--train=[{', '.join(map(str, files))}]")


def test_of_two_at_once_one_retrains_under_zero_and_one_steps_back(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = [begun(lambda: run(monkeypatch, under_zero(place))) for _ in range(2)]
    assert sorted(map(ended, children)) == [3, 5]
    (second,) = place.glob("shelf/scans/jobs/*/*-train/processes/*/*/1")
    assert "DeepSpeedCPUStrategy" in (second.parents[3] / "config.yaml").read_text()
    registry = ModelRegistry("scans")
    assert ([one.number for one in registry.versions()], registry.champion()) == ([1, 2], 1)


def test_a_challenger_that_gains_too_little_is_compared_row_by_row_and_kept_out(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, under_zero(place)) == 3
    assert "paired/accuracy: " in capsys.readouterr().out
    records = {
        Record.read(path).digest: Record.read(path) for path in place.glob("shelf/scans/jobs/*/*-seal/record.json")
    }
    challenger = next(one for one in records.values() if one.champion)
    assert challenger.champion in records
    assert [one.measure for one in challenger.comparisons][:2] == ["accuracy", "robust_accuracy"]
    assert ModelRegistry("scans").champion() == 1
    pages = [path.read_text() for path in place.glob("shelf/scans/jobs/*/*-card/card.html")]
    assert len(pages) == 2
    assert any("paired/accuracy" in page and "refused" in page for page in pages)
    for digest in records:
        ModelRegistry("scans").fetch(digest, ["card.html"], place / "in MLflow" / digest)
    assert {path.read_text() for path in place.glob("in MLflow/*/card.html")} == {*pages}


def test_half_a_file_is_refused_and_somebody_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered(place / "half", seed=9)
    whole = (place / "half" / "scans.parquet").read_bytes()
    (place / "half" / "scans.parquet").write_bytes(whole[:-100])
    command = f'--notice.command=[{sys.executable}, -c, \'open("told", "w").write(input())\']'
    assert run(monkeypatch, asked(place, "half", command)) == 6
    assert "half-written" in capsys.readouterr().err
    assert '"ended": "data refused"' in (place / "told").read_text()


def test_a_full_disk_refuses_no_data(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    delivered(place / "whole", seed=10)
    command = f'--notice.command=[{sys.executable}, -c, \'open("told of", "w").write(input())\']'
    with monkeypatch.context() as patch:
        patch.setattr("safeguards.retraining.intake.os.fsync", full)
        assert run(patch, asked(place, "whole", command)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left on device; mend that and call this again" in line
    assert '"ended": "broke"' in (place / "told of").read_text()


SLIPS = [
    ("--whem=drift", "there is no key 'whem'"),
    ("--when=never", "when: expected 'new data', 'drift', 'audit', not never"),
    ("--look.sample=2", "sample"),
]


@pytest.mark.parametrize(("wrong", "said"), SLIPS)
def test_a_slip_of_the_pen_is_one_line(
    place: Path, wrong: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, asked(place, "first", wrong)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_what_breaks_is_told_once_and_breaks_as_it_did(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training that takes too long, called twice, and a registry that is away."""
    note = f'--notice.command=[{sys.executable}, -c, \'open("broke", "a").write(input() + "\\n")\']'
    slow, away = "--seconds=0.01", "--tracking_uri=http://me:c4naryPassw0rd@127.0.0.1:9"
    for more, code, says in ((slow, 1, "took longer"), (slow, 1, "took longer"), (away, 1, "does not answer")):
        assert run(monkeypatch, asked(place, "same again", "--force=true", more, note)) == code
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line
    told = [json.loads(line) for line in (place / "broke").read_text().splitlines()]
    assert [(one["what"], one["ended"]) for one in told] == [("retraining", "broke")] * 2
    assert "took longer than 0.01 seconds" in told[0]["why"]
    assert "'http://[redacted]@127.0.0.1:9' does not answer" in told[1]["why"]
