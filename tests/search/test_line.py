"""The line between a trial and its search: messages, answers, and what happens when one side is gone."""

import json
import math
import socket
import stat
import threading
from pathlib import Path

import pytest

from safeguards.core.errors import ConfigurationError, TrialFailed
from safeguards.search.line import ADDRESS, Ending, Exchange, Line


@pytest.fixture
def heard():
    return []


@pytest.fixture
def exchange(heard):
    def answer(message):
        heard.append(message)
        if "report" in message and message["report"]["step"] == 99:
            raise RuntimeError("the storage is gone")
        return {"prune": True} if "report" in message else {}

    with Exchange(answer) as one:
        ends = threading.Event()

        def serve():
            while not ends.is_set():
                one.serve(0.05)

        thread = threading.Thread(target=serve)
        thread.start()
        yield one
        ends.set()
        thread.join()


ENDING = Ending(
    state="pruned",
    reason='said "so"\nand so',
    values={"accuracy": 0.5},
    violations={"toy/gap": -0.25},
    verdicts=({"measure": "gap", "value": "nan"},),
)


def test_a_report_is_answered_and_an_ending_arrives_as_it_was(exchange, heard):
    line = Line(exchange.address)
    assert line.report(3, 0.25) is True
    line.end(ENDING)
    assert heard[0] == {"report": {"step": 3, "value": 0.25}}
    assert Ending.from_plain(heard[1]["ended"]) == ENDING


def test_only_this_user_may_reach_the_line(exchange):
    folder = Path(exchange.address).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_search_that_cannot_answer_fails_the_trial_and_goes_on(exchange):
    with pytest.raises(TrialFailed, match="could not take a message: RuntimeError"):
        Line(exchange.address).report(99, 0.0)
    assert Line(exchange.address).report(1, 0.0)


@pytest.mark.parametrize("said", [b"not json\n", b"", b'{"ended": {"state": "won"}}', b"\xff\xfe\n"])
def test_what_is_no_message_does_not_end_the_search(exchange, said):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
        stranger.connect(exchange.address)
        stranger.sendall(said)
    assert Line(exchange.address).report(1, 0.0)


def test_when_the_search_is_gone_the_trial_fails_at_once():
    with Exchange(lambda _: {}) as exchange:
        address = exchange.address
    assert not Path(address).parent.exists()
    with pytest.raises(TrialFailed, match="does not answer"):
        Line(address).report(1, 0.0)


def test_outside_a_search_there_is_no_line(monkeypatch):
    monkeypatch.delenv(ADDRESS, raising=False)
    with pytest.raises(ConfigurationError, match="no search has started this process"):
        Line.of_this_process()
    monkeypatch.setenv(ADDRESS, "/somewhere")
    assert Line.of_this_process() == Line("/somewhere")


WHOLE = {"state": "won", "reason": "", "values": {}, "violations": {}, "verdicts": []}


@pytest.mark.parametrize("wrong", [WHOLE, {"state": "complete"}])
def test_an_ending_of_another_form_is_refused(wrong):
    with pytest.raises((ValueError, KeyError)):
        Ending.from_plain(wrong)


def test_numbers_that_json_lacks_survive_the_line():
    sent = json.loads(
        json.dumps({"state": "failed", "reason": "", "values": {"a": "nan"}, "violations": {}, "verdicts": []})
    )
    assert math.isnan(Ending.from_plain(sent).values["a"])


def test_a_folder_that_is_too_deep_for_a_socket_is_told(monkeypatch, tmp_path):
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with pytest.raises(ConfigurationError, match="set TMPDIR to a shorter one"):
        Exchange(lambda _: {})
    assert list(deep.iterdir()) == []
