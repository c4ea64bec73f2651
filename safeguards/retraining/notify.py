"""Telling somebody how a job ended: a command that reads it, or an address of a web hook. Neither can break the job."""

from __future__ import annotations

import http.client
import json
import logging
import os
import queue
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from safeguards.core.canonical import digest_of
from safeguards.core.errors import AlreadyRunning, ConfigurationError, DataRefused, SafeguardError
from safeguards.core.files import write_whole
from safeguards.core.names import encode
from safeguards.core.redact import known_secrets, redact, redact_tree, safe_line

if TYPE_CHECKING:
    from safeguards.retraining.shelf import Shelf

__all__ = ["WEBHOOK", "Notice", "without_webhook"]

log = logging.getLogger(__name__)

WEBHOOK = "SAFEGUARDS_WEBHOOK"
LONGEST_WORD = 200  # of what a command said about its failure
DAY_SECONDS = 86400.0
OBJECT = re.compile(r"\b0x[0-9a-f]+\b")  # an address in memory, another in each process


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Where a message goes: ``command``, a list that no shell reads, gets it as JSON on standard input; ``webhook``, an
    http or https address, as the body of a POST. ``seconds`` limits each.

    An address that is a secret, as most are, belongs in the variable `WEBHOOK`, which stands for ``webhook``. It is
    shown in no message, and a redirect is not followed: it could lead the message to another host.
    """

    command: Sequence[str] | None = None
    webhook: str | None = None
    seconds: float = 10.0

    def __post_init__(self) -> None:
        if isinstance(self.command, str) or (self.command is not None and not self.command):
            raise ConfigurationError(
                f"command: {self.command!r}: expected a list of words, such as [mail, -s, done, me]"
            )
        if not self.seconds > 0:
            raise ConfigurationError(f"seconds: {self.seconds!r}: expected more than 0")
        if self.webhook is not None:
            _check(self.webhook)

    @property
    def address(self) -> str | None:
        """The configured one, else that of the environment."""
        return self.webhook or os.environ.get(WEBHOOK) or None

    def send(self, message: Mapping[str, Any], *, key: str) -> list[str]:
        """Tell it, without secrets; one sentence for each way that failed. ``key`` is the same if it is told twice."""
        secrets = known_secrets(os.environ) | ({self.address} if self.address else set())
        body = json.dumps(redact_tree({**message, "job": key}, secrets)).encode()
        failures = [self._run(body)] if self.command else []
        failures += [self._post(body, key)] if self.address else []
        return [redact(why, secrets) for why in failures if why is not None]

    def tell(self, message: Mapping[str, Any], *, key: str) -> dict[str, list[str]]:
        """`send` as a step of a job: what did not arrive is logged, and in the answer under ``failures``."""
        failures = self.send(message, key=key)
        for failure in failures:
            log.warning("how it ended was not told: %s", failure)
        return {"failures": failures}

    @contextmanager
    def of_failure(self, what: str, shelf: Shelf) -> Iterator[None]:
        """Tell how ``what``, such as "live audit", ended where it raises; the error goes on as it was raised.

        The same failure again is told once a day: a file of the shelf's keeps what was told last, until all ends well.
        What did not arrive is tried again by the next call. `AlreadyRunning` is told to nobody: who is at work tells
        how that ended.
        """
        memory = shelf.folder / f"{encode(what)}.failed"
        try:
            yield
        except AlreadyRunning:
            raise
        except Exception as error:
            try:
                self._tell(error, {"model": shelf.model, "what": what}, memory)
            except Exception as broken:  # the error that is told is the one that counts
                log.warning("how it failed was told to nobody: %s", safe_line(broken))
            raise
        with suppress(OSError):
            memory.unlink(missing_ok=True)

    def _tell(self, error: Exception, about: Mapping[str, str], memory: Path) -> None:
        why = safe_line(error if isinstance(error, SafeguardError) else f"{type(error).__name__}: {error}")
        message = {**about, "ended": "data refused" if isinstance(error, DataRefused) else "broke", "why": why}
        key = digest_of({**message, "why": OBJECT.sub("", why)})
        if not (self.command or self.address) or _told_lately(memory, key):
            return
        failures = self.send(message, key=key)
        for failure in failures:
            log.warning("how it failed was not told: %s", failure)
        if not failures:
            memory.parent.mkdir(parents=True, exist_ok=True)
            write_whole(memory, key.encode())

    def _run(self, body: bytes) -> str | None:
        assert self.command is not None  # noqa: S101 - asked before
        name = self.command[0]
        try:
            done = subprocess.run(
                list(self.command),
                input=body,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=self.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"the command {name} took longer than {self.seconds:g} seconds and was ended"
        except OSError as error:
            return f"the command {name} cannot be run: {error.strerror or type(error).__name__}"
        said = " ".join(done.stderr.decode(errors="replace").split())[:LONGEST_WORD]
        return f"the command {name} ended with {done.returncode}: {said}" if done.returncode else None

    def _post(self, body: bytes, key: str) -> str | None:
        """In a thread of its own: a server that answers letter by letter knows no time-out of a socket."""
        answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=lambda: answers.put(self._posted(body, key)), daemon=True).start()
        try:
            return answers.get(timeout=self.seconds)
        except queue.Empty:
            return self._silent

    @property
    def _silent(self) -> str:
        return f"the web hook gave no answer within {self.seconds:g} seconds"

    def _posted(self, body: bytes, key: str) -> str | None:
        """An error's own text could repeat the address; its kind cannot."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, "User-Agent": "safeguards"}
        try:
            _check(self.address or "")
            request = urllib.request.Request(self.address or "", data=body, headers=headers)  # noqa: S310 - checked
            with _OPENER.open(request, timeout=self.seconds) as answer:
                answer.read(1)
        except ConfigurationError as error:
            return str(error)
        except urllib.error.HTTPError as error:
            error.close()
            return f"the web hook answered with status {error.code}"
        except (OSError, ValueError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", error)
            if isinstance(cause, TimeoutError):
                return self._silent
            return f"the web hook cannot be reached ({getattr(cause, 'strerror', None) or type(cause).__name__})"
        return None


def without_webhook(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the address of the web hook: no training needs it."""
    return {name: value for name, value in environment.items() if name != WEBHOOK}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None  # the status then counts as the answer


_OPENER = urllib.request.build_opener(_NoRedirect)


def _told_lately(memory: Path, key: str) -> bool:
    """Whether this is what was told last, within a day; a file of a clock that was ahead does not count."""
    try:
        return memory.read_text() == key and 0 <= time.time() - memory.stat().st_mtime < DAY_SECONDS
    except (OSError, ValueError):
        return False


def _check(address: str) -> None:
    try:
        parts = urlsplit(address)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ConfigurationError("the webhook needs an address that begins with http:// or https:// and names a host")
