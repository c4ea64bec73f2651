"""The main job, run as a user runs it: a command, two processes, one answer."""

import re
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.demo import STUDIES, guards, main, what_rows_show
from safeguards import Moment, Outcome, Verdict
from tests.helpers.launch import run

TOPICS = ("overfitting", "fairness", "adversarial", "drift")
NUMBER, INTERVAL = r"[\d.e-]+", r"\[[\d.e-]+, [\d.e-]+\]"
LIMIT, COST = rf"at (?:most|least) {NUMBER}", rf"{NUMBER} s, {NUMBER}% of fit"
ROW = rf"^(\w+) +\w+ +(?:PASS|WARN|FAIL|INCONCLUSIVE) +{NUMBER} +{INTERVAL} +{LIMIT} +\d+ +{COST}$"
LATE = r"^tracking: .* has not answered within \d+ s, training goes on\n"  # of a machine with other work, and true


def verdict(outcome, measure="m", rows_to_decide=None):
    moment = Moment(stage="validate", epoch=0, step=0)
    return Verdict(
        safeguard="s", measure=measure, outcome=outcome, reason="", moment=moment, rows_to_decide=rows_to_decide
    )


def test_what_rows_show_is_nothing_more_when_all_is_decided():
    assert what_rows_show([verdict(Outcome.PASS), verdict(Outcome.FAIL, "other")], 137, "patients") == ""


def test_what_rows_show_counts_the_last_verdict_of_each_measure_only():
    told = [verdict(Outcome.INCONCLUSIVE), verdict(Outcome.PASS)]
    assert what_rows_show(told, 137, "patients") == ""


def test_what_rows_show_names_the_easiest_and_the_hardest():
    told = what_rows_show(
        [
            verdict(Outcome.INCONCLUSIVE, "far", rows_to_decide=1600),
            verdict(Outcome.INCONCLUSIVE, "near", rows_to_decide=400),
            verdict(Outcome.INCONCLUSIVE, "unknown"),
        ],
        137,
        "patients",
    )
    assert "137 patients do not tell" in told
    assert told.endswith("it would take about 400 for near, and 1,600 for far.")


def test_what_rows_show_says_so_without_a_number_where_there_is_none():
    told = what_rows_show([verdict(Outcome.INCONCLUSIVE)], 137, "patients")
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


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return {data: tmp_path_factory.mktemp(data) for data in STUDIES}


@pytest.fixture(scope="module")
def jobs(places):
    """Each study by its command; the one runs while the processes of the other wait for each other."""

    def job(data):
        return run([sys.executable, "-m", "pipelines.demo", "--data", data], cwd=places[data], check=False)

    with ThreadPoolExecutor() as pool:
        return dict(zip(STUDIES, pool.map(job, STUDIES), strict=True))


@pytest.mark.parametrize("data", sorted(STUDIES))
def test_the_job_answers_once_on_two_processes(places, jobs, data):
    done = jobs[data]
    assert (done.returncode, re.sub(LATE, "", done.stderr, flags=re.M)) == (0, "")
    judged = re.findall(ROW, done.stdout, flags=re.M)
    assert set(judged) == set(TOPICS)
    assert done.stdout.count("safeguards: ") == done.stdout.count("epoch 12 of 12") == 1
    assert "ERROR" not in done.stdout
    for what, file in (("drift report", r"drift-\S+\.html"), ("all verdicts", r"verdicts\.jsonl")):
        (path,) = re.findall(rf"{what}: (demo/safeguards/\S+/{file})$", done.stdout, flags=re.M)
        assert (places[data] / path).is_file()
    (told,) = re.findall(r"^MLflow run: +(\w+); to see it: .*sqlite:///demo/mlflow\.db$", done.stdout, flags=re.M)
    with sqlite3.connect(places[data] / "demo" / "mlflow.db") as store:
        assert store.execute("select run_uuid, status from runs").fetchall() == [(told, "FINISHED")]
