"""The line between a trial's processes and the search that started them: a Unix socket in a private folder.

The search alone owns the study and its storage. A trial sends it plain JSON, one message per connection, and reads one
answer; so no address and no password of a database enters the trial, and every storage serves every kind of trial.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from safeguards.core.errors import ConfigurationError, TrialFailed
from safeguards.core.verdict import plain

__all__ = ["ADDRESS", "Ending", "Exchange", "Line"]

ADDRESS = "SAFEGUARDS_TRIAL"
LONGEST_ADDRESS = 100
ANSWER_SECONDS = 300.0
MESSAGE_SECONDS = 10.0
State = Literal["complete", "pruned", "failed"]
Answers = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a trial ended: ``values`` by objective and ``violations`` by constraint, as far as they are known.

    ``verdicts`` are plain, as of `safeguards.Verdict.to_dict`; ``reason`` says why a trial was pruned or failed.
    """

    state: State
    reason: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    violations: Mapping[str, float] = field(default_factory=dict)
    verdicts: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Ending:
        """From JSON. Raises ``KeyError``, ``TypeError`` or ``ValueError`` on other data."""
        if data["state"] not in ("complete", "pruned", "failed"):
            raise ValueError(f"a trial cannot be {data['state']!r}")
        return cls(
            state=cast("State", data["state"]),
            reason=str(data["reason"]),
            values={str(name): float(value) for name, value in data["values"].items()},
            violations={str(name): float(value) for name, value in data["violations"].items()},
            verdicts=tuple(dict(one) for one in data["verdicts"]),
        )


@dataclass(frozen=True)
class Line:
    """The trial's end of the line."""

    address: str

    @classmethod
    def of_this_process(cls) -> Line:
        """The line of the trial that this process belongs to; `ConfigurationError` outside a search."""
        if not os.environ.get(ADDRESS):
            raise ConfigurationError("TrialReporter: no search has started this process; run it by safeguards.search")
        return cls(os.environ[ADDRESS])

    def report(self, step: int, value: float) -> bool:
        """Tell an intermediate value; whether the trial should be pruned."""
        return bool(self._ask({"report": {"step": step, "value": value}})["prune"])

    def end(self, ending: Ending) -> None:
        """Tell how the trial ended."""
        self._ask({"ended": plain(asdict(ending))})

    def _ask(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises `TrialFailed` when the search is gone or cannot answer."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
                line.settimeout(ANSWER_SECONDS)
                line.connect(self.address)
                line.sendall(json.dumps(message).encode() + b"\n")
                answer = json.loads(line.makefile("rb").readline())
        except (OSError, ValueError) as error:
            raise TrialFailed(f"the search that started this trial does not answer ({error})") from error
        if "refused" in answer:
            raise TrialFailed(f"the search could not take a message: {answer['refused']}")
        return cast("Mapping[str, Any]", answer)


class _Handler(socketserver.StreamRequestHandler):
    timeout = MESSAGE_SECONDS

    def handle(self) -> None:
        message = json.loads(self.rfile.readline())
        answers = cast("_Server", self.server).answers
        try:
            answer = answers(message)
        except Exception as error:
            self._say({"refused": type(error).__name__})
            raise
        self._say(answer)

    def _say(self, answer: Mapping[str, Any]) -> None:
        self.wfile.write(json.dumps(answer).encode() + b"\n")


class _Server(socketserver.UnixStreamServer):
    request_queue_size = 64

    def __init__(self, address: str, answers: Answers) -> None:
        self.answers = answers
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """What a process sends that is no message, or breaks off, is its own affair: the trial fails by its exit."""


class Exchange:
    """The search's end of the line, open while a trial runs: ``with Exchange(answers) as exchange``.

    ``answers`` gets each message and returns what to say. Nothing is heard but within `serve`, in the caller's thread.
    """

    def __init__(self, answers: Answers) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="safeguards-")
        self.address = str(Path(self._folder.name, "line"))
        if len(self.address) > LONGEST_ADDRESS:
            self._folder.cleanup()
            raise ConfigurationError(f"the path {self.address} is too long for a socket: set TMPDIR to a shorter one")
        self._server = _Server(self.address, answers)

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nobody is heard any more, and who waits for an answer is told so. Again is harmless."""
        self._server.server_close()
        self._folder.cleanup()

    def serve(self, seconds: float) -> None:
        """Answer one message, if one comes within this time."""
        self._server.timeout = seconds
        self._server.handle_request()
