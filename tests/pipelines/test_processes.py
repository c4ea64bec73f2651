"""How the processes of a job end, and to whom a trainer leaves SIGTERM.

One that exits while gloo's threads are at work may abort: "terminate called without an active exception".
"""

import runpy
import signal
import sys
from unittest.mock import Mock

import pytest
import torch.distributed as dist

from pipelines import demo, told, train
from pipelines.processes import JobTrainer
from pipelines.told import ends_when_told
from safeguards import LimitViolated, Moment, Outcome, Verdict
from tests.helpers.children import ROOT
from tests.helpers.toys import Net, loader

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
    monkeypatch.setattr(demo, "JobTrainer", Mock(return_value=job))
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


class Sees(Net):
    """Notes what SIGTERM would meet: when rows are asked for, in training, and in validation."""

    def __init__(self):
        super().__init__()
        self.met = {}

    def note(self, moment):
        self.met[moment] = signal.getsignal(signal.SIGTERM)

    def val_dataloader(self):
        self.note("loader")
        return loader(8)

    def training_step(self, batch, index):
        self.note("training")
        return super().training_step(batch, index)

    def validation_step(self, batch, index):
        self.note("validation")
        return super().validation_step(batch, index)


def met_by_sigterm(**given):
    net = Sees()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    JobTrainer(accelerator="cpu", max_epochs=1, enable_model_summary=False, **quiet, **given).fit(net, loader(8))
    return {moment: getattr(handler, "__func__", None) for moment, handler in net.met.items()}


@pytest.mark.parametrize("first", [{}, {"num_sanity_val_steps": 0}])
def test_a_command_keeps_sigterm_all_through_a_fit(first):
    found = {}
    assert ends_when_told(lambda: found.update(met_by_sigterm(**first)) or 0) == 0
    assert found == dict.fromkeys(("loader", "training", "validation"), told._Ear._interrupt)


def test_a_trainer_outside_a_command_leaves_it_to_lightning():
    assert set(met_by_sigterm().values()) == {None}


def test_a_command_knows_what_will_start_others_before_it_does():
    found = []

    def work():
        trainers = [
            JobTrainer(accelerator="cpu", devices=devices, strategy=strategy, logger=False)
            for devices, strategy in ((1, "auto"), (2, "ddp"))
        ]
        found.extend([told._here.others.launchers, [trainers[1].strategy.launcher]])
        return 0

    ends_when_told(work)
    assert found[0] == found[1] != [None]


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize("name", ["audit", "demo", "loop", "retrain", "search", "train"])
def test_every_pipeline_that_works_for_long_ends_when_told(monkeypatch, name):
    seen = []
    monkeypatch.setattr(told, "ends_when_told", lambda work: seen.append(work.__name__) or 7)
    with pytest.raises(SystemExit, match="7"):
        runpy.run_module(f"pipelines.{name}", run_name="__main__")
    assert seen == ["main" if name in ("demo", "loop") else "command"]


def test_what_the_command_line_trains_is_left_to_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train"])
    made = train.main(["--config", str(ROOT / "conf" / "train.yaml"), "--trainer.logger=false"], run=False)
    assert type(made.trainer) is JobTrainer
