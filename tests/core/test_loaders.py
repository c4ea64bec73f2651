"""Loaders and trainers that make it easy to take one row, or one set of weights, for another."""

from collections import UserDict
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.utilities import CombinedLoader
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from safeguards import BatchFields, Limit, Measurement, Outcome, Scene, verdicts
from safeguards.core.report import latest
from safeguards.core.training_rows import drawn_from
from tests.helpers.toys import PAIR, WITHIN, Accuracy, Net, expected_accuracy, loader, rows, trainer

COLUMN = BatchFields(inputs=0, target=1, groups={"sex": [f"g{i}" for i in range(57)]})


class Backwards(SequentialSampler):
    def __iter__(self) -> Any:
        return iter(range(len(self.data_source) - 1, -1, -1))


def skipping(items: list[Any]) -> Any:
    """Leaves out broken rows, as many a collate function does."""
    return torch.utils.data.default_collate([item for item in items if item[0][1] > -1])


def validated(root: Path, data: Any, guard: Accuracy, module: Net | None = None) -> Any:
    job = trainer(root, guard)
    job.validate(module or Net(), data, verbose=False)
    return job


@pytest.mark.parametrize(
    "data",
    [
        DataLoader(rows(), batch_sampler=BatchSampler(RandomSampler(rows()), 16, False)),
        DataLoader(rows(), 16, sampler=Backwards(rows())),
        DataLoader(rows(), 16, collate_fn=skipping),
    ],
    ids=["batch sampler", "own order", "collate drops rows"],
)
def test_a_column_is_never_put_beside_rows_of_unknown_place(data: Any, tmp_path: Path) -> None:
    (verdict,) = verdicts(validated(tmp_path, data, Accuracy(fields=COLUMN)))
    assert verdict.outcome is Outcome.ERROR
    assert "no known position" in verdict.reason or "which row is which cannot be told" in verdict.reason


def test_nested_loaders_are_judged_one_by_one(tmp_path: Path) -> None:
    data = {"a": [loader(20, seed=1), loader(30, seed=2)], "b": loader(40, seed=3)}
    found = verdicts(validated(tmp_path, data, Accuracy()))
    assert [(v.moment.loader, v.n, v.outcome) for v in found] == [
        ("a.0", 20, Outcome.PASS),
        ("a.1", 30, Outcome.PASS),
        ("b", 40, Outcome.PASS),
    ]


def test_loaders_that_come_together_are_refused(tmp_path: Path) -> None:
    class Both(Net):
        def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> None:
            """Looks at nothing."""

    both = CombinedLoader({"a": loader(20), "b": loader(30)}, mode="max_size")
    fields = BatchFields(inputs="b.0", target="b.1")
    found = verdicts(validated(tmp_path, both, Accuracy(fields=fields), Both()))
    assert {v.outcome for v in found} == {Outcome.ERROR}
    assert "combined as 'max_size'" in found[0].reason
    assert 'CombinedLoader(loaders, mode="sequential")' in found[0].reason


class AtTheEnd(Accuracy):
    """Reads the weights when it examines, as attacks and training losses do."""

    def examine(self, seen: Any, scene: Scene) -> dict[str, Measurement]:
        return {"accuracy": Measurement(value=float(next(scene.module.parameters()).flatten()[0]), n=1)}


class Averaged(Callback):
    """Validates other weights than it trains, as weight averaging does."""

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.kept = [p.detach().clone() for p in pl_module.parameters()]
        for parameter in pl_module.parameters():
            parameter.data.fill_(5.0)

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        for parameter, value in zip(pl_module.parameters(), self.kept, strict=True):
            parameter.data.copy_(value)


@pytest.mark.parametrize("first", [True, False])
def test_the_weights_that_are_judged_are_those_that_were_validated(tmp_path: Path, first: bool) -> None:
    guards: list[Any] = [AtTheEnd(), Averaged()]
    job = trainer(tmp_path, *(guards if first else guards[::-1]))
    job.fit(Net(), loader(64), loader())
    assert [v.value for v in verdicts(job)] == [5.0, 5.0, None]  # and the fit ends with the weights swapped back


@pytest.mark.parametrize(
    ("options", "taken"), [({"limit_train_batches": 2}, 16), ({"overfit_batches": 3}, 24), ({}, 64)]
)
def test_rows_that_are_never_trained_on_are_no_training_rows(
    tmp_path: Path, options: dict[str, Any], taken: int
) -> None:
    found: list[int] = []

    class Look(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            found.append(len(drawn_from(trainer.train_dataloader, trainer)))

    job = trainer(tmp_path, Look(), max_epochs=1, **options)
    job.fit(Net(), loader(64, batch_size=8), loader())
    assert found == [taken]


class Encoding(UserDict[str, torch.Tensor]):
    """Keys are attributes too."""

    def __getattr__(self, name: str) -> torch.Tensor:
        return self.data[name]


class TakesEncoding(Net):
    def forward(self, batch: Any) -> torch.Tensor:
        return self.net(batch.x)

    def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> None:
        """The safeguard makes the forward."""


def encoded(items: list[Any]) -> Any:
    x, y = torch.utils.data.default_collate(items)
    return Encoding(x=x, y=y)


def test_inputs_keep_their_class(tmp_path: Path) -> None:
    module = TakesEncoding()
    fields = BatchFields(inputs=lambda batch: batch, target="y")
    data = DataLoader(rows(), 16, collate_fn=encoded)
    job = trainer(tmp_path, Accuracy(fields=fields), inference_mode=False)
    job.validate(module, data, verbose=False)
    assert verdicts(job)[0].value == expected_accuracy(module.net, rows())


def test_groups_are_read_only_where_they_are_asked_for(tmp_path: Path) -> None:
    class Blind(Accuracy):
        def observe(self, seen: Any, rows: Any, scene: Any) -> None:
            seen["counts"] += rows.n

    fields = BatchFields(inputs=0, target=1, groups={"sex": 7})
    assert verdicts(validated(tmp_path, loader(), Blind(fields=fields)))[0].outcome is Outcome.PASS
    asked = verdicts(validated(tmp_path, loader(), Accuracy(fields=fields)))[0]
    assert asked.outcome is Outcome.ERROR
    assert "groups['sex']=7 is not in the batch" in asked.reason


def test_two_that_look_at_different_groups_share_a_trainer(tmp_path: Path) -> None:
    limits = {"accuracy": WITHIN}
    sex, age = (BatchFields(inputs=0, target=1, groups={name: 1}) for name in ("sex", "age"))
    job = trainer(tmp_path, Accuracy(fields=sex, limits=limits), Accuracy(fields=age, limits=limits))
    job.validate(Net(), loader(), verbose=False)
    assert [v.safeguard for v in latest(verdicts(job))] == ["toy", "toy.2"]
    assert Accuracy(fields=PAIR).state_key == Accuracy(fields=PAIR, limits={"accuracy": Limit(at_least=0.0)}).state_key
