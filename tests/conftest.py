"""Shared by every test: quiet libraries, one thread per process, the same random states, short waits in the processes
that it starts, a rule for browser tests.
"""

import os
import random
import sys
from collections.abc import Generator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers.children import surroundings

os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(surroundings(os.environ))
# The same examples each time, and no limit of time: on a busy machine an example waits for its turn, which is no fault.
CALM = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("suite", derandomize=True, **CALM)
settings.register_profile("explore", max_examples=1000, **CALM)  # by --hypothesis-profile=explore
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "a skipped test with this marker counts as failed; may be given several times"
    parser.addoption("--no-skip", metavar="MARKER", action="append", default=[], help=told)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """A test draws the same alone as in the suite, whose files are dealt out to processes as those become free."""
    random.seed(0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    for marker in item.config.getoption("--no-skip"):
        if report.skipped and item.get_closest_marker(marker):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped under --no-skip={marker}: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with all tables and no runs."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with chdir(path.parent):  # beside which the default experiment keeps its artifacts, in every copy
        MlflowClient(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Generator[Any, None, None]:
    """A real ``mlflow server`` on loopback, which a test starts with ``up()``."""
    from tests.helpers.mlflow_server import Server
    from tests.helpers.ports import held_port

    with held_port() as port:
        server = Server(tmp_path_factory.mktemp("server"), empty_database, port)
        yield server
        server.kill()
