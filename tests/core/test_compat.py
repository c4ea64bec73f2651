"""What a step costs a safeguard that has nothing to do there: not even the call of a hook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback
from pytorch_lightning.profilers import SimpleProfiler

from safeguards import verdicts
from tests.helpers.toys import Accuracy, Net, loader, trainer

WATCHED = ("validation_batch_start", "validation_batch_end")


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


def calls_of(profiler: SimpleProfiler, kind: type) -> list[int]:
    """How often the hooks before and after a step of validation were called, in all callbacks of a kind."""
    durations = profiler.recorded_durations.items()
    own = {name: len(took) for name, took in durations if name.startswith(f"[Callback]{kind.__name__}")}
    return [sum(count for name, count in own.items() if name.endswith(hook)) for hook in WATCHED]


def test_the_first_safeguard_enters_a_step_of_validation_for_all(tmp_path: Path) -> None:
    profiler, other, once = SimpleProfiler(), SimpleProfiler(), {"max_epochs": 1, "num_sanity_val_steps": 0}
    fit(tmp_path, Accuracy(), Accuracy(name="second"), profiler=profiler, **once)
    assert calls_of(profiler, Accuracy) == [0, 4]
    fit(tmp_path, Accuracy(), Accuracy(name="second", outputs_of="net"), profiler=other, **once)
    assert calls_of(other, Accuracy) == [4, 4], "what is captured is set up before the step"


def test_a_safeguard_may_have_a_hook_of_the_watched_step(tmp_path: Path) -> None:
    seen: list[int] = []

    class Counts(Accuracy):
        def on_validation_batch_start(self, *hook: Any, **options: Any) -> None:
            super().on_validation_batch_start(*hook, **options)
            seen.append(hook[3])

    fit(tmp_path, Accuracy(), Counts(name="counts"), max_epochs=1, num_sanity_val_steps=0)
    assert seen == [0, 1, 2, 3]


def test_a_class_may_pass_its_hook_of_a_test_on_to_that_of_a_validation(tmp_path: Path) -> None:
    seen: list[int] = []

    class Passes(Accuracy):
        def on_test_batch_end(self, *hook: Any, **options: Any) -> None:
            seen.append(hook[4])
            self.on_validation_batch_end(*hook, **options)

    other = trainer(tmp_path, Accuracy(), Passes(name="passes"))
    other.test(Net(), loader(), verbose=False)
    assert seen == [0, 1, 2, 3]
    assert [verdict.n for verdict in verdicts(other)] == 2 * [len(loader().dataset)]


def test_a_hook_that_a_safeguard_was_given_is_called_and_stays(tmp_path: Path) -> None:
    guard, seen = Accuracy(name="second"), []

    def notes(*hook: Any) -> None:
        seen.append(hook[4])

    guard.on_validation_batch_end = notes  # type: ignore[method-assign]
    fit(tmp_path, Accuracy(), guard, max_epochs=2, num_sanity_val_steps=0)
    assert seen == 2 * [0, 1, 2, 3]
    assert guard.on_validation_batch_end == notes


def test_a_safeguard_that_led_elsewhere_meanwhile_still_watches(tmp_path: Path) -> None:
    shared, first = Accuracy(name="shared"), Accuracy(name="first")

    class ValidatesElsewhere(Callback):
        def on_validation_batch_start(self, trainer_: Any, module: Any, batch: Any, number: int, *_: Any) -> None:
            if number == 1:
                trainer(tmp_path / "inner", first, shared).validate(Net(), loader(), verbose=False)

    outer = trainer(tmp_path / "outer", shared, ValidatesElsewhere())
    outer.validate(Net(), loader(), verbose=False)
    assert [verdict.n for verdict in verdicts(outer)] == [len(loader().dataset)]
