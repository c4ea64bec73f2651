"""The jobs that the promises are tested on: one small net, all four safeguards, any strategy."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
import time
from itertools import product
from operator import itemgetter
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import safeguards.deepspeed  # noqa: F401 - registers the strategies
from safeguards import BatchFields, LimitViolated, verdicts
from safeguards.deepspeed.weights import full_state_dict
from tests.helpers.four import four
from tests.helpers.toys import Accuracy, rows, trainer

WORLD = int(os.environ.get("WORLD_SIZE", "1"))
N = 57
SEX = ["f" if i % 3 else "m" for i in range(N)]
BESIDE = BatchFields(inputs=0, target=1, groups={"sex": SEX})
SMALL = {"overfitting": {"samples": 32}, "fairness": {"min_support": 1}, "adversarial": {"samples": 16, "steps": 3}}


class Net(pl.LightningModule):
    """Dropout, BatchNorm, ``x, y = batch``, only a loss returned; keeps the losses it saw.

    Its forward does what a trace could be left by, in eval mode too: it draws, counts in a buffer, and logs.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 2))
        self.register_buffer("forwards", torch.zeros(()))
        self.losses: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += 1
        drawn = torch.rand(()) + np.random.rand() + random.random()
        self.log("drawn", drawn, on_step=False, on_epoch=True, batch_size=len(x))
        return self.net(x)

    def training_step(self, batch: Any, _: int) -> Tensor:
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch: Any, _: int) -> Tensor:
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("val_loss", loss, sync_dist=True)
        self.losses.append(loss.item())
        return loss

    test_step = validation_step

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def fit(strategy: str, root: str, callbacks: list[Any], *, dropout: float = 0.0, **options: Any) -> tuple[Any, Net]:
    """One fit from the same start, whoever watches."""
    pl.seed_everything(7, verbose=False)
    module = Net(dropout)
    job = trainer(root, *callbacks, strategy=strategy, devices=WORLD, num_sanity_val_steps=0, **options)
    data = DataLoader(rows(96, seed=3), batch_size=8, shuffle=True)
    job.fit(module, data, DataLoader(rows(N), batch_size=8))
    return job, module


def fingerprint(job: Any, module: Net) -> dict[str, str]:
    """Digests of all that training leaves: weights, buffers, optimizer state, losses, random states."""
    optimizer = [job.optimizers[0].state_dict()]
    return {
        "weights and buffers": digest(full_state_dict(module)),
        "optimizer": digest(optimizer),
        "losses": digest(module.losses),
        "metrics": digest([float(job.callback_metrics[name]) for name in ("val_loss", "drawn")]),
        "random": digest([torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()]),
    }


