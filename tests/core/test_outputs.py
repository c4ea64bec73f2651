"""Where a safeguard's outputs come from, through real trainers on one process."""

from pathlib import Path
from typing import Any

import pytest
import torch

from safeguards import BatchFields, Outcome, verdicts
from tests.helpers.toys import PAIR, Accuracy, Net, expected_accuracy, loader, rows, trainer


def fit(root: Path, guard: Accuracy, module: Net, **options: Any) -> Any:
    job = trainer(root, guard, max_epochs=1, **options)
    job.fit(module, loader(64), loader())
    return job


class Forwards(Net):
    """Counts the forwards outside training."""

    count = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += not torch.is_grad_enabled()
        return super().forward(x)


class GivesLogits(Forwards):
    def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> Any:
        return {"loss": torch.zeros(()), "logits": self(batch[0])}


@pytest.mark.parametrize(
    ("kind", "options", "forwards"),
    [
        (GivesLogits, {}, 4),
        (Forwards, {"outputs_of": "net.3"}, 4),
        (Forwards, {"outputs_of": ""}, 4),
        (Forwards, {}, 8),
    ],
)
def test_no_second_forward_when_the_step_has_the_outputs(
    tmp_path: Path, kind: type[Forwards], options: dict[str, Any], forwards: int
) -> None:
    module = kind()
    job = fit(tmp_path, Accuracy(**options), module, num_sanity_val_steps=0)
    assert verdicts(job)[0].value == expected_accuracy(module, rows())
    assert module.count - 1 == forwards


@pytest.mark.parametrize(
    ("other", "forwards"),
    [
        ({"fields": PAIR}, 8),
        ({"fields": BatchFields(inputs=0, target=1)}, 8),
        ({"fields": BatchFields(inputs=0, target=lambda batch: batch[1])}, 12),
        ({"output": "logits"}, 12),
    ],
)
def test_safeguards_that_ask_alike_share_one_forward(tmp_path: Path, other: dict[str, Any], forwards: int) -> None:
    module = Forwards()
    job = trainer(tmp_path, Accuracy(), Accuracy(name="other", **other), max_epochs=1, num_sanity_val_steps=0)
    job.fit(module, loader(64), loader())
    assert [v.value for v in verdicts(job)] == [expected_accuracy(module, rows())] * 2
    assert module.count - 1 == forwards


def test_a_forward_that_takes_something_else_is_told_with_the_remedy(tmp_path: Path) -> None:
    class TwoInputs(Net):
        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return super().forward(x * mask)

        def validation_step(self, batch: Any, _: int) -> None:
            """Calls the model in its own way."""

    job = trainer(tmp_path, Accuracy())
    job.validate(TwoInputs(), loader(20), verbose=False)
    (found,) = verdicts(job)
    assert found.outcome is Outcome.ERROR
    assert "missing 1 required positional argument: 'mask'" in found.reason
    assert "give predict=" in found.reason


def test_predict_stands_in_for_a_missing_forward(tmp_path: Path) -> None:
    class NoForward(Net):
        forward = None  # type: ignore[assignment]

        def training_step(self, batch: Any, _: int) -> Any:
            return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> None:
            self.net(batch[0])

    module = NoForward()
    job = fit(tmp_path, Accuracy(predict=lambda m, x: m.net(x)), module)
    assert verdicts(job)[0].value == expected_accuracy(module.net, rows())


class Sigmoid(Net):
    """One probability per row, which nobody said."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(super().forward(x)[:, 0])

    def training_step(self, batch: Any, _: int) -> Any:
        return torch.nn.functional.binary_cross_entropy(self(batch[0]), batch[1].float())

    def validation_step(self, batch: Any, _: int, dataloader_idx: int = 0) -> None:
        self(batch[0])


class Selected(Accuracy):
    """Counts rows whose one logit is above zero, which a probability always is."""

    def observe(self, seen: dict[str, Any], rows: Any, scene: Any) -> None:
        seen["counts"] += torch.tensor([int((rows.logits() > 0).sum()), rows.n])


@pytest.mark.parametrize(
    ("output", "outcome"), [(None, Outcome.ERROR), ("logits", Outcome.PASS), ("probabilities", Outcome.PASS)]
)
def test_probabilities_that_nobody_named_are_doubted(tmp_path: Path, output: Any, outcome: Outcome) -> None:
    job = fit(tmp_path, Selected(output=output), Sigmoid())
    (verdict,) = verdicts(job)
    assert verdict.outcome is outcome
    if output is None:
        assert 'all 57 single outputs lie in [0, 1]: say output="probabilities"' in verdict.reason
    else:
        assert (verdict.value == 1.0) == (output == "logits")


def test_one_that_never_asks_for_outputs_is_not_doubted_for_them(tmp_path: Path) -> None:
    class Blind(Selected):
        reads_outputs = False

        def observe(self, seen: dict[str, Any], rows: Any, scene: Any) -> None:
            seen["counts"] += rows.n

    job = trainer(tmp_path, Blind(), Selected(), max_epochs=1)
    job.fit(Sigmoid(), loader(64), loader())
    assert [v.outcome for v in verdicts(job)] == [Outcome.PASS, Outcome.ERROR]


def test_unknown_submodule_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    job = fit(tmp_path, Accuracy(outputs_of="nett"), Net())
    assert verdicts(job)[0].outcome is Outcome.ERROR
    assert "nearest are ['net'" in verdicts(job)[0].reason
