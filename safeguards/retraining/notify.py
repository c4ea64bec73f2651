"""Telling somebody how a job ended: a command that reads it, or an address of a web hook. Neither can break the job."""

from __future__ import annotations

import http.client
import json
import os
import queue
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from safeguards.core.errors import ConfigurationError, DataRefused
from safeguards.core.redact import known_secrets, redact, redact_tree

__all__ = ["WEBHOOK", "Notice", "without_webhook"]

WEBHOOK = "SAFEGUARDS_WEBHOOK"
LONGEST_WORD = 200  # of what a command said about its failure


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

    @contextmanager
    def of_refused(self, model: str) -> Iterator[None]:
        """Data that are refused within are told, and the refusal goes on."""
        try:
            yield
        except DataRefused as refused:
            self.send({"model": model, "ended": "data refused", "why": str(refused)}, key="refused")
            raise

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


def _check(address: str) -> None:
    try:
        parts = urlsplit(address)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ConfigurationError("webhook: expected an address that begins with http:// or https:// and names a host")
