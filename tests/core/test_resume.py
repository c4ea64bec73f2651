"""What a safeguard takes with it: into a checkpoint, out of it, and from one trainer to another."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from safeguards import AdversarialEvaluation, BatchFields, Limit, ThreatModel, verdicts
from safeguards.core.ledger import read
from tests.helpers.toys import PAIR, WITHIN, Accuracy, Net, loader, trainer


def fit(root: Path, *callbacks: Any, **options: Any) -> Any:
    job = trainer(root, *callbacks, **options)
    job.fit(Net(), loader(64), loader())
    return job


def test_resume_goes_on_under_the_same_run_id(tmp_path: Path) -> None:
    first = fit(tmp_path, Accuracy(), enable_checkpointing=True)
    path = tmp_path / "last.ckpt"
    first.save_checkpoint(path)
    state = torch.load(path, weights_only=True)["callbacks"]
    (key,) = [key for key in state if key.startswith("Accuracy")]
    assert state[key]["looks"] == {"validate/": 2}
    second = trainer(tmp_path, Accuracy(), max_epochs=3)
    second.fit(Net(), loader(64), loader(), ckpt_path=path)
    assert [v.details["look"] for v in verdicts(second)] == [3]
    (ledger,) = tmp_path.glob("safeguards/*/verdicts.jsonl")
    assert [v.moment.epoch for v in read(ledger)[0]] == [0, 1, 2]


def resumed(root: Path, before: list[Any], after: list[Any]) -> Any:
    """Two epochs with some safeguards, and a third, from the checkpoint, with others."""
    fit(root, *before).save_checkpoint(root / "two.ckpt")
    job = trainer(root, *after, max_epochs=3)
    job.fit(Net(), loader(64), loader(), ckpt_path=root / "two.ckpt")
    return job


@pytest.mark.parametrize(
    "changed",
    [
        {"limits": {"accuracy": Limit(at_least=0.1)}},
        {"limits": {"accuracy": WITHIN, "rows": WITHIN}},
        {"reaction": "stop"},
        {"on_error": "raise"},
        {"decide_on": "point"},
        {"max_share_of_fit": 1.0},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_resume_that_judges_otherwise_counts_the_looks_of_the_same_run(tmp_path: Path, changed: Any) -> None:
    job = resumed(tmp_path, [Accuracy()], [Accuracy(**changed)])
    assert {v.details["look"] for v in verdicts(job) if v.measure == "accuracy"} == {3}
    (ledger,) = tmp_path.glob("safeguards/*/verdicts.jsonl")
    assert {v.moment.epoch for v in read(ledger)[0]} == {0, 1, 2}


def limited(*at_least: float, fields: BatchFields = PAIR) -> list[Any]:
    return [Accuracy(fields=fields, limits={"accuracy": Limit(at_least=each)}) for each in at_least]


def test_two_that_differ_in_their_limits_keep_their_own_states(tmp_path: Path) -> None:
    job = resumed(tmp_path, limited(0.1, 0.2), limited(0.2, 0.3))
    assert [v.details["look"] for v in verdicts(job)] == [3, 3]
    asked = limited(0.2, 0.4, 0.3)
    once_more = trainer(tmp_path, *asked, max_epochs=4)
    job.save_checkpoint(tmp_path / "three.ckpt")
    checkpoint = torch.load(tmp_path / "three.ckpt", weights_only=True)
    checkpoint["callbacks"][asked[2].state_key]["looks"] = {"validate/": 7}
    torch.save(checkpoint, tmp_path / "three.ckpt")
    once_more.fit(Net(), loader(64), loader(), ckpt_path=tmp_path / "three.ckpt")
    assert [v.details["look"] for v in verdicts(once_more)] == [4, 1, 8]
    assert len(list(tmp_path.glob("safeguards/*"))) == 1


def test_another_question_begins_its_looks_in_the_ledger_of_the_same_run(tmp_path: Path) -> None:
    others = BatchFields(inputs=0, target=1, groups={"sex": 1})
    job = resumed(tmp_path, limited(0.1), limited(0.1, fields=others))
    assert [v.details["look"] for v in verdicts(job)] == [1]
    assert len(list(tmp_path.glob("safeguards/*"))) == 1


def test_states_with_one_digest_for_what_is_measured_and_how_it_is_judged_count_their_looks_once(
    tmp_path: Path,
) -> None:
    groups = BatchFields(inputs=0, target=1, groups={"sex": 1})
    asked = [Accuracy(), Accuracy(fields=groups), Accuracy(name="other")]
    path = tmp_path / "two.ckpt"
    fit(tmp_path, *asked[:2]).save_checkpoint(path)
    checkpoint = torch.load(path, weights_only=True)
    first, second = (checkpoint["callbacks"][one.state_key] for one in asked[:2])
    second["looks"] = {"validate/": 7}
    checkpoint["callbacks"] = {
        "Other[toy]00000000": {},
        "Accuracy[toy]0a1b2c3d": first,
        "Accuracy[toy]4e5f6a7b": second,
    }
    torch.save(checkpoint, path)
    job = trainer(tmp_path, Accuracy(), Accuracy(fields=groups), Accuracy(name="other"), max_epochs=3)
    job.fit(Net(), loader(64), loader(), ckpt_path=path)
    assert [v.details["look"] for v in verdicts(job)] == [3, 8, 1]
    assert len(list(tmp_path.glob("safeguards/*"))) == 1


def test_an_earlier_checkpoint_of_the_same_run_takes_no_look_back(tmp_path: Path) -> None:
    best = ModelCheckpoint(dirpath=tmp_path / "best", monitor="safeguard/toy/accuracy", save_on_train_epoch_end=False)
    job = fit(tmp_path, Accuracy(), best, enable_checkpointing=True, max_epochs=3)
    for _ in range(2):
        job.validate(dataloaders=loader(), ckpt_path="best", verbose=False)
        job.test(dataloaders=loader(), ckpt_path="best", verbose=False)
    looks = [(v.moment.stage, v.details["look"]) for v in verdicts(job)]
    assert looks == [("validate", k) for k in (1, 2, 3)] + [("validate", 4), ("test", 1), ("validate", 5), ("test", 2)]


def test_a_safeguard_that_another_trainer_used_since_goes_on_in_each(tmp_path: Path) -> None:
    guard = Accuracy()

    class Asks(Callback):
        def on_validation_end(self, outer: Any, pl_module: Any) -> None:
            if not outer.sanity_checking:
                inner = trainer(tmp_path / "inner", guard)
                inner.validate(Net(), loader(20), verbose=False)
                assert [v.n for v in verdicts(inner)] == [20]

    job = fit(tmp_path, guard, Asks())
    assert [(v.moment.step, v.n) for v in verdicts(job)] == [(4, 57), (8, 57)]


def test_a_safeguard_that_another_trainer_uses_in_mid_epoch_is_kept_with_its_own_run(tmp_path: Path) -> None:
    shared, path = Accuracy(name="shared"), tmp_path / "amid.ckpt"

    class ValidatesElsewhere(Callback):
        def on_train_batch_end(self, job: Any, module: Any, outputs: Any, batch: Any, number: int) -> None:
            if number == 1:
                trainer(tmp_path / "inner", shared).validate(Net(), loader(), verbose=False)
                job.save_checkpoint(path)

    fit(tmp_path / "outer", Accuracy(), shared, ValidatesElsewhere(), max_epochs=1)
    [run] = tmp_path.glob("outer/safeguards/*")
    states = torch.load(path, weights_only=True)["callbacks"].values()
    assert [state["run_id"] for state in states] == 2 * [run.name]


def test_a_state_of_a_class_of_its_own_is_kept_as_it_is(tmp_path: Path) -> None:
    class Plain(Accuracy):
        def state_dict(self) -> dict[str, Any]:
            return {"mine": 1}

    guard, path = Plain(), tmp_path / "one.ckpt"
    fit(tmp_path, guard, max_epochs=1).save_checkpoint(path)
    assert torch.load(path, weights_only=True)["callbacks"][guard.state_key] == {"mine": 1}


def test_a_run_id_that_is_a_path_is_not_trusted(tmp_path: Path) -> None:
    guard = Accuracy()
    job = fit(tmp_path / "root", guard, max_epochs=1)
    state = guard.state_dict()
    again = Accuracy()
    second = trainer(tmp_path / "root", again, max_epochs=1)
    again.setup(second, Net(), "fit")
    own = again.state_dict()["run_id"]
    with pytest.warns(UserWarning, match="no name: a new run begins"):
        again.load_state_dict({**state, "run_id": "../../escaped"})
    assert again.state_dict()["run_id"] == own != state["run_id"]
    again.load_state_dict(state)
    assert again.state_dict()["run_id"] == state["run_id"]
    assert len(verdicts(job)) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"looks": None}, {"looks": {"validate/": "many"}}, {"cost": {"seconds": float("nan"), "fit_seconds": 1}}],
)
def test_a_state_that_is_none_is_told_and_left_alone(tmp_path: Path, wrong: dict[str, Any]) -> None:
    guard = Accuracy()
    fit(tmp_path, guard)
    before = guard.state_dict()
    with pytest.warns(UserWarning, match="the checkpoint's state of 'toy' is unreadable, it begins anew"):
        guard.load_state_dict({**before, **wrong})
    assert guard.state_dict() == before


def test_two_that_differ_in_what_they_hold_have_states_of_their_own() -> None:
    def attack(eps: float) -> AdversarialEvaluation:
        limits = {"robust_accuracy": WITHIN}
        return AdversarialEvaluation(fields=PAIR, threat=ThreatModel(eps=eps), limits=limits, predict=lambda m, x: m(x))

    assert attack(0.1).state_key == attack(0.1).state_key != attack(0.2).state_key
