"""The manifests of docs/schedules: parsed, and each command, configuration and exit code that they name is there."""

from __future__ import annotations

import ast
import os
import re
import runpy
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import yaml

from pipelines import audit, retrain
from pipelines.codes import FAILURES
from pipelines.told import TOLD_TO_END

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "schedules"
PAGE = (ROOT / "docs" / "retraining.md").read_text()
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())
CODES = {"retrain": set(retrain.CODES.values()), "audit": set(audit.CODES.values())}
BROKEN = {*FAILURES.values(), TOLD_TO_END}
ANSWERS = (CODES["retrain"] | CODES["audit"]) - {0}
NO_RETRY_CHANGES = {2, 6}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_a_manifest_names_is_there(path: Path) -> None:
    text = path.read_text()
    named = set(re.findall(r"pipelines\.(\w+)", text)) - {"pipeline"}
    for name in named:
        assert (ROOT / "pipelines" / f"{name}.py").is_file(), name
    for name in set(re.findall(r"conf/[\w/]+\.yaml", text)) | set(re.findall(r"docs/[\w/]+\.md", text)):
        assert (ROOT / name).is_file(), name
    assert "audit" in text
    assert "retrain" in text


def crontab() -> list[tuple[str, str]]:
    lines = [line for line in (FOLDER / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    jobs = [line for line in lines if not re.match(r"^[A-Z]+=", line)]
    return [(" ".join(line.split()[:5]), line.split(maxsplit=5)[5]) for line in jobs]


def test_each_line_of_the_crontab_is_one() -> None:
    from apscheduler.triggers.cron import CronTrigger

    assert len(crontab()) == 2
    for times, command in crontab():
        CronTrigger.from_crontab(times, timezone="UTC")
        assert "%" not in command  # cron takes it for a new line


def ran(script: str, place: Path, codes: dict[str, int]) -> tuple[int, list[str]]:
    """The exit code of a script, and the pipelines that it called, each of which ends with its code here."""
    python = place / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    answers = "\n".join(f"  pipelines.{name}) exit {code};;" for name, code in codes.items())
    python.write_text(f'#!/bin/sh\necho "$2" >> called\ncase "$2" in\n{answers}\nesac\n')
    python.chmod(0o755)
    (place / "called").write_text("")
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=place, env={"PROJECT": str(place), "PATH": f"{python.parent}:/usr/bin:/bin"}
    )
    return done.returncode, (place / "called").read_text().split()


@pytest.mark.parametrize("code", [0, 1, 7])
def test_cron_retrains_at_once_what_an_audit_opened(code: int, tmp_path: Path) -> None:
    (command,) = [command for _, command in crontab() if "pipelines.audit" in command]
    called = ran(command, tmp_path, {"audit": code, "retrain": 3})[1]
    assert called == ["pipelines.audit", *(["pipelines.retrain"] if code == audit.OPENED else [])]


def cronjobs() -> dict[str, dict]:
    return {one["metadata"]["name"]: one for one in yaml.safe_load_all((FOLDER / "cronjob.yaml").read_text())}


@pytest.mark.parametrize("name", ["retrain", "audit"])
def test_a_cronjob_is_what_kubernetes_takes(name: str) -> None:
    import kubernetes_validate

    found = cronjobs()[name]
    kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)
    job = found["spec"]["jobTemplate"]["spec"]
    (rule,) = job["podFailurePolicy"]["rules"]
    assert set(rule["onExitCodes"]["values"]) == NO_RETRY_CHANGES <= BROKEN
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # without it there is no policy of failures
    (container,) = job["template"]["spec"]["containers"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    assert found["spec"]["concurrencyPolicy"] == "Forbid"


def test_the_schema_refuses_what_kubernetes_does_not_know() -> None:
    import kubernetes_validate

    found = cronjobs()["audit"]
    found["spec"]["sheduleTypo"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize(
    ("name", "audited", "retrained", "ends", "calls"),
    [
        ("retrain", 0, 0, 0, ["retrain"]),
        ("retrain", 0, 3, 0, ["retrain"]),
        ("retrain", 0, 4, 0, ["retrain"]),
        ("retrain", 0, 6, 6, ["retrain"]),
        ("audit", 0, 0, 0, ["audit"]),
        ("audit", 7, 3, 0, ["audit", "retrain"]),
        ("audit", 7, 1, 1, ["audit", "retrain"]),
        ("audit", 5, 0, 5, ["audit"]),
    ],
)
def test_answers_end_a_job_well(
    name: str, audited: int, retrained: int, ends: int, calls: list[str], tmp_path: Path
) -> None:
    (container,) = cronjobs()[name]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["sh", "-c"]
    found = ran(container["args"][0], tmp_path, {"audit": audited, "retrain": retrained})
    assert found == (ends, [f"pipelines.{call}" for call in calls])


@pytest.mark.parametrize("name", ["audit", "retrain"])
def test_a_pod_that_is_told_to_end_tells_its_pipeline_and_waits_for_its_end(name: str, tmp_path: Path) -> None:
    (container,) = cronjobs()[name]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    python = tmp_path / "python"
    waits = "for i in $(seq 1000); do sleep 0.02; done"
    python.write_text(f'#!/bin/sh\ntrap "sleep 0.2; echo closed; exit 143" TERM\necho "$2"\n{waits}\n')
    python.chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    with subprocess.Popen(["/bin/sh", "-c", container["args"][0]], env=path, stdout=subprocess.PIPE, text=True) as pod:
        assert pod.stdout is not None
        assert pod.stdout.readline() == f"pipelines.{name}\n"
        pod.terminate()
        assert pod.wait(60) == 143
        os.set_blocking(pod.stdout.fileno(), False)
        assert pod.stdout.read() == "closed\n"


def constants(path: Path) -> dict[str, object]:
    """Plain values that a file gives names to; it parses, and is not run: what it imports is not installed."""
    tree = ast.parse(path.read_text())
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def pipelines_called(path: Path) -> set[str]:
    texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    return texts & {file.stem for file in (ROOT / "pipelines").glob("*.py")}


class Skipped(Exception):
    """Stands in for Airflow's word for a task that is skipped."""


class Failed(Exception):
    """Stands in for Airflow's word for a task that is not tried again."""


class Double:
    """Stands in for what Airflow would make of its arguments."""

    made: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, *_: object, **given: Any) -> None:
        self.made.append(given)

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...
    def __rshift__(self, other: object) -> None: ...


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the file of DAGs defines, with Airflow replaced."""
    modules = {
        "airflow.sdk": {"DAG": Double},
        "airflow.sdk.exceptions": {"AirflowFailException": Failed, "AirflowSkipException": Skipped},
        "airflow.providers.standard.operators.python": {"PythonOperator": Double},
    }
    for name, content in modules.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**content))
    monkeypatch.setattr(Double, "made", [])
    return runpy.run_path(str(FOLDER / "airflow_dag.py"))


def test_airflow_has_a_task_for_each_pipeline(airflow: dict[str, Any]) -> None:
    tasks = [one for one in Double.made if "task_id" in one]
    assert [one["task_id"] for one in tasks] == ["retrain", "audit", "retrain"]
    assert all(one["python_callable"] is airflow["run"] and one["op_args"] == [one["task_id"]] for one in tasks)
    assert [one["default_args"]["retries"] for one in Double.made if "default_args" in one] == [3, 3]


def told_by_airflow(pipeline: str, code: int) -> type[Exception] | None:
    """An answer is skipped, what no retry changes fails at once, anything else is tried again."""
    answers = CODES[pipeline] - {retrain.PROMOTED if pipeline == "retrain" else audit.OPENED}
    if code in answers:
        return Skipped
    if code in NO_RETRY_CHANGES:
        return Failed
    return RuntimeError if code in BROKEN else None


@pytest.mark.parametrize("pipeline", ["retrain", "audit"])
def test_airflow_tries_again_what_may_end_otherwise(
    pipeline: str, airflow: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(airflow["run"].__globals__, "PROJECT", str(tmp_path))
    for code in sorted(CODES[pipeline] | BROKEN):
        ran("exit 0", tmp_path, {pipeline: code})  # makes the double of python
        monkeypatch.chdir(tmp_path)
        ends = told_by_airflow(pipeline, code)
        with pytest.raises(ends, match=f"{pipeline} ended with {code}") if ends else nullcontext():
            airflow["run"](pipeline)
        assert (tmp_path / "called").read_text().split() == [f"pipelines.{pipeline}"]


def test_dagster_tries_again_what_may_end_otherwise() -> None:
    found = constants(FOLDER / "dagster_job.py")
    assert set(found["ANSWERS"]) == {0} | ANSWERS
    assert (set(found["FINAL"]), found["OPENED"]) == (NO_RETRY_CHANGES, audit.OPENED)
    assert pipelines_called(FOLDER / "dagster_job.py") == {"retrain", "audit"}


def test_dagster_is_shown_annotations_and_not_their_text() -> None:
    """It reads the class of ``context``, and loads no file in which annotations are left as they are written."""
    tree = ast.parse((FOLDER / "dagster_job.py").read_text())
    assert "__future__" not in {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}


def test_dagster_loads_its_file() -> None:
    pytest.importorskip("dagster", reason="Dagster is not installed with this project")
    defs = runpy.run_path(str(FOLDER / "dagster_job.py"))["defs"]
    assert {one.name for one in defs.get_repository_def().get_all_jobs()} >= {"retrain", "live_audit"}


def test_airflow_loads_its_file() -> None:
    pytest.importorskip("airflow", reason="Airflow is not installed with this project")
    found = runpy.run_path(str(FOLDER / "airflow_dag.py"))
    assert callable(found["run"])


@pytest.mark.parametrize(("name", "column"), [("retrain", 1), ("audit", 2)])
def test_the_page_has_each_exit_code(name: str, column: int) -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if re.match(r"\| \d", line)
    ]
    assert {int(row[0]) for row in rows if row[column]} == CODES[name] | BROKEN
