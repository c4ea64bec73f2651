"""What a step of training costs a safeguard that has nothing to do there: not even the call of a hook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback
from pytorch_lightning.profilers import SimpleProfiler

from tests.helpers.toys import Accuracy, Net, loader, trainer


def fit(root: Path, *callbacks: Any, **options: Any) -> None:
    trainer(root, *callbacks, **options).fit(Net(), loader(64), loader())


def test_a_training_step_enters_no_hook_of_a_safeguard(tmp_path: Path) -> None:
    profiler = SimpleProfiler()
    fit(tmp_path, Accuracy(), Callback(), profiler=profiler)
    entered = [name for name in profiler.recorded_durations if name.startswith("[Callback]")]
    steps = ("batch_start", "batch_end", "zero_grad", "backward", "optimizer_step")
    in_steps = [name for name in entered if name.endswith(steps) and "validation" not in name]
    assert len(in_steps) == 6, "those of the callback beside it"
    assert all(name.startswith("[Callback]Callback.") for name in in_steps)
    assert sum("on_validation_batch_end" in name for name in entered) == 2


def test_a_safeguard_may_have_a_hook_of_the_training_step(tmp_path: Path) -> None:
    seen: list[int] = []

    class Counts(Accuracy):
        def on_train_batch_end(self, *hook: Any) -> None:
            super().on_train_batch_end(*hook)
            seen.append(hook[4])

    class Counter(Callback):
        def on_train_batch_end(self, *hook: Any) -> None:
            seen.append(10 + hook[4])

    class Both(Accuracy, Counter):
        pass

    fit(tmp_path, Counts(), Both(name="both"), max_epochs=1)
    assert seen == [0, 10, 1, 11, 2, 12, 3, 13]
