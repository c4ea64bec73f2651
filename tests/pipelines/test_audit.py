"""The live audit as its command runs it: calm, alarmed, opened and answered; unlabelled; killed; one at a time."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipelines import audit, retrain
from safeguards import Outcome
from safeguards.core.ledger import read
from safeguards.retraining import Round, Shelf, Trigger, deliver, only_one
from safeguards.search import Ending, Torchrun
from safeguards.tracking import RunReader
from tests.helpers.killing import killed_before
from tests.pipelines.live import CONF, enthrone, scans

STEPS = ("judge", "note", "publish", "tell")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Path]:
    """A folder with a model in production and a store; what it holds grows from test to test."""
    folder = tmp_path_factory.mktemp("audit")
    shutil.copyfile(empty_database, folder / "store.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'store.db'}")
        enthrone(folder, scans(folder / "learned", seed=0))
        yield folder


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The exit code of an audit and what it printed; each test has a book of its own."""
    Shelf(root=place / "shelf", model="scans").audits.path.unlink(missing_ok=True)

    def audited(delivery: Path, *more: str) -> tuple[int, str]:
        arguments = [
            f"--config={CONF / 'audit.yaml'}",
            f"--policy={place / 'policy.yaml'}",
            f"--delivery={delivery}",
            f"--directory={place / 'shelf'}",
            *more,
        ]
        monkeypatch.setattr(sys, "argv", ["audit", *arguments])
        code = audit.command()
        told = capsys.readouterr()
        return code, told.out + told.err

    return audited


def verdicts(place: Path, delivery: Path) -> dict[str, Outcome]:
    """Of the newest job on a delivery, from its ledger."""
    files = sorted(place.glob("shelf/scans/jobs/*/01-judge/verdicts.jsonl"), key=lambda path: path.stat().st_mtime)
    found, problems = read(files[-1])
    assert problems == []
    return {verdict.measure: verdict.outcome for verdict in found}


def test_a_model_that_does_what_it_did_is_left_alone(place: Path, run) -> None:
    code, told = run(scans(place / "calm", seed=1))
    assert (code, "scans: calm" in told) == (0, True), told
    assert verdicts(place, place / "calm") == dict.fromkeys(
        ["drifted_share", "accuracy", "worst_group_accuracy", "calibration_error", "prediction_shift"], Outcome.PASS
    )
    reader = RunReader()
    (experiment,) = [one for one in reader.experiments() if one.name == "live audits"]
    (row,) = next(reader.rows(experiment.experiment_id, at_once=10))
    assert (row.name, row.outcome, row.ended) == ("live audit of scans", Outcome.PASS, "finished")
    assert row.measures["live_audit.accuracy"].margin > 0.1
    assert reader.curve(row.run_id, "safeguard/live_audit/accuracy")[0].value > 0.9


