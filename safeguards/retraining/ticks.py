"""When each job of a schedule is due, was begun and has ended: what must outlive the scheduler.

Only plain numbers and names are kept, and what is no number is passed over: whoever can write to the store can move a
job in time, and run nothing. What a job is comes from the schedule's configuration alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards.core.errors import ConfigurationError, SafeguardError
from safeguards.core.redact import redact

if TYPE_CHECKING:
    from sqlalchemy.engine import CursorResult, Engine

__all__ = ["Ticks"]

SQLITE = "sqlite:///"
LAST = 4e9  # seconds since 1970: beyond the year 2096 no schedule looks
MAKE = """CREATE TABLE IF NOT EXISTS safeguards_schedule (
    job VARCHAR(200) PRIMARY KEY, cron VARCHAR(200) NOT NULL,
    due DOUBLE PRECISION, claimed DOUBLE PRECISION, begun DOUBLE PRECISION, code INTEGER)"""


class Ticks:
    """The store at ``address``, any that SQLAlchemy opens; moments are seconds since 1970, UTC.

    Raises `ConfigurationError` for an address that opens nothing; methods raise `SafeguardError` when the store fails.
    """

    def __init__(self, address: str) -> None:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import SQLAlchemyError

        try:
            if address.startswith(SQLITE):
                Path(address.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
            self._engine: Engine = create_engine(address)
            with self._engine.begin() as connection:
                connection.exec_driver_sql(MAKE)
        except (SQLAlchemyError, ImportError, OSError) as error:
            raise ConfigurationError(f"store: {_said(error)}; give an address such as sqlite:///schedule.db") from None

    def know(self, job: str, cron: str) -> None:
        """A job of the schedule. One whose ``cron`` is another than before has not been due yet."""
        found = self._ask("SELECT cron FROM safeguards_schedule WHERE job = :job", job=job)
        if not found:
            self._tell("INSERT INTO safeguards_schedule (job, cron) VALUES (:job, :cron)", job=job, cron=cron)
        elif found[0][0] != cron:
            self._tell("UPDATE safeguards_schedule SET cron = :cron, due = NULL WHERE job = :job", job=job, cron=cron)

    def due(self, job: str) -> float | None:
        """When the job is due next, or was while nobody was there; None where nothing says so."""
        found = self._ask("SELECT due FROM safeguards_schedule WHERE job = :job", job=job)
        return _moment(found[0][0]) if found else None

    def put_off(self, job: str, until: float | None) -> None:
        """The job is due next at this moment."""
        self._tell("UPDATE safeguards_schedule SET due = :until WHERE job = :job", job=job, until=until)

    def claim(self, job: str, moment: float, *, following: float | None = None) -> bool:
        """Whether this scheduler is the one that runs what was due at ``moment``: of several one is told so.

        In the same statement the job is due next at ``following``, unless it was called for after ``moment``.

        A claim that lies beyond now is none: a clock that once was ahead made it, or somebody who wrote no number,
        which SQLite counts as greater than any.
        """
        claimed = self._tell(
            "UPDATE safeguards_schedule SET claimed = :moment, begun = :moment, "
            "due = CASE WHEN due > :moment THEN due ELSE :following END "
            "WHERE job = :job AND (claimed IS NULL OR claimed < :moment OR claimed > :now)",
            job=job,
            moment=moment,
            following=following,
            now=time.time(),
        )
        return claimed == 1

    def pass_over(self, job: str, moment: float, *, following: float | None) -> None:
        """What was due at ``moment`` is not run: the job is due next at ``following``, as when it is claimed."""
        self._tell(
            "UPDATE safeguards_schedule SET due = :following WHERE job = :job AND (due IS NULL OR due <= :moment)",
            job=job,
            moment=moment,
            following=following,
        )

    def is_claimed(self, job: str, moment: float) -> bool:
        """Whether a run was claimed for this moment or a later one, and not from beyond now."""
        found = self._ask("SELECT claimed FROM safeguards_schedule WHERE job = :job", job=job)
        claimed = _moment(found[0][0]) if found else None
        return claimed is not None and moment <= claimed <= time.time()

    def end(self, job: str, code: int | None = None, *, then: str | None = None) -> None:
        """The run that was claimed has ended, with this exit code, or was too late to begin; in the same statement the
        job that it calls for is due.
        """
        self._tell(
            "UPDATE safeguards_schedule SET begun = CASE WHEN job = :job THEN NULL ELSE begun END, "
            "code = CASE WHEN job = :job THEN :code ELSE code END, "
            "due = CASE WHEN job = :follower THEN :now ELSE due END WHERE job IN (:job, :follower)",
            job=job,
            code=code,
            follower=then or "",
            now=time.time(),
        )

    def interrupted(self, job: str) -> bool:
        """Whether a run was claimed and has not ended: it runs, or its scheduler was killed."""
        found = self._ask("SELECT begun FROM safeguards_schedule WHERE job = :job", job=job)
        return bool(found) and _moment(found[0][0]) is not None

    def code(self, job: str) -> int | None:
        """The exit code of the last run; None where there was none, or it was missed."""
        found = self._ask("SELECT code FROM safeguards_schedule WHERE job = :job", job=job)
        return found[0][0] if found and isinstance(found[0][0], int) else None

    def _ask(self, statement: str, **values: Any) -> list[Any]:
        """As the driver gives it: no type of SQLAlchemy's reads a value, least of all one that unpickles."""
        with self._told(statement, values) as done:
            return list(done)

    def _tell(self, statement: str, **values: Any) -> int:
        with self._told(statement, values) as done:
            return int(done.rowcount)

    @contextmanager
    def _told(self, statement: str, values: Mapping[str, Any]) -> Iterator[CursorResult[Any]]:
        from sqlalchemy import text
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._engine.begin() as connection:
                yield connection.execute(text(statement), dict(values))
        except SQLAlchemyError as error:
            raise SafeguardError(f"the store of the schedule fails: {_said(error)}") from None


def _moment(value: object) -> float | None:
    """A moment that a schedule can mean; anything else that lies in the store is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value) if 0 <= value < LAST else None


def _said(error: Exception) -> str:
    """Its first line, without the statement and without a password."""
    lines = str(getattr(error, "orig", None) or error).splitlines()
    return redact(lines[0] if lines else type(error).__name__)