def digest(value: Any) -> str:
    """A short hash of nested plain values and tensors."""
    found = hashlib.sha256()
    _feed(found, value)
    return found.hexdigest()[:12]


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            found.update(str(key).encode())
            _feed(found, value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            _feed(found, item)
    elif isinstance(value, (str, int, float, bool, type(None), torch.dtype)):
        found.update(repr(value).encode())
    elif hasattr(value, "__dict__"):
        _feed(found, [type(value).__name__, vars(value)])
    else:
        raise TypeError(f"no digest of a {type(value).__name__}")


def grid(strategy: str) -> list[dict[str, Any]]:
    """Every case of one strategy, bare and watched."""
    cases = []
    for accumulate, dropout, interval in product((1, 4), (0.0, 0.3), (1.0, 0.5)):
        options: dict[str, Any] = {"accumulate_grad_batches": accumulate, "val_check_interval": interval}
        with tempfile.TemporaryDirectory() as root:
            bare = fingerprint(*fit(strategy, root, [], dropout=dropout, **options))
            job, module = fit(strategy, root, four(own=SMALL, fields=BESIDE), dropout=dropout, **options)
            watched = fingerprint(job, module)
        cases.append(
            {
                "case": f"accumulate {accumulate}, dropout {dropout}, validation every {interval} epoch",
                "bare": bare,
                "watched": watched,
                "verdicts": [(v.safeguard, str(v.outcome), v.reason) for v in verdicts(job)],
            }
        )
    return cases


class Unreadable(Accuracy):
    """Breaks at one row, on the rank that has it."""

    def observe(self, seen: Any, rows: Any, scene: Any) -> None:
        if 50 in rows.ids:
            raise ValueError("row 50 is unreadable")


def judged(strategy: str) -> list[dict[str, Any]]:
    """The verdicts on untrained, seeded weights, without what only the clock knows."""
    pl.seed_everything(11, verbose=False)
    with tempfile.TemporaryDirectory() as root:
        watching = [*four(own=SMALL, fields=BESIDE), Unreadable(fields=BESIDE)]
        job = trainer(root, *watching, strategy=strategy, devices=WORLD, max_epochs=1)
        module = Net(0.3)
        frozen = DataLoader(rows(96, seed=3), batch_size=8)
        module.configure_optimizers = lambda: torch.optim.SGD(module.parameters(), lr=0.0)
        module.net[1].momentum = 0.0
        job.fit(module, frozen, DataLoader(rows(N), batch_size=8))
        found = [verdict.to_dict() for verdict in verdicts(job)]
    return [{key: value for key, value in verdict.items() if key not in ("cost", "moment")} for verdict in found]


def faulty(strategy: str) -> list[dict[str, Any]]:
    """Fits in which each rank's safeguard fails in turn: what was said, and whether training went on."""
    return [one_fault(strategy, bad) for bad in (0, 1)]


def one_fault(strategy: str, bad: int) -> dict[str, Any]:
    from tests.helpers.toys import Net as Plain

    with tempfile.TemporaryDirectory() as root:
        other = BatchFields(inputs=itemgetter(0), target=1)  # equal to no other: they share no forward
        watching = [Accuracy(fail_on=bad), Accuracy(name="sound", fields=other)]
        job = trainer(root, *watching, strategy=strategy, devices=WORLD, max_epochs=1)
        job.fit(Plain(), DataLoader(rows(64), batch_size=8), DataLoader(rows(N), batch_size=8))
    return {"said": [(v.safeguard, str(v.outcome), v.reason) for v in verdicts(job)], "steps": job.global_step}


def raising(strategy: str, bad: int) -> dict[str, Any]:
    """The same with ``on_error="raise"``: how each rank ends, and how soon after its last validation step."""
    from tests.helpers.toys import Net as Plain

    text, started = "no error", [0.0]

    class Timed(Plain):
        def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> Any:
            started[0] = time.perf_counter()
            return super().validation_step(batch, index, dataloader_idx)

    with tempfile.TemporaryDirectory() as root:
        job = trainer(
            root,
            Accuracy(fail_on=bad, on_error="raise"),
            strategy=strategy,
            devices=WORLD,
            max_epochs=1,
            num_sanity_val_steps=0,
        )
        try:
            job.fit(Timed(), DataLoader(rows(64), batch_size=8), DataLoader(rows(N), batch_size=8))
        except Exception as error:
            text = str(error)
    return {"text": text, "seconds": time.perf_counter() - started[0]}


def reacting(strategy: str) -> list[dict[str, Any]]:
    """Fits with minima whose safeguard fails: when and how each ended, be it all ranks that ask for it, or one."""
    return [one_reaction(strategy, reaction, asking) for reaction in ("stop", "raise") for asking in ([0, 1], [0], [1])]


def one_reaction(strategy: str, reaction: Any, asking: list[int]) -> dict[str, Any]:
    from tests.helpers.toys import OUTSIDE
    from tests.helpers.toys import Net as Plain

    class Divided(Accuracy):
        def reaction_to(self, verdicts: Any) -> Any:
            return super().reaction_to(verdicts) if job.global_rank in asking else "record"

    ended = "the fit ended"
    data, validation = (DataLoader(rows(n), batch_size=8) for n in (64, N))
    with tempfile.TemporaryDirectory() as root:
        guard = Divided(limits={"accuracy": OUTSIDE}, reaction=reaction)
        minima = {"max_epochs": 4, "min_epochs": 3, "min_steps": 9}
        job = trainer(
            root, guard, strategy=strategy, devices=WORLD, val_check_interval=2, num_sanity_val_steps=0, **minima
        )
        try:
            job.fit(Plain(), data, validation)
        except LimitViolated as error:
            ended = f"raised: {error}"
    said = [str(v.outcome) for v in verdicts(job)]
    return {"steps": job.global_step, "ended": ended, "said": said, "min_epochs": job.fit_loop.min_epochs}
