"""The names that users may rely on: agreed, sorted, documented, and called by keyword."""

import inspect

import pytest

import safeguards

AGREED = [
    "AdversarialEvaluation",
    "BatchFields",
    "ConfigurationError",
    "DriftReport",
    "FairnessCheck",
    "Limit",
    "LimitViolated",
    "Measurement",
    "Moment",
    "NotApplicable",
    "Outcome",
    "OverfittingGuard",
    "Rows",
    "Safeguard",
    "SafeguardError",
    "SafeguardOptions",
    "Sample",
    "Scene",
    "ThreatModel",
    "Verdict",
    "verdicts",
]
SAFEGUARDS = ["AdversarialEvaluation", "DriftReport", "FairnessCheck", "OverfittingGuard"]
COMMON = {"limits", "reaction", "on_error", "decide_on", "max_share_of_fit", "name"}
OWN = {
    "Limit": {"at_most", "at_least", "warn_within"},
    "BatchFields": {"inputs", "target", "groups", "row_id"},
    "ThreatModel": {"norm", "eps", "clip", "mutable"},
    "OverfittingGuard": {"train", "validation", "fields"},
    "FairnessCheck": {"fields", "positive"},
    "AdversarialEvaluation": {"fields", "attack", "threat", "samples"},
    "DriftReport": {"reference", "current", "columns"},
}


def test_the_public_names_are_those_agreed() -> None:
    assert safeguards.__all__ == sorted(AGREED)


@pytest.mark.parametrize("name", AGREED)
def test_each_is_there_and_documented(name: str) -> None:
    assert inspect.getdoc(getattr(safeguards, name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Fairness'"):
        safeguards.Fairness  # noqa: B018


@pytest.mark.parametrize("name", sorted(OWN))
def test_arguments_are_keyword_only_and_as_agreed(name: str) -> None:
    parameters = inspect.signature(getattr(safeguards, name)).parameters.values()
    assert {p.kind for p in parameters} <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}
    assert OWN[name] <= {p.name for p in parameters}


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_each_safeguard_takes_the_common_options(name: str) -> None:
    assert issubclass(getattr(safeguards, name), safeguards.Safeguard)
    assert set(safeguards.SafeguardOptions.__annotations__) >= COMMON


def test_verdicts_takes_a_trainer() -> None:
    assert list(inspect.signature(safeguards.verdicts).parameters) == ["trainer"]
