"""`safeguards sync` over spools of jobs that ended, were killed, resumed, or are at it still."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import Timeout
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from safeguards.cli import main
from safeguards.core.ledger import read as read_ledger
from safeguards.core.process import this_process
from safeguards.core.verdict import Moment, Outcome, Verdict
from safeguards.tracking import MLflowTracker
from safeguards.tracking.delivery import Delivery
from safeguards.tracking.entities import Parameter, Point, Tag
from safeguards.tracking.spool import LINES, Progress, Spool
from safeguards.tracking.syncing import spools_below, sync
from tests.tracking.looking import client, runs

ROOT = Path(__file__).parents[2]
CANARY = "c4naryV4lue"
GONE = {**this_process(), "started": "1"}


def job(folder: Path, name: str = "job-1", **more: Any) -> dict[str, Any]:
    made = {
        "id": name,
        "uri": f"sqlite:///{folder / 'mlflow.db'}",
        "experiment": "safeguards",
        "artifact_location": (folder / "mlruns").as_uri(),
        "name": None,
        "run": None,
        "began": 1000,
        "tags": {"team": "a"},
    }
    return {**made, **more}


def left_behind(folder: Path, *lines: tuple[str, dict[str, Any]], owner: Any = GONE, **more: Any) -> Path:
    """A spool as a process left it: by default one that is gone."""
    settings = job(folder, **more)
    place = folder / "safeguards_spool" / settings["id"]
    place.mkdir(parents=True)
    every = [("job", {**settings, **owner}), *lines]
    (place / LINES).write_text("".join(json.dumps({"kind": kind, **data}) + "\n" for kind, data in every))
    return place


def values(*entities: Any) -> tuple[str, dict[str, Any]]:
    by_kind: dict[str, list[Any]] = {}
    for one in entities:
        by_kind.setdefault({Point: "points", Parameter: "parameters", Tag: "tags"}[type(one)], []).append(one)
    return "values", by_kind


def loss(step: int, value: float = 0.5, at: int = 2000) -> tuple[str, dict[str, Any]]:
    return values(Point("loss", value, at + step, step))


def ledger(name: str) -> tuple[str, dict[str, Any]]:
    return "ledger", {"id": name, "join": True}


END: tuple[str, dict[str, Any]] = ("end", {"status": "FINISHED", "at": 5000})


def history(folder: Path, metric: str = "loss") -> list[tuple[int, float]]:
    [run] = runs(folder)
    return [(point.step, point.value) for point in client(folder).get_metric_history(run.info.run_id, metric)]


def test_a_job_that_ended_arrives_whole_and_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = left_behind(here, values(Parameter("lr", "1")), loss(0), loss(1), END)
    (place / "artifacts" / "a").mkdir(parents=True)
    (place / "artifacts" / "a" / "x.txt").write_text("text")
    with (place / LINES).open("a") as file:
        file.write('{"kind": "artifacts", "copy": "a", "to": "below"}\n' + json.dumps({"kind": "end", **END[1]}) + "\n")
    for told in ("6 lines sent; complete", "nothing to send; complete"):
        assert main(["sync", str(here)]) == 0
        assert capsys.readouterr().out == f"{place}: {told}\n"
        [run] = runs(here)
        assert history(here) == [(0, 0.5), (1, 0.5)]
        assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 1000, 5000)
        assert run.data.params == {"lr": "1"}
        assert run.data.tags["team"] == "a"
        assert run.data.tags["safeguards.tracking"] == "complete"
        assert Path(run.info.artifact_uri.removeprefix("file://"), "below", "x.txt").read_text() == "text"


def test_progress_that_was_lost_changes_nothing(here: Path) -> None:
    """Killed between the sending and the note of it: all is sent again, and is the same again."""
    place = left_behind(here, loss(0), loss(1), values(Parameter("lr", "1"), Tag("t", "x")), END)
    sync(place)
    once = [(run.info.run_id, run.data.params, run.data.tags) for run in runs(here)]
    (place / "progress.json").unlink()
    assert sync(place).left is None
    assert [(run.info.run_id, run.data.params, run.data.tags) for run in runs(here)] == once
    assert history(here) == [(0, 0.5), (1, 0.5)]


def test_a_job_that_was_killed_is_said_to_be_killed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = left_behind(here, values(Tag("safeguards.ended", "running")), loss(0))
    with (place / LINES).open("a") as file:
        file.write('nonsense\n{"kind": "values", "poi')
    assert main(["sync", str(here), "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f"{place}: 1 lines could not be read and are skipped",
        f"{place}: the last line is torn after 23 bytes and is skipped",
    ]
    [run] = runs(here)
    assert (run.info.status, run.info.end_time) == ("KILLED", 2000)
    assert run.data.tags["safeguards.ended"] == "killed"
    assert history(here) == [(0, 0.5)]


def verdicts_of(*values_: float, step: int = 1) -> list[Verdict]:
    made = {"safeguard": "fairness", "measure": "gap", "outcome": Outcome.FAIL, "reason": "large"}
    return [Verdict(**made, value=value, n=9, moment=Moment(stage="validate", epoch=0, step=step)) for value in values_]


def noted(*verdicts: Verdict) -> tuple[str, dict[str, Any]]:
    return "verdicts", {"verdicts": [verdict.to_dict() for verdict in verdicts]}


def kept_ledger(folder: Path, place: str = "safeguards") -> list[Verdict]:
    [run] = runs(folder)
    return read_ledger(Path(run.info.artifact_uri.removeprefix("file://"), place, "verdicts.jsonl"))[0]


def test_the_ledger_of_a_job_that_was_killed_arrives_too(here: Path) -> None:
    first, second = verdicts_of(0.5, float("nan"))
    place = left_behind(
        here, ledger("same"), loss(0), noted(first), loss(1), noted(second), ("verdicts", {"verdicts": [1]})
    )
    assert main(["sync", str(here)]) == 0
    held = [one.to_dict() for one in (first, second)]
    assert [one.to_dict() for one in kept_ledger(here)] == held
    [run] = runs(here)
    assert run.data.tags["safeguards.fairness.gap"] == "FAIL"
    assert run.data.tags["safeguards.verdicts"] == "2 FAIL"
    assert run.data.tags["safeguards.run_id"] == "same"
    assert run.data.tags["safeguards.ended"] == "killed"
    (place / "progress.json").unlink()
    assert sync(place).left is None
    assert [one.to_dict() for one in kept_ledger(here)] == held, "once more changes nothing"
    [third] = verdicts_of(0.25, step=2)
    client(here).set_tag(run.info.run_id, "safeguards.spool", "job-2")  # it had taken the run over while it lived
    left_behind(here, ledger("same"), loss(2, at=6000), noted(third), name="job-2", began=6000)
    assert main(["sync", str(here)]) == 0
    assert [one.to_dict() for one in kept_ledger(here)] == [*held, third.to_dict()]


def test_a_job_that_ended_has_handed_its_ledger_over(here: Path) -> None:
    place = left_behind(here, ledger("same"), loss(0), noted(*verdicts_of(0.5)), END)
    assert sync(place).left is None
    [run] = runs(here)
    assert not list(Path(run.info.artifact_uri.removeprefix("file://")).rglob("*.jsonl"))


@pytest.mark.parametrize("owner", [this_process(), {**GONE, "host": "elsewhere.invalid"}])
def test_a_job_that_may_still_run_is_sent_and_not_ended(here: Path, owner: Any) -> None:
    result = sync(left_behind(here, loss(0), owner=owner))
    assert (result.left, result.open, result.sent) == (None, True, 1)
    [run] = runs(here)
    assert (run.info.status, run.data.tags["safeguards.tracking"]) == ("RUNNING", "waiting")


def test_a_resumed_job_goes_on_in_the_run_of_its_ledger_with_one_point_per_step(here: Path) -> None:
    left_behind(here, ledger("same"), loss(0), loss(1), loss(2, 0.75))
    assert main(["sync", str(here)]) == 0
    left_behind(
        here, ledger("same"), loss(1, at=6000), loss(2, 0.25, at=6000), loss(3, at=6000), END, name="job-2", began=6000
    )
    assert main(["sync", str(here)]) == 0
    assert history(here) == [(0, 0.5), (1, 0.5), (2, 0.75), (3, 0.5)]
    assert history(here, "repeated/loss") == [(2, 0.25)]
    [run] = runs(here)
    assert run.data.tags["safeguards.repeated"] == "steps 1 to 2"


def test_a_job_that_followed_says_how_the_run_ended(here: Path) -> None:
    """The first was killed in an outage; the second went on, finished, and reached the store first."""
    tracker = MLflowTracker()
    tracker.begin_safeguards("same", here / "run")
    tracker.log_metrics({"loss": 0.5}, step=1)
    tracker.finalize()
    lines = ledger("same"), values(Tag("safeguards.ended", "running"), Parameter("late", "1")), loss(0), loss(1, 0.25)
    place = left_behind(here, *lines, ("artifacts", {"copy": "a", "to": ""}))
    (place / "artifacts" / "a").mkdir(parents=True)
    (place / "artifacts" / "a" / "config.yaml").write_text("of the first")
    assert main(["sync", str(here)]) == 0
    [run] = runs(here)
    assert run.info.status == "FINISHED"
    assert run.data.tags["safeguards.ended"] == "running"
    assert "late" not in run.data.params
    assert sorted(history(here)) == [(0, 0.5), (1, 0.5)]
    assert history(here, "repeated/loss") == [(1, 0.25)]
    kept = Path(run.info.artifact_uri.removeprefix("file://"), "earlier", "job-1", "config.yaml")
    assert kept.read_text() == "of the first"


def test_a_run_that_was_made_before_its_ledger_was_known_is_given_up(here: Path) -> None:
    earlier, later = MLflowTracker(), MLflowTracker()
    earlier.begin_safeguards("same", here / "run")
    assert earlier.run_id
    later.log_hyperparams({"lr": 1.0})
    assert later.run_id not in (None, earlier.run_id)
    later.begin_safeguards("same", here / "run")
    later.log_metrics({"x": 1.0}, step=0)
    later.finalize()
    [run] = runs(here)
    assert run.info.run_id == later.run_id == earlier.run_id
    assert (run.data.params, run.data.metrics) == ({"lr": "1.0"}, {"x": 1.0})


def test_a_run_that_a_late_server_made_twice_is_one_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = MlflowClient.create_run

    def make_twice(store: MlflowClient, *asked: Any, **options: Any) -> Any:
        make(store, *asked, **options)
        return make(store, *asked, **options)

    sync(left_behind(here, loss(0), END))
    monkeypatch.setattr(MlflowClient, "create_run", make_twice)
    sync(left_behind(here, loss(0), loss(1), END, name="job-2"))
    one, two = runs(here)
    assert {run.data.tags["safeguards.spool"] for run in (one, two)} == {"job-1", "job-2"}
    assert all(run.data.metrics for run in (one, two)), "the other was never written to"


def test_what_is_left_of_a_resumed_job_goes_into_its_run_and_makes_no_other(here: Path) -> None:
    sync(left_behind(here, ledger("kept"), loss(0), END))
    sync(left_behind(here, ledger("kept"), loss(1), END, name="job-2"))
    assert history(here) == [(0, 0.5), (1, 0.5)]
    every = client(here).search_runs([runs(here)[0].info.experiment_id], run_view_type=ViewType.ALL)
    assert len(every) == 1, "not even one that is deleted again"


def test_lost_artifacts_are_never_complete(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = left_behind(here, loss(0), ("artifacts", {"copy": "../../away", "to": ""}), END)
    (here / "away").mkdir()
    (here / "away" / "private.txt").write_text(CANARY)
    assert main(["sync", str(here)]) == 1
    assert capsys.readouterr().out == f"{place}: waits: 1 artifacts are lost\n"
    [run] = runs(here)
    assert run.data.tags["safeguards.tracking"] == "degraded: 1 lines or artifacts are lost"


def test_an_address_with_a_password_is_given_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = left_behind(here, loss(0), uri="http://[redacted]@127.0.0.1:9")
    assert "is kept without its password; MLFLOW_TRACKING_URI has to name it in full" in str(sync(place).left)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{CANARY}@127.0.0.1:9")
    left = str(sync(place).left)
    assert "127.0.0.1:9" in left or "refused" in left
    assert CANARY not in left
    assert "kept without" in str(sync(place, tracking_uri="http://h:1").left)


@pytest.mark.parametrize("text", ["", "x\n", '{"kind": "job"}\n', '{"kind": "values"}\n'])
def test_what_is_no_spool_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / LINES).write_text(text)
    assert str(sync(tmp_path).left).startswith("no spool: its first line lacks id, uri")


def test_a_folder_that_is_not_there_and_one_without_spools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith(f"safeguards sync: {tmp_path}/none is no folder")
    assert main(["sync", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no spool below {tmp_path}\n"
    assert spools_below(tmp_path) == []


def test_two_at_the_same_time_send_everything_once(here: Path) -> None:
    for number in range(2):
        points = [loss(step) for step in range(40)]
        left_behind(here, ledger("same"), *points, END, name=f"job-{number}", began=1000 + number)
    command = [sys.executable, "-m", "safeguards.cli", "sync", str(here)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    said = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert history(here) == [(step, 0.5) for step in range(40)]
    assert all(Progress.of(place).complete for place in spools_below(here))


def test_two_senders_of_one_spool_do_not_cross_each_other(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would take the other's points, sent a moment ago, for those of an earlier training."""
    from safeguards.tracking import delivery as room

    place, arrived = left_behind(here, loss(0), END), threading.Event()
    monkeypatch.setattr(room, "SENDING_SECONDS", 0.2)
    first = Delivery(place, job(here), job(here)["uri"])
    second = Delivery(place, job(here), job(here)["uri"])
    monkeypatch.setattr(first, "_catch_up", lambda: (arrived.set(), done.wait(30)))
    done = threading.Event()
    thread = threading.Thread(target=first.send)
    thread.start()
    try:
        assert arrived.wait(30)
        with pytest.raises(Timeout):
            second.send()
    finally:
        done.set()
        thread.join()
    second.send()
    assert history(here) == [(0, 0.5)]


def test_a_failure_in_the_middle_goes_on_where_it_happened(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safeguards.tracking import delivery as room

    sent: list[int] = []

    def failing(client: Any, run_id: str, batch: Any) -> None:
        if batch and isinstance(batch[0], Point):
            sent.append(len(batch))
            if len(sent) == 2:
                raise OSError("away")

    monkeypatch.setattr(room, "deliver", failing)
    monkeypatch.setattr(room, "BATCH", 2)
    place = left_behind(here, *(loss(step) for step in range(5)), END)
    assert sync(place).left == "OSError: away"
    assert sync(place).left is None
    assert sent == [2, 2, 2, 1]


def test_a_spool_of_this_process_is_sent_and_told_apart(here: Path) -> None:
    settings = job(here)
    spool = Spool(here / "safeguards_spool" / "job-1", settings)
    spool.put([Point("loss", 0.5, 2000, 0)])
    live = Delivery(spool.folder, settings, settings["uri"], spool=spool)
    assert live.waiting() == (1, 0)
    live.send()
    assert live.waiting() == (0, 0)
    assert history(here) == [(0, 0.5)]
