"""A PostgreSQL server of one's own, on loopback and for as long as it is wanted.

    python -m tests.helpers.postgres make test

runs the command with the server's address in SAFEGUARDS_POSTGRES_URL, and exits as it did. The programs are those of
the system's package (``apt-get install -y postgresql``), the data lie in a temporary folder, no other server is
touched, and the password is drawn.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.ports import held_port

__all__ = ["ADDRESS", "binary", "main", "serving"]

ADDRESS = "SAFEGUARDS_POSTGRES_URL"
PACKAGED = "/usr/lib/postgresql/*/bin"
USER = "safeguards"
AS_ROOT = "postgres"
START_SECONDS = "60"
# Nothing of it outlives the tests, so nothing has to reach the disk.
HASTE = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"


def binary(name: str) -> str:
    """The path of a server's program, the newest packaged one unless PATH has it; ``FileNotFoundError`` with the
    remedy.
    """
    packaged = sorted(Path("/").glob(f"{PACKAGED[1:]}/{name}"), key=lambda path: int(path.parts[-3]))
    found = shutil.which(name) or (str(packaged[-1]) if packaged else None)
    if found is None:
        raise FileNotFoundError(f"there is no {name}: apt-get install -y postgresql")
    return found


@contextmanager
def serving() -> Iterator[str]:
    """A running server; its address, with a password, for SQLAlchemy. It has ended with all it started afterwards.

    PostgreSQL refuses to run as root; there it runs as the user that its package has made.
    """
    owner = AS_ROOT if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="safeguards-postgres-") as place, held_port() as port:
        if owner is not None:
            shutil.chown(place, owner)
        data, secret, password = f"{place}/data", Path(place, "password"), secrets.token_urlsafe()
        secret.write_text(password)

        def run(name: str, *arguments: str) -> None:
            log = Path(place, f"{name}.txt")
            with log.open("w") as told:
                done = subprocess.run(
                    [binary(name), "-D", data, *arguments], user=owner, cwd=place, stdout=told, stderr=told, check=False
                )
            assert done.returncode == 0, f"{name} ended with {done.returncode}: {log.read_text()}"

        run("initdb", "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--no-locale", "--no-sync")
        heard = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' {HASTE}"
        try:
            run("pg_ctl", "-w", "-t", START_SECONDS, "-l", f"{data}/log", "-o", heard, "start")
            yield f"postgresql+psycopg://{USER}:{password}@127.0.0.1:{port}/postgres"
        finally:
            if Path(data, "postmaster.pid").exists():
                run("pg_ctl", "-w", "-m", "immediate", "stop")


def main(command: Sequence[str]) -> int:
    """The exit code of the command, which had a server."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with serving() as address:
        return subprocess.run(command, env={**os.environ, ADDRESS: address}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
