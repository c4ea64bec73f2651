"""Limits are called as the verdicts of the run that sets them."""

import pytest

from safeguards import Limit, verdicts
from safeguards.core.errors import ConfigurationError
from safeguards.search import chosen_limits, declared_limits
from tests.helpers.toys import Accuracy, Net, loader, trainer

FAIRNESS = "safeguards.FairnessCheck"
LIMITS = {"worst_group_accuracy": {"at_least": 0.5}, "demographic_parity_difference": {"at_most": 0.1}}


def test_every_limit_of_every_safeguard_in_order() -> None:
    callbacks = [
        {"class_path": FAIRNESS, "init_args": {"limits": LIMITS}},
        {"class_path": "pytorch_lightning.callbacks.ModelCheckpoint"},
        {"class_path": "safeguards.DriftReport", "init_args": {"limits": {"drifted_share": {}}, "name": None}},
        {"class_path": FAIRNESS, "init_args": {"limits": dict.fromkeys(["worst_group_accuracy"])}},
        {"class_path": FAIRNESS, "init_args": {"limits": dict.fromkeys(["worst_group_accuracy"]), "name": "by age"}},
    ]
    assert declared_limits(callbacks) == [
        "fairness/worst_group_accuracy",
        "fairness/demographic_parity_difference",
        "drift/drifted_share",
        "fairness.2/worst_group_accuracy",
        "by_20_age/worst_group_accuracy",
    ]


def test_without_safeguards_there_are_none() -> None:
    assert declared_limits([]) == []
    assert declared_limits([{"class_path": "pytorch_lightning.callbacks.Timer", "init_args": {}}]) == []


def test_verdicts_are_called_the_same(tmp_path) -> None:
    asked = [
        {"limits": {"accuracy": Limit(at_least=-place)}, "name": name}
        for place, name in enumerate([None, None, "a b", "toy"])
    ]
    job = trainer(tmp_path, *(Accuracy(**one) for one in asked))
    job.validate(Net(), loader(), verbose=False)
    declared = declared_limits([{"class_path": "tests.helpers.toys.Accuracy", "init_args": one} for one in asked])
    assert declared == [f"{verdict.safeguard}/{verdict.measure}" for verdict in verdicts(job)]
    assert declared == ["toy/accuracy", "toy.2/accuracy", "a_20_b/accuracy", "toy.3/accuracy"]


def test_those_that_are_asked_for_must_be_there() -> None:
    callbacks = [{"class_path": FAIRNESS, "init_args": {"limits": LIMITS}}]
    first, second = declared_limits(callbacks)
    assert chosen_limits(callbacks) == [first, second]
    assert chosen_limits(callbacks, [second]) == [second]
    assert chosen_limits(callbacks, []) == []
    with pytest.raises(ConfigurationError, match="did you mean 'fairness/worst_group_accuracy'"):
        chosen_limits(callbacks, ["fairness/worst_group_acuracy"])
    with pytest.raises(ConfigurationError, match="no safeguard of the training run has a limit"):
        chosen_limits([], ["fairness/worst_group_accuracy"])
