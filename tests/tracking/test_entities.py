"""What Lightning logs, as MLflow entities."""

from __future__ import annotations

import math
from argparse import Namespace
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from safeguards.core.redact import MARK
from safeguards.tracking.entities import own_tags, parameters, points, run_tags
from safeguards.tracking.names import LONGEST_PARAM, LONGEST_TAG, key


@dataclass
class Settings:
    rate: float
    api_key: str


def as_dict(entities: list[Any]) -> dict[str, Any]:
    return {entity.key: entity.value for entity in entities}


def test_points_carry_step_and_value() -> None:
    loss, nothing = points({"loss": torch.tensor(0.5), "nan": math.nan}, step=7)
    assert (loss.key, loss.value, loss.step) == ("loss", 0.5, 7)
    assert math.isnan(nothing.value)
    assert points({"x": 1}, None)[0].step is None


def test_infinity_is_told_by_a_tag_and_makes_no_point() -> None:
    assert as_dict(points({"a/b": math.inf, "c": -math.inf}, step=3)) == {
        "safeguards.infinite.a/b": "inf at step 3",
        "safeguards.infinite.c": "-inf at step 3",
    }


def test_what_is_no_number_makes_no_point_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert points({"word": "0.5", "thing": object()}, 0) == []
    assert [record.getMessage() for record in caplog.records] == [
        "the metric word is no number and is left out",
        "the metric thing is no number and is left out",
    ]


def test_nested_settings_become_flat_parameters_without_secrets() -> None:
    tree = {
        "lr": 0.1,
        "net": {"layers": [1, 2], "empty": {}},
        "db": Namespace(url="http://u:canary@h/x", password="canary"),
        "s": Settings(0.5, "canary"),
        "list": [{"token": "canary"}],
        "bytes": b"password=canary",
    }
    assert as_dict(parameters(tree)) == {
        "lr": "0.1",
        "net/layers": "[1, 2]",
        "net/empty": "{}",
        "db/url": f"http://{MARK}@h/x",
        "db/password": MARK,
        "s/rate": "0.5",
        "s/api_key": MARK,
        "list": f"[{{'token': '{MARK}'}}]",
        "bytes": f"b'password={MARK}",
    }
    assert as_dict(parameters(Namespace(lr=1))) == {"lr": "1"}


def test_long_parameters_keep_their_beginning() -> None:
    value = as_dict(parameters({"x": "a" * 7000}))["x"]
    assert len(value) == LONGEST_PARAM
    assert value.endswith("a... [7000 characters]")


def test_a_secret_is_hidden_before_a_value_is_cut() -> None:
    """A password that straddles the cut would lose the "@" by which it is known."""
    late = "a" * (LONGEST_PARAM - 60) + " http://me:" + "canary" * 10 + "@host"
    value = as_dict(parameters({"x": late.encode()}))["x"]
    assert "canary" not in value


def test_tags_of_users_are_redacted_and_ours_are_not() -> None:
    assert as_dict(run_tags({"team": "a", "hf_token": "canary", "n<3": 1})) == {
        "team": "a",
        "hf_token": MARK,
        key("n<3"): "1",
    }
    assert as_dict(own_tags({"safeguards.fairness.token": "PASS"})) == {"safeguards.fairness.token": "PASS"}
    assert len(own_tags({"x": "a" * 9000})[0].value) == LONGEST_TAG


def test_secrets_of_the_environment_reach_no_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "canary-of-the-environment")
    assert as_dict(parameters({"note": "it is canary-of-the-environment"})) == {"note": f"it is {MARK}"}
