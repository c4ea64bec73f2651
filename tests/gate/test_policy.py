"""A policy is read as it was written; a slip of the pen is an error that names the nearest key."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from safeguards import ConfigurationError, Limit
from safeguards.gate import Policy
from tests.gate.evidence import policy

CONF = Path(__file__).parents[2] / "conf" / "policy.yaml"


def test_the_policy_that_is_shipped_is_read():
    found = Policy.read(CONF)
    assert found.limits == {"fairness/demographic_parity_difference": Limit(at_most=0.3)}
    assert found.against_champion["overfitting/generalization_gap"].limit == Limit(at_most=0.1)
    assert {name: (rule.margin, rule.minimum_effect) for name, rule in found.paired.items()} == {
        "accuracy": (0.0, 0.01),
        "robust_accuracy": (0.05, None),
        "accuracy/*": (0.1, None),
    }
    assert found.alpha == pytest.approx(0.1 / 52)
    assert found.classes == ("pipelines.models.*",)
    assert found == Policy.of(yaml.safe_load(CONF.read_text()))


def test_it_explains_every_key_that_there_is():
    assert set(yaml.safe_load(CONF.read_text())) == set(Policy.__dataclass_fields__)
    lines = CONF.read_text().splitlines()
    keys = [number for number, line in enumerate(lines) if line[:1].isalpha()]
    assert all(lines[number - 1].startswith("#") for number in keys)


def test_equal_policies_have_one_digest():
    assert policy().digest == policy(limits={}, waivers=[], paired=None).digest
    assert policy().digest != policy(maximum_age_days=8).digest
    assert policy().digest != policy(paired={"accuracy": {"better": "higher"}}).digest


WAIVER = {"measure": "a/b", "reason": "because", "name": "R. Meyer", "expires": "2026-12-31"}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"requierd": []}, "no key 'requierd'; nearest is 'required'"),
        ({"limits": {"a/b": {"at_mots": 1}}}, r"limits\.a/b has no key 'at_mots'; nearest is 'at_most'"),
        ({"limits": {"a/b": {}}}, r"limits\.a/b: .*exactly one of"),
        ({"limits": {"a/b": {"at_most": "1"}}}, "expected a finite number"),
        ({"limits": ["a/b"]}, "expected measures and their rules"),
        ({"against_champion": {"a/b": {"at_most": 1, "of": "quotient"}}}, "of: difference or of: ratio"),
        ({"paired": {"accuracy": {"better": "more"}}}, "expected higher or lower"),
        ({"paired": {"accuracy": {"margin": 0.1}}}, r"paired\.accuracy: .*better"),
        ({"paired": {"accuracy": {"better": "higher", "margin": -1}}}, "of at least 0"),
        ({"paired": {"accuracy": {"better": "higher", "minimum_effect": 0}}}, "0 would promote an equal model"),
        ({"paired": {"accuracy": {"better": "higher", "margin": float("nan")}}}, "margin: nan"),
        ({"false_promotion_rate": 0.5}, "above 0 and below 0.5"),
        ({"false_promotion_rate": True}, "false_promotion_rate: True"),
        ({"planned_attempts": 0}, "planned_attempts=0"),
        ({"planned_attempts": 52.0}, r"planned_attempts=52\.0"),
        ({"maximum_age_days": 0}, "maximum_age_days: 0: expected a number above 0"),
        ({"signed": "no"}, "signed: 'no': expected true or false"),
        ({"required": []}, "silence would pass"),
        ({"required": None}, "silence would pass"),
        ({"required": "fairness/x"}, "expected a list"),
        ({"classes": [1]}, "classes: expected a list of texts"),
        ({"waivers": [{**WAIVER, "until": 1}]}, r"waivers\[1\] has no key 'until'"),
        ({"waivers": [{**WAIVER, "reason": " "}]}, "needs reason"),
        ({"waivers": [{**WAIVER, "name": None}]}, "needs name"),
        ({"waivers": [{**WAIVER, "expires": "soon"}]}, r"waivers\[1\] needs expires: a date"),
    ],
)
def test_a_slip_of_the_pen_is_an_error(change, match):
    with pytest.raises(ConfigurationError, match=match):
        policy(**change)


def test_a_waiver_knows_when_it_ends():
    (waiver,) = policy(waivers=[WAIVER]).waivers
    assert waiver.expires == datetime(2026, 12, 31, tzinfo=UTC)
    assert waiver.holds(datetime(2026, 12, 30, 23, 59, tzinfo=UTC))
    assert not waiver.holds(waiver.expires)
    (other,) = policy(waivers=[{**WAIVER, "expires": "2026-12-31T12:00:00+02:00"}]).waivers
    assert other.expires == datetime(2026, 12, 31, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("required: [a/b]\nrequired: [c/d]", "the key 'required' stands twice"),
        ("required: [a/b]\nlimits:\n  a/b: {at_most: 1}\n  a/b: {at_most: 9}", "the key 'a/b' stands twice"),
        ("required: [a/b", "no YAML"),
        ("- a", "expected keys and values"),
        ("!!python/object/apply:os.system ['touch canary']", "no YAML"),
        ("a" * 2_000_000, "larger than"),
        (b"\xff", "policy.yaml"),
    ],
)
def test_a_file_that_is_none_is_refused_and_nothing_runs(text, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "policy.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError, match=match) as caught:
        Policy.read(file)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "canary").exists()
