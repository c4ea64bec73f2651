"""A real ``mlflow server`` on loopback that tests may kill, stop and start again: six seconds of a core each time."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

__all__ = ["QUIET", "Server"]

START_SECONDS = 240.0
FIRST = "/api/2.0/mlflow/experiments/get?experiment_id=0"
"""It opens the database for the first who asks of it, which takes seconds that no client under test should wait."""
QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""Its own jobs are eight interpreters more, which no test asks for anything."""


class Server:
    """Over the copy of an empty database in ``folder``; not started yet. Its processes are a group of their own.

    ``port`` is for it alone, also while it is down.
    """

    def __init__(self, folder: Path, empty_database: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.uri = f"http://127.0.0.1:{self.port}"
        self.database, self.artifacts = folder / "mlflow.db", folder / "artifacts"
        shutil.copyfile(empty_database, self.database)
        self.artifacts.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        """Running, and answering what it is asked of its database; on the same port each time."""
        if self._process is not None:
            return
        command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        places = [
            f"--backend-store-uri=sqlite:///{self.database}",
            f"--artifacts-destination={self.artifacts.as_uri()}",
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command, *places],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **QUIET},
                start_new_session=True,
            )
        for _ in range(int(START_SECONDS / 0.1)):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}{FIRST}", timeout=START_SECONDS):
                return
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.1)
        raise AssertionError("no answer")

    def kill(self) -> None:
        """SIGKILL, to all of its processes; again is harmless."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        """SIGSTOP: it accepts connections and never answers."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)
