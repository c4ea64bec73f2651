"""The main job, run as a user runs it: a command, two processes, one answer."""

import re
import sqlite3
import sys

import pytest

from pipelines.demo import STUDIES, guards, main, what_rows_show
from safeguards import Limit, Moment, Outcome, Verdict
from tests.helpers.launch import run

TOPICS = ("overfitting", "fairness", "adversarial", "drift")


def verdict(outcome, measure="m", value=0.1, interval=(0.0, 0.3), n=100):
    return Verdict(
        safeguard="s", measure=measure, outcome=outcome, reason="", value=value, interval=interval, n=n,
        limit=Limit(at_most=0.2), moment=Moment(stage="validate", epoch=0, step=0),
    )  # fmt: skip


def test_what_rows_show_is_nothing_more_when_all_is_decided():
    assert what_rows_show([verdict(Outcome.PASS), verdict(Outcome.FAIL, "other")], 137, "patients") == ""


def test_what_rows_show_counts_the_last_verdict_of_each_measure_only():
    told = [verdict(Outcome.INCONCLUSIVE), verdict(Outcome.PASS)]
    assert what_rows_show(told, 137, "patients") == ""


def test_what_rows_show_names_the_easiest_and_the_hardest():
    told = what_rows_show(
        [
            verdict(Outcome.INCONCLUSIVE, "near"),  # half-width 0.2, distance 0.1: four times the rows
            verdict(Outcome.INCONCLUSIVE, "far", interval=(0.0, 0.5)),  # half-width 0.4: sixteen times
            verdict(Outcome.INCONCLUSIVE, "unknown", interval=None),
        ],
        137,
        "patients",
    )
    assert "137 patients do not tell" in told
    assert told.endswith("it would take about 400 for near, and 1,600 for far.")


def test_what_rows_show_says_so_without_a_number_where_there_is_none():
    told = what_rows_show([verdict(Outcome.INCONCLUSIVE, interval=None)], 137, "patients")
    assert told.endswith("beyond it.")


@pytest.mark.parametrize("data", sorted(STUDIES))
def test_each_study_has_the_four_safeguards(data):
    study = STUDIES[data]()
    assert {guard.topic for guard in guards(study)} == set(TOPICS)
    assert set(study.groups.values()) <= set(study.data.rows("validation").groups)


def test_an_attacker_leaves_age_and_sex_of_a_patient_alone():
    study = STUDIES["diabetes"]()
    fixed = {
        name for name, may_change in zip(study.data.feature_names, study.threat.mutable, strict=True) if not may_change
    }
    assert fixed == {"age", "sex=1", "sex=2"}


def test_a_wrong_data_set_is_a_wrong_command_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--data", "diabets"])
    assert stopped.value.code == 2
    assert "choose from" in capsys.readouterr().err


@pytest.mark.parametrize("data", sorted(STUDIES))
def test_the_job_answers_once_on_two_processes(tmp_path, data):
    done = run([sys.executable, "-m", "pipelines.demo", "--data", data], cwd=tmp_path, timeout=150)
    assert done.stderr == ""
    judged = re.findall(r"^(\w+) +\w+ +(?:PASS|WARN|FAIL|INCONCLUSIVE) ", done.stdout, flags=re.M)
    assert set(judged) == set(TOPICS)
    assert done.stdout.count("safeguards: ") == done.stdout.count("epoch 12 of 12") == 1
    assert "ERROR" not in done.stdout
    for path in re.findall(r"(?:report|verdicts): (demo/\S+)", done.stdout):
        assert (tmp_path / path).is_file()
    with sqlite3.connect(tmp_path / "demo" / "mlflow.db") as store:
        assert store.execute("select status from runs").fetchall() == [("FINISHED",)]
