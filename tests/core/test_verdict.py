"""Verdicts as plain values, there and back."""

import json
import math
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch

from safeguards.core.limit import Limit
from safeguards.core.verdict import Cost, Moment, Outcome, Verdict, plain


def verdict(**changes: object) -> Verdict:
    given = {
        "safeguard": "fairness",
        "measure": "demographic_parity_difference",
        "outcome": Outcome.FAIL,
        "reason": "because",
        "moment": Moment(stage="validate", epoch=2, step=40, loader="b"),
        "value": 0.25,
        "limit": Limit(at_most=0.1, warn_within=0.02),
        "margin": -0.15,
        "unit": "share",
        "interval": (0.2, 0.3),
        "n": 57,
        "rows_to_decide": 400,
        "details": {"groups": {"a": 1}},
        "cost": Cost(seconds=0.5, share_of_fit=0.01),
    }
    return Verdict(**{**given, **changes})  # type: ignore[arg-type]


def test_there_and_back_through_json() -> None:
    original = verdict()
    assert Verdict.from_dict(json.loads(json.dumps(original.to_dict(), allow_nan=False))) == original


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinities_come_back(value: float) -> None:
    assert Verdict.from_dict(verdict(value=value).to_dict()).value == value


def test_nan_comes_back_as_nan() -> None:
    back = Verdict.from_dict(json.loads(json.dumps(verdict(value=math.nan, margin=None).to_dict(), allow_nan=False)))
    assert back.value is not None
    assert math.isnan(back.value)


def test_bare_verdict_comes_back() -> None:
    bare = verdict(value=None, limit=None, margin=None, interval=None, cost=None, details={})
    assert Verdict.from_dict(bare.to_dict()) == bare


def test_only_pass_and_warn_admit() -> None:
    assert [outcome for outcome in Outcome if outcome.admits] == [Outcome.PASS, Outcome.WARN]


class Colour(Enum):
    RED = np.float64(1.5)


def test_plain_values() -> None:
    mixed = {
        1: np.float64(0.5),
        "array": np.arange(2),
        "tensor": torch.tensor([1.0, math.nan]),
        "path": Path("a"),
        "enum": Colour.RED,
        "set": {3},
        "bool": np.bool_(True),
        "none": None,
    }
    assert plain(mixed) == {
        "1": 0.5,
        "array": [0, 1],
        "tensor": [1.0, "nan"],
        "path": "a",
        "enum": 1.5,
        "set": [3],
        "bool": True,
        "none": None,
    }


def test_plain_numbers_are_of_the_builtin_types() -> None:
    assert type(plain(np.float64(0.5))) is float
    assert type(plain(np.int64(5))) is int
