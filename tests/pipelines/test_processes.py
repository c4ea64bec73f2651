"""How the processes of a job end, also when they are told to.

One that exits while gloo's threads are at work may abort: "terminate called without an active exception".
"""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest
import torch.distributed as dist

from pipelines import demo, train
from pipelines.processes import EndsWhenTold, SIGTERMException, code_when_told
from safeguards import LimitViolated, Moment, Outcome, Verdict

MOMENT = Moment(stage="validate", epoch=0, step=0)
FAILED = Verdict(safeguard="s", measure="m", outcome=Outcome.FAIL, reason="too far", moment=MOMENT)


@pytest.fixture
def begin(tmp_path):
    """What a strategy does when training begins: a real group, of one process."""
    yield lambda *_, **__: dist.init_process_group("gloo", init_method=f"file://{tmp_path}/met", rank=0, world_size=1)
    if dist.is_initialized():
        dist.destroy_process_group()


def test_the_demo_leaves_its_group(begin, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("_hush", "MLflowTracker", "verdicts"):
        monkeypatch.setattr(demo, name, Mock())
    job = Mock(is_global_zero=False, fit=Mock(side_effect=begin))
    monkeypatch.setattr(demo, "Trainer", Mock(return_value=job))
    demo.main(["--quiet"])
    assert job.fit.called
    assert not dist.is_initialized()


@pytest.mark.parametrize(("raised", "code"), [(None, 0), (LimitViolated([FAILED]), 3)])
def test_a_training_run_leaves_its_group_also_where_a_limit_ended_it(begin, monkeypatch, raised, code):
    def run(kind, args, run):
        begin()
        assert dist.is_initialized()
        if raised is not None:
            raise raised

    monkeypatch.setattr(train, "_command_line", run)
    monkeypatch.setattr(sys, "argv", ["train", "fit"])
    assert train.command() == code
    assert not dist.is_initialized()


@pytest.fixture
def handler():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("handler")
@pytest.mark.parametrize("begins", ["on_sanity_check_start", "on_train_start"])
def test_a_process_that_is_told_to_end_tells_those_it_started_and_ends_where_it_is(begins):
    job = Mock()
    getattr(EndsWhenTold(), begins)(job, Mock())
    with pytest.raises(SIGTERMException):
        os.kill(os.getpid(), signal.SIGTERM)
    job.strategy.launcher.kill.assert_called_once_with(signal.SIGTERM)


@pytest.mark.usefixtures("handler")
@pytest.mark.parametrize(("rank", "then"), [("0", signal.SIG_DFL), ("1", signal.SIG_IGN)])
def test_a_first_process_told_twice_ends_at_once_and_the_others_which_always_are_go_on_to_end(monkeypatch, rank, then):
    monkeypatch.setenv("LOCAL_RANK", rank)
    EndsWhenTold().on_train_start(Mock(), Mock())
    with pytest.raises(SIGTERMException):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is then


@pytest.mark.parametrize(("rank", "code"), [(None, 143), ("0", 143), ("1", 0)])
def test_only_the_first_process_leaves_with_a_code_of_its_own(monkeypatch, rank, code):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert code_when_told() == code


def test_a_fit_in_another_thread_keeps_its_handlers():
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(EndsWhenTold().on_train_start, Mock(), Mock()).result()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.usefixtures("handler")
def test_a_process_that_started_none_ends_alone():
    EndsWhenTold().on_train_start(Mock(strategy=Mock(launcher=None)), Mock())
    with pytest.raises(SIGTERMException):
        os.kill(os.getpid(), signal.SIGTERM)