def test_the_second_alarm_of_three_opens_and_a_retraining_answers_it_once(
    place: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    weeks = [scans(place / f"negative {week}", seed=10 + week, negative=True) for week in range(3)]
    code, told = run(weeks[0])
    assert (code, "scans: alarm" in told, "drifted_share: FAIL" in told) == (0, True, True)
    assert retrained(place, weeks[0], monkeypatch) == 4
    assert run(weeks[1])[0] == 7
    assert run(weeks[1])[0] == 7  # called again it says how it ended
    assert run(weeks[2])[0] == 0  # the cooldown
    assert retrained(place, weeks[1], monkeypatch) == 3
    assert retrained(place, weeks[1], monkeypatch) == 3  # the same job
    assert retrained(place, weeks[2], monkeypatch) == 4  # answered once is answered


def retrained(place: Path, delivery: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A retraining that only a live audit opens; the training itself is ended by its safeguards at once."""
    monkeypatch.setattr(Round, "train", lambda *_: {"state": "pruned", "reason": "not trained here", "values": {}})
    monkeypatch.setattr(sys, "argv", ["retrain", *retraining(place, delivery)])
    return retrain.command()


def changed(delivery: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """The same delivery, made anew of its changed rows."""
    rows = delivery / "scans.parquet"
    change(pd.read_parquet(rows)).to_parquet(rows)
    deliver(delivery)
    return delivery


def retraining(place: Path, delivery: Path, *more: str) -> list[str]:
    return [
        f"--config={CONF / 'retrain.yaml'}",
        f"--policy={place / 'policy.yaml'}",
        f"--delivery={delivery}",
        f"--directory={place / 'shelf'}",
        "--when=audit",
        *more,
    ]


def test_a_card_that_cannot_be_written_keeps_no_answer_and_no_news_waiting(
    place: Path, run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed at every step after the ruling; told and answered once; written by the next call that can."""
    weeks = [scans(place / f"cardless {week}", seed=50 + week, negative=True) for week in range(3)]
    assert [run(week)[0] for week in weeks[:2]] == [0, 7]
    ruled = {"admitted": True, "reasons": [], "waived": [], "version": 1}
    complete = {"state": "complete", "reason": "", "values": {}}
    for name, answer in {"train": complete, "compare": {}, "seal": {}, "rule": ruled}.items():
        monkeypatch.setattr(Round, name, lambda *_, answer=answer, **__: answer)
    monkeypatch.setattr(Round, "card", no_run)
    note = f'--notice.command=[{sys.executable}, -c, \'open("told", "a").write(input() + "\\n")\']'
    arguments = retraining(place, weeks[1], note)
    for step in ("card", "answer"):
        assert killed_before(step, lambda: retrain.main(arguments)) == -signal.SIGKILL, step
    assert not (place / "told").exists()
    for _ in range(2):
        assert retrain.main(arguments) == 0
        assert "the card is not written: LookupError: there is no run 'x'; call this again" in capsys.readouterr().out
    (told,) = [json.loads(line) for line in (place / "told").read_text().splitlines()]
    assert (told["ended"], told["no_card"]) == ("promoted", "LookupError: there is no run 'x'")
    assert retrain.main(retraining(place, weeks[2])) == 4  # answered

    monkeypatch.setattr(Round, "card", written)
    assert killed_before("card-again", lambda: retrain.main(arguments)) == -signal.SIGKILL
    assert [retrain.main(arguments) for _ in range(2)] == [0, 0]
    told_again = capsys.readouterr().out
    assert ("card is not written" in told_again, told_again.count("card-again/card.html")) == (False, 2)
    assert len((place / "told").read_text().splitlines()) == 1


def no_run(*_: object) -> dict[str, str]:
    raise LookupError("there is no run 'x'")


def written(_: Round, folder: Path, *__: object) -> dict[str, str]:
    (folder / "card.html").write_text("a card")
    return {"card": "card.html"}


def test_an_alarm_about_an_earlier_champion_says_nothing_of_this_one(
    place: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Shelf(root=place / "shelf", model="scans").audits
    book.note(data="x", model="an earlier one", reasons=("drift",), trigger=Trigger(k=1, n=1))
    assert retrained(place, scans(place / "after", seed=40), monkeypatch) == 4


def test_a_group_that_is_read_badly_is_an_alarm_of_its_own(place: Path, run) -> None:
    code, told = run(scans(place / "blurred", seed=2, blurred="thin"), "--look.limit.at_most=0.9")
    found = verdicts(place, place / "blurred")
    assert (code, found["worst_group_accuracy"]) == (0, Outcome.FAIL), told
    assert found["drifted_share"] is not Outcome.FAIL
    assert "in stroke=thin" in told


def test_tighter_limits_on_the_same_delivery_alarm(place: Path, run) -> None:
    week = scans(place / "again", seed=5, blurred="thin")
    loose, tight = (f"--check.limits={{accuracy: {{at_least: {limit}}}}}" for limit in (0.1, 0.9))
    code, told = run(week, "--look.limit.at_most=0.9", loose)
    assert (code, "accuracy: PASS" in told, "scans: calm" in told) == (0, True, True), told
    code, told = run(week, "--look.limit.at_most=0.9", tight, "--trigger.k=1")
    assert (code, "accuracy: FAIL" in told, "scans: opened" in told) == (7, True, True), told


def test_rows_without_labels_are_asked_what_they_can_tell(place: Path, run) -> None:
    code, told = run(scans(place / "unlabelled", seed=3, labelled=False))
    assert code == 0, told
    wanted = dict.fromkeys(["accuracy", "worst_group_accuracy", "calibration_error"], Outcome.NOT_EVALUATED)
    assert verdicts(place, place / "unlabelled") == {
        **wanted,
        "drifted_share": Outcome.PASS,
        "prediction_shift": Outcome.PASS,
    }
    assert "the rows have no labels" in told


def test_rows_that_are_delivered_twice_are_refused(place: Path, run) -> None:
    feed = changed(scans(place / "twice", seed=35), lambda rows: pd.concat([rows, rows], ignore_index=True))
    code, told = run(feed)
    assert (code, "of another; deliver each row once" in told) == (6, True), told


@pytest.mark.parametrize(("share", "accuracy"), [(0.5, Outcome.PASS), (1.0, Outcome.NOT_EVALUATED)])
def test_rows_whose_labels_come_later_are_asked_what_they_can_tell(
    share: float, accuracy: Outcome, place: Path, run
) -> None:
    """A column of labels with gaps, or with nothing else, is no broken feed where it was announced."""

    def gaps(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(digit=rows["digit"].where(np.random.default_rng(0).random(len(rows)) >= share))

    week = changed(scans(place / f"later {share}", seed=36 + int(share)), gaps)
    code, told = run(week)
    assert code == 0, told
    found = verdicts(place, week)
    assert found["accuracy"] == accuracy
    assert (found["prediction_shift"], found["drifted_share"]) == (Outcome.PASS, Outcome.PASS)


def test_labels_that_nobody_announced_as_missing_are_a_broken_feed(place: Path, run) -> None:
    code, told = run(scans(place / "lost labels", seed=4, labelled=False), "--labels=[]")
    assert (code, "column 'digit': column missing" in told) == (6, True), told


def test_killed_at_every_step_it_ends_as_if_nothing_had_happened(place: Path, run) -> None:
    first, second = (scans(place / name, seed=20 + at, negative=True) for at, name in enumerate(("k1", "k2")))
    assert run(first)[0] == 0
    command = f'--notice.command=[{sys.executable}, -c, \'open("said", "a").write(input())\']'
    for step in STEPS:
        assert killed_before(step, lambda: run(second, command)) == -signal.SIGKILL, step
    assert run(second, command)[0] == 7
    noted = Shelf(root=place / "shelf", model="scans").audits.past()
    assert [audit.opened for audit in noted] == [False, True]
    said = [json.loads(line) for line in (place / "said").read_text().replace("}{", "}\n{").splitlines()]
    assert {one["ended"] for one in said} == {"opened"}
    assert len({one["job"] for one in said}) == 1
    reader = RunReader()
    (experiment,) = [one for one in reader.experiments() if one.name == "live audits"]
    rows = next(reader.rows(experiment.experiment_id, at_once=100))
    assert len([row for row in rows if row.ledger == rows[0].ledger]) == 1


def test_an_audit_that_breaks_is_told_as_what_it_is(place: Path, run) -> None:
    """Its book is damaged: the line is told, once, and the book is not taken for calm."""
    book = Shelf(root=place / "shelf", model="scans").audits
    book.path.write_text("no audit\n")
    command = f'--notice.command=[{sys.executable}, -c, \'open("broke", "a").write(input() + "\\n")\']'
    week = scans(place / "broken", seed=70)
    for _ in range(2):
        code, told = run(week, command)
        assert (code, "audits.jsonl:1 is no live audit" in told) == (1, True), told
    (one,) = [json.loads(line) for line in (place / "broke").read_text().splitlines()]
    assert (one["what"], one["ended"], "audits.jsonl:1" in one["why"]) == ("live audit", "broke", True)


def test_earlier_audits_keep_their_jobs_as_long_as_the_configuration_says(place: Path, run) -> None:
    """Three audits of a delivery, under other limits each time; how many are kept makes no other audit of one."""
    week = scans(place / "kept", seed=60)

    def audited(limit: float, keep: int) -> Path:
        code, told = run(week, f"--check.limits={{accuracy: {{at_least: {limit}}}}}", f"--keep={keep}")
        assert code == 0, told
        return Path(told.splitlines()[-1].strip())

    jobs = [audited(limit, keep=5) for limit in (0.1, 0.2)]
    assert audited(0.2, keep=1) == jobs[1]
    assert [job.is_dir() for job in jobs] == [False, True]
    assert audited(0.3, keep=0) not in jobs
    assert [job.is_dir() for job in jobs] == [False, False]
    assert run(week, "--keep=-1")[0] == 2


def test_two_at_once(place: Path, run) -> None:
    with only_one(place / "shelf" / "scans", "live audit of scans"):
        code, told = run(place / "calm")
    assert (code, "another live audit of scans is at work" in told) == (5, True)


def test_without_a_model_in_production_there_is_nothing_to_audit(place: Path, run) -> None:
    code, told = run(place / "calm", "--model=other")
    assert (code, "there is no model in production" in told) == (4, True)


SLIPS = [
    ("--check.limits={acuracy: {at_least: 0.5}}", "there is no measure 'acuracy'"),
    ("--trigger.k=5", "1 <= k <= n"),
    ("--trigger.kk=1", "there is no key 'trigger.kk'"),
]


@pytest.mark.parametrize(("wrong", "said"), SLIPS)
def test_a_slip_of_the_pen_is_one_line(place: Path, run, wrong: str, said: str) -> None:
    code, told = run(place / "calm", wrong)
    assert (code, len(told.splitlines())) == (2, 1)
    assert said in told


def test_the_texts_and_the_code_agree_on_the_exit_codes() -> None:
    assert list(audit.CODES.values()).count(audit.OPENED) == 1  # nothing else ends so
    told = (CONF / "audit.yaml").read_text().partition("model:")[0]
    for code in {*audit.CODES.values(), 1, 2, 5, 6}:
        assert f" {code} " in told.replace("\n#", "").replace(":", " ")
        assert f" {code} " in f"{audit.__doc__}".replace("\n", " ").replace(":", " ")
    assert yaml.safe_load((CONF / "audit.yaml").read_text())["model"] == "scans"


def test_what_a_search_finds_is_trained_after_the_champions_own_values(
    place: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search of a retraining by its command: the champion's rate, 0.003, is tried first, the best is trained."""
    tried: list[float] = []

    def ends(_: Torchrun, arguments: list[str], folder: Path, __: object) -> Ending:
        job = yaml.safe_load(Path(arguments[0].removeprefix("--config=")).read_text())
        tried.append(job["model"]["init_args"]["learning_rate"])
        if len(tried) == 3:
            return Ending(state="pruned", reason="not trained here")
        kept = dict.fromkeys(["fairness/worst_group_accuracy", "adversarial/robust_accuracy"], -0.1)
        violations = {**kept, "overfitting/generalization_gap": -0.1}
        return Ending(state="complete", values={"val_loss": 1.0 / len(tried)}, violations=violations)

    monkeypatch.setattr(Torchrun, "run", ends)
    (place / "search.yaml").write_text(
        yaml.safe_dump(
            {
                "search": {
                    "space": {"model.init_args.learning_rate": {"type": "float", "low": 0.001, "high": 0.1}},
                    "objective": {"val_loss": "minimize"},
                    "trials": 2,
                }
            }
        )
    )
    arguments = [
        f"--config={CONF / 'retrain.yaml'}",
        f"--config={place / 'search.yaml'}",
        f"--policy={place / 'policy.yaml'}",
        f"--delivery={scans(place / 'searched', seed=30)}",
        f"--directory={place / 'shelf'}",
    ]
    monkeypatch.setattr(sys, "argv", ["retrain", *arguments])
    assert retrain.command() == 3
    assert (len(tried), tried[0]) == (3, 0.003)
    assert tried[2] == tried[1] != 0.003
