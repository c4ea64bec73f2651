"""FairnessCheck inside a real Trainer: on one process, on two, and from its YAML."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from safeguards import BatchFields, FairnessCheck, Limit, Outcome, verdicts
from safeguards.core.errors import ConfigurationError, LimitViolated
from tests.helpers.launch import launch
from tests.helpers.toys import trainer

LIMITS = {
    "demographic_parity_difference": Limit(at_most=0.1),
    "demographic_parity_ratio": Limit(at_least=0.8),
    "equalized_odds_difference": Limit(at_most=0.1),
    "equal_opportunity_difference": Limit(at_most=0.1),
    "worst_group_accuracy": Limit(at_least=0.7),
}


class Cohort(Dataset):
    """Rows whose inputs are the logits that the model will give them; sex M is favoured by ``gap`` of a logit."""

    def __init__(self, n=57, gap=0.5, classes=2):
        random = np.random.default_rng(2)
        self.target = random.integers(0, classes, n)
        self.sex = ["M" if i % 3 == 0 else "F" for i in range(n)]
        self.site = [("even only", "odd only", "both", "both")[i % 4] for i in range(n)]
        logits = random.normal(size=(n, classes)) + 2 * np.eye(classes)[self.target]
        logits[:, 1] += gap * np.array([s == "M" for s in self.sex])
        self.logits = torch.as_tensor(logits, dtype=torch.float32)

    def __len__(self):
        return len(self.target)

    def __getitem__(self, i):
        return {"inputs": self.logits[i], "target": int(self.target[i]), "sex": self.sex[i], "site": self.site[i]}


class Echo(pl.LightningModule):
    """Gives its inputs back as logits; its one weight does not move."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(float(weight)))

    def forward(self, inputs):
        return inputs * self.weight

    def training_step(self, batch, _):
        return torch.nn.functional.cross_entropy(self(batch["inputs"]), batch["target"].clamp(0, 1))

    def validation_step(self, batch, _):
        self.log("val_loss", self(batch["inputs"]).sum(), batch_size=len(batch["inputs"]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fields(**groups):
    return BatchFields(inputs="inputs", target="target", groups=groups or {"sex": "sex", "site": "site"})


def fitted(tmp_path, cohort, guards, *, epochs=1, module=None, loaders=None, **options):
    told = trainer(tmp_path, *guards, max_epochs=epochs, num_sanity_val_steps=0, **options)
    loader = DataLoader(cohort, batch_size=8)
    validation = [DataLoader(each, batch_size=8) for each in loaders or [cohort]]
    told.fit(module or Echo(), loader, validation)
    return told


def by_measure(trainer):
    return {v.measure: v for v in verdicts(trainer)}


def test_verdicts_are_fairlearn_s_numbers_of_the_rows(tmp_path):
    from fairlearn import metrics

    cohort = Cohort(n=400)
    trainer = fitted(tmp_path, cohort, [FairnessCheck(fields=fields(sex="sex"), limits=LIMITS)])
    found = by_measure(trainer)
    guess = cohort.logits.argmax(dim=1).numpy()
    for name in set(LIMITS) - {"worst_group_accuracy"}:
        theirs = getattr(metrics, name)(cohort.target, guess, sensitive_features=cohort.sex)
        assert found[name].value == theirs
        assert float(trainer.callback_metrics[f"safeguard/fairness/{name}"]) == pytest.approx(theirs)
    right = {sex: np.mean((guess == cohort.target)[np.array(cohort.sex) == sex]) for sex in "FM"}
    assert found["worst_group_accuracy"].value == min(right.values())
    assert {v.n for v in found.values()} == {400}
    assert len(verdicts(trainer)) == len(LIMITS)


def test_a_planted_disparity_stops_training(tmp_path):
    guard = FairnessCheck(
        fields=fields(sex="sex"), limits={"equalized_odds_difference": Limit(at_most=0.1)}, reaction="stop"
    )
    trainer = fitted(tmp_path, Cohort(n=900, gap=4.0), [guard], epochs=5)
    assert [v.outcome for v in verdicts(trainer)] == [Outcome.FAIL]
    assert trainer.current_epoch == 1


def test_a_planted_disparity_raises(tmp_path):
    guard = FairnessCheck(
        fields=fields(sex="sex"), limits={"equalized_odds_difference": Limit(at_most=0.1)}, reaction="raise"
    )
    with pytest.raises(LimitViolated, match=r"worst: false_positive_rate .* against .* in sex=M"):
        fitted(tmp_path, Cohort(n=900, gap=4.0), [guard])


def test_looks_are_counted_and_the_interval_widens(tmp_path):
    guard = FairnessCheck(fields=fields(sex="sex"), limits={"demographic_parity_difference": Limit(at_most=0.1)})
    found = verdicts(fitted(tmp_path, Cohort(n=300), [guard], epochs=3))
    assert [v.details["look"] for v in found] == [1, 2, 3]
    widths = [v.interval[1] - v.interval[0] for v in found]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_a_cap_on_its_cost_lowers_n_and_says_so(tmp_path):
    guard = FairnessCheck(fields=fields(sex="sex"), limits=LIMITS, max_share_of_fit=0.5)
    (found, *_) = verdicts(fitted(tmp_path, Cohort(n=600), [guard]))
    assert 0 < found.n < 100
    assert "max_share_of_fit allowed 64 of 600 rows" in found.reason


def test_state_is_plain_and_comes_back(tmp_path):
    guard = FairnessCheck(fields=fields(), limits=LIMITS)
    fitted(tmp_path, Cohort(), [guard], epochs=2)
    torch.save(guard.state_dict(), tmp_path / "state")
    again = FairnessCheck(fields=fields(), limits=LIMITS)
    again.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert again.next_look("validate", None) == 3
    assert again.state_key == guard.state_key


def test_every_loader_of_a_test_is_judged_apart(tmp_path):
    guard = FairnessCheck(fields=fields(sex="sex"), limits={"worst_group_accuracy": Limit(at_least=0.5)})
    trainer = fitted(tmp_path, Cohort(), [guard])
    module = Echo()
    module.test_step = lambda batch, batch_idx, dataloader_idx=0: {"logits": module(batch["inputs"])}
    trainer.test(module, [DataLoader(Cohort(n), batch_size=9) for n in (100, 300)], verbose=False)
    found = [v for v in verdicts(trainer) if v.moment.stage == "test"]
    assert [(v.moment.loader, v.n) for v in found] == [("0", 100), ("1", 300)]
    assert {v.details["look"] for v in found} == {1}


def test_a_diverged_model_fails(tmp_path):
    guard = FairnessCheck(fields=fields(), limits=LIMITS)
    found = verdicts(fitted(tmp_path, Cohort(), [guard], module=Echo(weight=math.nan)))
    assert {v.outcome for v in found} == {Outcome.FAIL}
    assert "57 of 57 rows are NaN or infinite" in found[0].reason


def test_a_class_that_a_mask_rules_out_counts_as_the_least_likely(tmp_path):
    """Each row's class after its own is masked: -inf in place of the lowest of logits, and the same numbers."""

    class Still(Echo):
        def training_step(self, batch, _):
            return 0 * self.weight

    found = []
    for index, least in enumerate((-math.inf, -1e6)):
        cohort = Cohort(200, classes=3)
        cohort.logits[torch.arange(200), (torch.as_tensor(cohort.target) + 1) % 3] = least
        told = fitted(tmp_path / str(index), cohort, [FairnessCheck(fields=fields(), limits=LIMITS)], module=Still())
        found.append({name: (v.outcome, v.value, v.interval, v.n) for name, v in by_measure(told).items()})
    assert found[0] == found[1]
    assert found[0]["worst_group_accuracy"][3] == 200


def test_labels_that_are_no_classes_are_an_error_of_the_safeguard_only(tmp_path):
    cohort = Cohort()
    cohort.target = cohort.target * 2
    trainer = fitted(tmp_path, cohort, [FairnessCheck(fields=fields(), limits=LIMITS)])
    assert {v.outcome for v in verdicts(trainer)} == {Outcome.ERROR}
    assert "label 2 is none of the model's classes 0 to 1" in verdicts(trainer)[0].reason


def test_one_group_and_few_rows_are_inconclusive(tmp_path):
    cohort = Cohort()
    cohort.sex = ["F"] * 57
    trainer = fitted(tmp_path, cohort, [FairnessCheck(fields=fields(), limits=LIMITS)])
    assert {v.outcome for v in verdicts(trainer)} == {Outcome.INCONCLUSIVE}
    assert "sex, which has the one group sex=F" in verdicts(trainer)[0].reason


def test_groups_from_outside_the_batch(tmp_path):
    cohort = Cohort(n=200)
    inside = FairnessCheck(fields=fields(sex="sex"), limits=LIMITS)
    outside = FairnessCheck(fields=fields(sex=np.array(cohort.sex)), limits=LIMITS, name="outside")
    found = verdicts(fitted(tmp_path, cohort, [inside, outside]))
    half = len(LIMITS)
    assert [(v.value, v.interval, v.details) for v in found[:half]] == [
        (v.value, v.interval, v.details) for v in found[half:]
    ]


def test_fairlearn_contradicts_at_the_end_of_fit(tmp_path, monkeypatch):
    guard = FairnessCheck(fields=fields(), limits=LIMITS)
    monkeypatch.setattr("safeguards.fairness.opinion.fairlearn_value", lambda *_: 0.123)
    last = verdicts(fitted(tmp_path, Cohort(n=300), [guard]))[-len(LIMITS) :]
    assert {v.outcome for v in last} == {Outcome.ERROR}
    assert "fairlearn computes 0.123" in last[0].reason


def test_fairlearn_is_asked_about_every_loader(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("safeguards.fairness.guard.disagreement", lambda name, compared, value: asked.append(value))
    guard = FairnessCheck(fields=fields(sex="sex"), limits={"worst_group_accuracy": Limit(at_least=0.5)})
    module = Echo()
    module.validation_step = lambda batch, batch_idx, dataloader_idx=0: {"logits": module(batch["inputs"])}
    told = fitted(tmp_path, Cohort(), [guard], module=module, loaders=[Cohort(100), Cohort(300)])
    assert sorted(asked) == sorted(v.value for v in verdicts(told))
    assert len(set(asked)) == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"fields": BatchFields(inputs=0, target=1)}, "needs target= and groups="),
        ({"fields": BatchFields(inputs=0, groups={"sex": 1})}, "needs target= and groups="),
        ({"positive": "yes"}, r"positive='yes'\): expected a whole number"),
        ({"positive": True}, "positive=True"),
        ({"min_support": 0}, "at least 1"),
        ({"max_groups": 1}, "at least 2"),
        ({"alpha": 1.5}, r"alpha=1.5\): expected a number above 0 and below 1"),
        ({"limits": {"equalised_odds_difference": Limit(at_most=0.1)}}, "did you mean 'equalized_odds_difference'"),
    ],
)
def test_arguments_that_make_no_sense(wrong, words):
    with pytest.raises(ConfigurationError, match=words):
        FairnessCheck(**{"fields": fields(), "limits": LIMITS} | wrong)


def judged_on_this_world(n):
    """Runs on every process: the verdicts for two and for three classes as plain data."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    strategy = {"strategy": "ddp", "devices": world} if world > 1 else {"devices": 1}
    found = []
    for classes in (2, 3):
        guard = FairnessCheck(fields=fields(), limits=LIMITS, min_support=5)
        trainer = fitted(Path.cwd(), Cohort(n=n, classes=classes), [guard], epochs=2, **strategy)
        found += [v.to_dict() for v in verdicts(trainer)]
    return [{k: v for k, v in each.items() if k not in ("cost", "moment")} for each in found]


def test_two_processes_say_what_one_says(tmp_path, monkeypatch):
    """57 rows, one of them padded; one site is on rank 0 only, one on rank 1 only."""
    monkeypatch.chdir(tmp_path)
    alone = judged_on_this_world(57)
    first, second = launch(f"{__file__}:judged_on_this_world", world=2, n=57)
    assert len(alone) == 2 * 2 * len(LIMITS)
    assert {each["n"] for each in alone} == {57}
    assert first.value == alone
    assert second.value == alone
    assert all(site in json.dumps(alone) for site in ("site=even only", "site=odd only", "site=both"))
