"""What the distributed tests of the core run on each process."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pytorch_lightning.callbacks import Callback
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset

import safeguards.deepspeed  # noqa: F401 - registers the strategies
from safeguards import BatchFields, Limit, Rows, Scene, verdicts
from safeguards.core.run import Run
from tests.helpers.toys import Accuracy, Net, loader, rows, trainer

RANK, WORLD = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
WITH_ID = BatchFields(inputs=0, target=1, row_id=2)
LABELS = pd.Series([f"g{i}" for i in range(57)]).rename_axis("id").sample(frac=1.0, random_state=0)


class Numbered(Dataset[Any]):
    """Rows with an id; the last row has the id of the first, as a patient who came twice."""

    def __init__(self, n: int) -> None:
        self.x, self.y = rows(n).tensors
        self.ids = [*range(n - 1), 0]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Any:
        return self.x[i], self.y[i], self.ids[i]


class NoInputs(Accuracy):
    """Says that it needs no inputs, and gets none of rows that had to wait."""

    reads_inputs = False

    def observe(self, seen: dict[str, Any], rows: Rows, scene: Scene) -> None:
        assert (rows.inputs is None) == (rows.batch is None) == (WORLD > 1)
        super().observe(seen, rows, scene)


class Labelled(Accuracy):
    """Every row must have the label of its id."""

    def observe(self, seen: dict[str, Any], rows: Rows, scene: Scene) -> None:
        assert rows.groups["sex"] == [f"g{i}" for i in rows.ids.tolist()]
        super().observe(seen, rows, scene)


class Trimmed(Net):
    """Leaves the id alone."""

    def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> Any:
        return super().validation_step(batch[:2], index)


class OwnOrder(BatchSampler):
    """A batch sampler of the user's own: each rank takes every ``WORLD``-th row, and the first again to fill up."""

    def __init__(self, n: int, world: int) -> None:
        rank = RANK if world > 1 else 0
        self.batches = [[i % n for i in range(rank, n + (-n) % world, world)]]

    def __iter__(self) -> Any:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(list(zip(*rows(20).tensors, strict=True)))


def identities(strategy: str) -> dict[str, Any]:
    """How rows are told from copies, for each kind of loader."""
    torch.manual_seed(0)
    n = 57
    own, paired = (DataLoader(Numbered(n), batch_sampler=OwnOrder(n, WORLD)) for _ in range(2))
    paired.dataset.ids = [i // 2 for i in range(n)]
    labelled = Labelled(fields=BatchFields(inputs=0, target=1, row_id=2, groups={"sex": LABELS}))
    cases = {
        "sampler": (Accuracy(), loader(n), {}),
        "ids and sampler": (Accuracy(fields=WITH_ID), DataLoader(Numbered(n), batch_size=8), {}),
        "ids and own order": (Accuracy(fields=WITH_ID), own, {"use_distributed_sampler": False}),
        "own order, no inputs": (NoInputs(fields=WITH_ID), own, {"use_distributed_sampler": False}),
        "ids of pairs": (Accuracy(fields=WITH_ID), paired, {"use_distributed_sampler": False}),
        "labels and sampler": (labelled, DataLoader(Numbered(n), batch_size=8), {}),
        "labels and own order": (labelled, own, {"use_distributed_sampler": False}),
        "own order": (Accuracy(), own, {"use_distributed_sampler": False}),
        "stream": (Accuracy(), DataLoader(Stream(), batch_size=4), {}),
        "shuffled": (Accuracy(), loader(n, shuffle=True), {}),
    }
    found = {}
    for name, (guard, validation, options) in cases.items():
        with tempfile.TemporaryDirectory() as root:
            job = trainer(root, guard, strategy=strategy, devices=WORLD, **options)
            job.validate(Trimmed(), validation, verbose=False)
            (verdict,) = verdicts(job)
        found[name] = {"outcome": str(verdict.outcome), "n": verdict.n, "reason": verdict.reason, **verdict.details}
    return found


class Silent(Net):
    """Its own step calls no model, so whatever waits is the safeguards'."""

    def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> None:
        """Looks at nothing."""


def uneven(strategy: str) -> list[Any]:
    """Two loaders: of the first each rank has another number of batches."""
    batches = [loader(16 + 8 * RANK, batch_size=8), loader(16, batch_size=8)]
    with tempfile.TemporaryDirectory() as root:
        guard = Accuracy(fields=BatchFields(inputs=0, target=1, row_id=lambda batch: batch[0][:, 0] + RANK))
        job = trainer(root, guard, strategy=strategy, devices=WORLD, use_distributed_sampler=False)
        job.validate(Silent(), batches, verbose=False)
    return [(v.moment.loader, str(v.outcome), v.n, v.reason) for v in verdicts(job)]


def resumed(strategy: str, root: str) -> dict[str, Any]:
    """A fit, its checkpoint, and a second fit that goes on from it with another limit and reaction."""
    path = Path(root, "half.ckpt")
    first = trainer(root, Accuracy(), strategy=strategy, devices=WORLD, max_epochs=1, num_sanity_val_steps=0)
    first.fit(Net(), loader(64), loader())
    first.save_checkpoint(path)
    guard = Accuracy(limits={"accuracy": Limit(at_least=0.1)}, reaction="stop")
    second = trainer(root, guard, strategy=strategy, devices=WORLD, max_epochs=2, num_sanity_val_steps=0)
    second.fit(Net(), loader(64), loader(), ckpt_path=path)
    state = guard.state_dict()
    return {
        "looks": [v.details["look"] for v in verdicts(second)],
        "state": state,
        "ids": [first_id(first), first_id(second)],
    }


class Slow(Accuracy):
    """Each process has a clock of its own, on which each row seen takes longer on the later ones."""

    seconds = 0.0

    def observe(self, seen: dict[str, Any], rows: Rows, scene: Scene) -> None:
        self.seconds += rows.n * (RANK + 1) * 0.01
        super().observe(seen, rows, scene)

    def prepare(self, scene: Scene) -> dict[str, Any]:
        self.seconds += 0.1
        return super().prepare(scene)


class Told(Net):
    """Its step returns the logits: no safeguard makes a forward, which under ZeRO-3 would be one of whole batches."""

    def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> dict[str, Any]:
        return {"logits": self(batch[0])}


class Monitor(Callback):
    """What of the metric is to be seen at each validation; "nan" where a look was left out."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.seen.append(str(float(trainer.callback_metrics["safeguard/toy/accuracy"])))


def capped(strategy: str, told: bool = True, epochs: int = 12) -> list[dict[str, Any]]:
    """The looks of a fit under a cap: an epoch takes 10 seconds, on the later process one more."""
    guard = Slow(max_share_of_fit=0.1)
    guard.meter._clock = lambda: guard.seconds
    Run.elapsed = lambda run: 0.0 if run._started is None else (10.0 + RANK) * (job.current_epoch + 1)  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as root:
        monitor = Monitor()
        job = trainer(root, guard, monitor, strategy=strategy, devices=WORLD, max_epochs=epochs, num_sanity_val_steps=0)
        job.fit(Told() if told else Net(), loader(64), loader(1001, batch_size=128))
        return [
            {"epoch": v.moment.epoch, "n": v.n, "reason": v.reason, "seconds": v.cost.seconds, **v.details}
            | {"monitored": monitor.seen}
            for v in verdicts(job)
            if v.cost is not None
        ]


def first_id(job: Any) -> str:
    """The run id that the trainer's safeguard belongs to."""
    return next(str(c.state_dict()["run_id"]) for c in job.callbacks if isinstance(c, Accuracy))
