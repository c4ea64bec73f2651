"""The manifests of docs/schedules: parsed, and each command, configuration and exit code that they name is there."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import yaml

from pipelines import audit, retrain
from pipelines.codes import FAILURES

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "schedules"
PAGE = (ROOT / "docs" / "retraining.md").read_text()
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())
CODES = {"retrain": set(retrain.CODES.values()), "audit": set(audit.CODES.values())}
BROKEN = set(FAILURES.values())
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


def test_airflow_skips_what_is_no_failure() -> None:
    found = constants(FOLDER / "airflow_dag.py")
    assert set(found["ANSWERS"]) == CODES["retrain"] - {0}
    assert found["OPENED"] == audit.OPENED
    assert found["NOTHING_OPENED"] not in BROKEN | ANSWERS
    assert pipelines_called(FOLDER / "airflow_dag.py") == {"retrain", "audit"}


class Double:
    """Stands in for what Airflow would make of its arguments."""

    made: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, *_: object, **given: Any) -> None:
        self.made.append(given)

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...
    def __rshift__(self, other: object) -> None: ...


@pytest.mark.parametrize(("audited", "ends"), [(0, 99), (7, 0), (5, 5), (6, 6)])
def test_airflow_retrains_after_an_audit_that_opened(
    audited: int, ends: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {"airflow": {"DAG": Double}, "airflow.providers.standard.operators.bash": {"BashOperator": Double}}
    for name, content in modules.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**content))
    monkeypatch.setattr(Double, "made", [])
    runpy.run_path(str(FOLDER / "airflow_dag.py"))
    (task,) = [one for one in Double.made if one.get("task_id") == "audit"]
    script = task["bash_command"].replace("/srv/scans", str(tmp_path))
    assert ran(script, tmp_path, {"audit": audited, "retrain": 0}) == (ends, ["pipelines.audit"])
    assert task["skip_on_exit_code"] == 99


def test_dagster_tries_again_what_may_end_otherwise() -> None:
    found = constants(FOLDER / "dagster_job.py")
    assert set(found["ANSWERS"]) == {0} | ANSWERS
    assert (set(found["FINAL"]), found["OPENED"]) == (NO_RETRY_CHANGES, audit.OPENED)
    assert pipelines_called(FOLDER / "dagster_job.py") == {"retrain", "audit"}


@pytest.mark.parametrize(("name", "column"), [("retrain", 1), ("audit", 2)])
def test_the_page_has_each_exit_code(name: str, column: int) -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if re.match(r"\| \d", line)
    ]
    assert {int(row[0]) for row in rows if row[column]} == CODES[name] | BROKEN
