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
NEEDED = inspect.Parameter.empty
OPTIONS = {
    "limits": NEEDED,
    "reaction": "record",
    "on_error": "record",
    "decide_on": "interval",
    "max_share_of_fit": None,
    "name": None,
    "outputs_of": None,
    "predict": None,
    "output": None,
}
CHOICES = {
    "reaction": {"record", "stop", "raise"},
    "on_error": {"record", "raise"},
    "decide_on": {"interval", "point"},
}
DEFAULTS = {
    "Limit": {"at_most": None, "at_least": None, "warn_within": 0.0},
    "BatchFields": {"inputs": NEEDED, "target": None, "row_id": None},
    "ThreatModel": {"norm": "inf", "eps": NEEDED, "clip": None, "mutable": None},
    "OverfittingGuard": {"train": None, "validation": None, "fields": None},
    "FairnessCheck": {"fields": NEEDED, "positive": 1},
    "AdversarialEvaluation": {"fields": NEEDED, "attack": "pgd", "threat": NEEDED, "samples": 512},
    "DriftReport": {"reference": NEEDED, "current": "validation", "columns": None},
    "Safeguard": OPTIONS,
}
MEASURES = {
    "OverfittingGuard": {"generalization_gap"},
    "FairnessCheck": {
        "demographic_parity_difference",
        "demographic_parity_ratio",
        "equalized_odds_difference",
        "equal_opportunity_difference",
        "worst_group_accuracy",
    },
    "AdversarialEvaluation": {"robust_accuracy"},
    "DriftReport": {"drifted_share"},
}


def test_the_public_names_are_those_agreed() -> None:
    assert safeguards.__all__ == sorted(AGREED)


@pytest.mark.parametrize("name", AGREED)
def test_each_is_there_and_documented(name: str) -> None:
    assert inspect.getdoc(getattr(safeguards, name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Fairness'"):
        safeguards.Fairness  # noqa: B018


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_arguments_are_keyword_only_and_their_defaults_as_agreed(name: str) -> None:
    parameters = inspect.signature(getattr(safeguards, name)).parameters
    assert {p.kind for p in parameters.values()} <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}
    defaults = {argument: parameters[argument].default for argument in DEFAULTS[name]}
    assert list(map(repr, defaults.items())) == list(map(repr, DEFAULTS[name].items())), "1, 1.0 and True are not alike"


def test_no_group_is_the_default() -> None:
    assert safeguards.BatchFields(inputs=0).groups == {}


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_each_safeguard_takes_the_common_options_and_has_its_measures(name: str) -> None:
    kind = getattr(safeguards, name)
    assert issubclass(kind, safeguards.Safeguard)
    assert set(kind.measures) == MEASURES[name]
    rest = inspect.signature(kind).parameters["options"]
    assert (rest.kind, rest.annotation) == (inspect.Parameter.VAR_KEYWORD, "Unpack[SafeguardOptions]")
    assert safeguards.SafeguardOptions.__annotations__.keys() == OPTIONS.keys() - {"fields"}


@pytest.mark.parametrize("option", sorted(CHOICES))
def test_options_have_the_choices_agreed(option: str) -> None:
    def made(value: str) -> object:
        limits = {"drifted_share": safeguards.Limit(at_most=0.1)}
        return getattr(safeguards.DriftReport(reference="train", limits=limits, **{option: value}), option)  # type: ignore[arg-type]

    assert {made(value) for value in CHOICES[option]} == CHOICES[option]
    with pytest.raises(safeguards.ConfigurationError, match=option):
        made("else")


def test_verdicts_takes_a_trainer() -> None:
    assert list(inspect.signature(safeguards.verdicts).parameters) == ["trainer"]


def test_outcomes_are_those_agreed() -> None:
    assert {str(one) for one in safeguards.Outcome} == {
        "PASS",
        "WARN",
        "FAIL",
        "INCONCLUSIVE",
        "ERROR",
        "NOT_EVALUATED",
    }
