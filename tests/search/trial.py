"""Trials for `safeguards.search.Torchrun`: what a process of one does is named by the first argument.

Those of the first half import nothing heavy, so that each costs little more than its launcher.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

RANK = int(os.environ["RANK"])
WORLD = int(os.environ["WORLD_SIZE"])


def die(where):
    """Rank 1 is killed as by a system without memory; rank 0 would wait for ever."""
    if RANK == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)


def kill(where, search):
    """Kills the search that it belongs to, and waits for ever."""
    if RANK == 0:
        os.kill(search, signal.SIGKILL)
    time.sleep(600)


def hang(where):
    """Hangs, deaf to signals, with a child in a session of its own that is no better."""
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True, stdout=subprocess.PIPE)
    child.stdout.readline()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(where, f"pids{RANK}").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)


def wait(where):
    """Waits for ever."""
    time.sleep(600)


def say(message):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.connect(os.environ["SAFEGUARDS_TRIAL"])
        line.sendall(json.dumps(message).encode() + b"\n")
        line.recv(100)


def told(where):
    """Reports once all processes listen, and waits; one that is told to end says so and keeps that it has closed."""

    def end(*_):
        with contextlib.suppress(OSError):
            say({"ended": {"state": "failed", "reason": "told", "values": {}, "violations": {}, "verdicts": []}})
        Path(where, f"closed{RANK}").touch()
        os._exit(1)

    signal.signal(signal.SIGTERM, end)
    Path(where, f"listens{RANK}").touch()
    while len(list(Path(where).glob("listens*"))) < WORLD:
        time.sleep(0.01)
    if RANK == 0:
        say({"report": {"step": 1, "value": 0.5}})
    time.sleep(600)


def silent(where):
    """Ends well without a word."""


def broken(where):
    """Raises before there is a trainer that could tell."""
    raise ValueError("postgresql://me:hunter2@host is no shape")


def environment(where):
    """Keeps what it was given."""
    Path(where, f"environment{RANK}").write_text(json.dumps(dict(os.environ)))
    finished(where)


def finished(where):
    """Says that it is complete, and ends well."""
    if RANK == 0:
        ending = {"state": "complete", "reason": "", "verdicts": []}
        ending |= {"values": {"score": 0.5}, "violations": {"toy/accuracy": -0.5}}
        say({"ended": ending})


def finished_and_died(where):
    """Says that it is complete and then crashes, all processes at once: torchrun would end who is late."""
    finished(where)
    Path(where, f"finished{RANK}").touch()
    while len(list(Path(where).glob("finished*"))) < WORLD:
        time.sleep(0.001)
    os._exit(7)


def train(where, strategy, parameters, bad=False, differ=False):
    """Trains the toys under a strategy; a bad trial scores 0, a differing one has other parameters on each rank."""
    import pytorch_lightning as pl
    import torch

    from safeguards.search import TrialReporter
    from tests.helpers.toys import WITHIN, Accuracy, Net, loader, trainer

    class Scored(Net):
        def on_validation_epoch_end(self):
            self.log("score", torch.tensor(0.0 if bad else 1.0), sync_dist=True)

    class Steps(pl.Callback):
        def on_train_end(self, trainer, pl_module):
            Path(where, f"steps{trainer.global_rank}").write_text(str(trainer.global_step))

    if strategy.startswith("deepspeed"):
        import safeguards.deepspeed  # noqa: F401 - its strategies have names
    reporter = TrialReporter(
        objectives=["score"],
        constraints=["toy/accuracy"],
        parameters=parameters | ({"rank": RANK} if differ else {}),
    )
    pl.seed_everything(0, verbose=False)
    job = trainer(
        where, reporter, Steps(), Accuracy(limits={"accuracy": WITHIN}), devices=WORLD, strategy=strategy, max_epochs=3
    )
    job.fit(Scored(), loader(), loader())


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    globals()[sys.argv[1]](**given)
