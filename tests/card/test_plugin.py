"""The review page inside a real `mlflow server`, as the entry point of pyproject.toml gives it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safeguards.card.plugin import create_app
from safeguards.core.errors import ConfigurationError
from tests.helpers.markup import Parsed
from tests.helpers.mlflow_server import QUIET
from tests.helpers.ports import held_port
from tests.helpers.runs import kept, verdict

ROOT = Path(__file__).parents[2]
UP_SECONDS = 240
PREFIX = "/ml"


def installed(place: Path) -> Path:
    """A folder that looks as if the wheel had been installed into it: what MLflow finds is what pyproject.toml says."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["mlflow.app"]
    told = place / "safeguards_here-1.0.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: safeguards-here\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (told / "entry_points.txt").write_text("\n".join(["[mlflow.app]", *lines, ""]))
    return place


def asked(address: str, method: str = "GET", **headers: str) -> tuple[int, Any, str]:
    request = urllib.request.Request(address, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def is_up(process: subprocess.Popen[bytes], address: str) -> bool:
    """Once it answers; False where it ended."""
    until = time.monotonic() + UP_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            return asked(f"{address}{PREFIX}/health")[0] == 200
        except OSError:
            time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[tuple[str, str, Path]]:
    """Its address, the run that it holds, whose artifacts it proxies, and its database."""
    place = tmp_path_factory.mktemp("inside")
    database = place / "mlflow.db"
    shutil.copyfile(empty_database, database)
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "safeguards", "--host", "127.0.0.1"]
    command += ["--workers", "1", "--static-prefix", PREFIX]
    command += ["--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(place / "kept")]
    path = os.pathsep.join([str(installed(place / "site")), os.environ["PYTHONPATH"]])
    environment = {**os.environ, **QUIET, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    with held_port() as port, (place / "log").open("wb") as log:
        command += ["--port", str(port)]
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            assert is_up(process, address), (place / "log").read_text()[-3000:]
            yield address, recorded(place, f"{address}{PREFIX}"), database
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def recorded(place: Path, uri: str) -> str:
    """A run that was tracked through the server, artifacts and all."""
    from mlflow.tracking import MlflowClient

    client: Any = MlflowClient(uri)
    experiment = client.create_experiment("inside")
    return kept(client, experiment, "<b>inside</b>", [verdict(outcome="FAIL")], place=place)


def test_the_page_is_there_read_only_and_behind_the_servers_own_checks(server: tuple[str, str, Path]) -> None:
    address, run, _ = server
    review = f"{address}{PREFIX}/safeguards"
    code, headers, page = asked(f"{review}/runs/{run}")
    seen = Parsed(page)
    assert code == 200, page
    assert "fairness gap ✕ FAIL 0.3" in seen.text, "the ledger was read by way of the server's own artifacts"
    assert seen.handlers == []
    assert seen.of("script") == [{"src": f"{PREFIX}/safeguards/static/review.js", "defer": None}]
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert asked(f"{review}/static/review.css")[0] == 200
    assert '"measure": "gap"' in asked(f"{review}/runs/{run}/files/safeguards/verdicts.jsonl")[2]
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert asked(f"{review}/runs/{run}", method)[0] in (403, 405)
    assert asked(f"{review}/runs/nothing")[0] == 404
    foreign = asked(f"{review}/runs/{run}", Host="evil.example")
    assert foreign[0] == asked(f"{address}{PREFIX}/ajax-api/2.0/mlflow/runs/get?run_id={run}", Host="evil.example")[0]
    assert foreign[0] == 403
    assert run not in foreign[2]
    assert asked(f"{address}{PREFIX}/")[0] == 200, "MLflow's own page is where it was"


def test_where_users_are_configured_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    with pytest.raises(ConfigurationError, match="knows no workspaces"):
        create_app()
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", "/etc/mlflow/auth.ini")
    with pytest.raises(ConfigurationError, match="knows no users"):
        create_app()
