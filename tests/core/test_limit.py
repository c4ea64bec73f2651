"""The one rule of decision."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards.core.errors import ConfigurationError
from safeguards.core.limit import Limit, decide, judged
from safeguards.core.verdict import Cost, Measurement, Moment, Outcome

AT_MOST = Limit(at_most=0.1)
AT_LEAST = Limit(at_least=0.9)


def found(value: float, interval: tuple[float, float] | None = None, n: int = 100, **more: str) -> Measurement:
    return Measurement(value=value, interval=interval, n=n, **more)


@pytest.mark.parametrize(
    ("limit", "measurement", "outcome"),
    [
        (AT_MOST, found(0.05, (0.02, 0.1)), Outcome.PASS),
        (AT_MOST, found(0.05, (0.02, 0.11)), Outcome.INCONCLUSIVE),
        (AT_MOST, found(0.2, (0.11, 0.3)), Outcome.FAIL),
        (AT_MOST, found(0.2, (0.1, 0.3)), Outcome.INCONCLUSIVE),
        (AT_LEAST, found(0.95, (0.9, 0.99)), Outcome.PASS),
        (AT_LEAST, found(0.95, (0.89, 0.99)), Outcome.INCONCLUSIVE),
        (AT_LEAST, found(0.5, (0.4, 0.6)), Outcome.FAIL),
        (AT_MOST, found(0.1), Outcome.PASS),
        (AT_MOST, found(0.1001), Outcome.FAIL),
        (Limit(at_most=0.1, warn_within=0.03), found(0.08, (0.06, 0.09)), Outcome.WARN),
        (Limit(at_most=0.1, warn_within=0.03), found(0.05, (0.02, 0.09)), Outcome.PASS),
        (Limit(at_most=0.1, warn_within=0.03), found(0.07), Outcome.PASS),
        (AT_MOST, found(math.nan), Outcome.ERROR),
        (AT_MOST, found(math.inf), Outcome.ERROR),
        (AT_LEAST, found(math.inf), Outcome.ERROR),
        (AT_MOST, found(0.05, (math.nan, 0.06)), Outcome.ERROR),
        (AT_MOST, found(math.nan, model_fault="NaN logits"), Outcome.FAIL),
        (AT_MOST, found(0.0, (0.0, 0.01), model_fault="NaN logits"), Outcome.FAIL),
        (AT_MOST, found(0.0, (0.0, 0.01), insufficient="one group"), Outcome.INCONCLUSIVE),
        (AT_MOST, found(0.05, (0.02, 0.1), shrunk="shared"), Outcome.INCONCLUSIVE),
        (AT_MOST, found(0.05, shrunk="shared"), Outcome.INCONCLUSIVE),
        (Limit(at_most=0.1, warn_within=0.03), found(0.08, (0.06, 0.09), shrunk="shared"), Outcome.INCONCLUSIVE),
        (AT_MOST, found(0.2, (0.11, 0.3), shrunk="shared"), Outcome.FAIL),
        (Limit(at_most=0.0), found(0.2, shrunk="shared"), Outcome.FAIL),
        (Limit(at_most=-0.1), found(-0.05, (-0.06, -0.04), shrunk="shared"), Outcome.INCONCLUSIVE),
        (Limit(at_least=-0.1), found(-0.2, (-0.3, -0.11), shrunk="shared"), Outcome.FAIL),
        (AT_LEAST, found(0.5, (0.4, 0.6), shrunk="shared"), Outcome.INCONCLUSIVE),
        (AT_MOST, found(0.2, (0.11, 0.3), shrunk="shared", insufficient="one group"), Outcome.INCONCLUSIVE),
        (AT_MOST, found(math.nan, shrunk="shared"), Outcome.ERROR),
        (AT_MOST, found(math.nan, shrunk="shared", model_fault="NaN logits"), Outcome.FAIL),
    ],
)
def test_rule(limit: Limit, measurement: Measurement, outcome: Outcome) -> None:
    assert decide(measurement, limit).outcome is outcome


def test_point_ignores_the_interval_and_says_so() -> None:
    decision = decide(found(0.05, (0.0, 0.9)), AT_MOST, on="point")
    assert decision.outcome is Outcome.PASS
    assert "on the value alone, as asked" in decision.reason


def test_without_interval_the_reason_says_so() -> None:
    assert "it has no interval" in decide(found(0.05), AT_MOST).reason


def test_across_names_the_rows_that_would_decide() -> None:
    measurement = found(0.05, (0.0, 0.15), n=100)
    assert decide(measurement, AT_MOST).rows_to_decide == 400
    assert "about 400 rows would decide it" in decide(measurement, AT_MOST).reason


def test_an_interval_that_does_not_narrow_with_the_root_of_n_names_no_rows() -> None:
    measurement = Measurement(value=0.05, interval=(0.0, 0.15), n=100, narrows=False)
    assert decide(measurement, AT_MOST).reason.endswith("the interval crosses the limit")
    assert decide(measurement, AT_MOST).rows_to_decide is None


def test_the_rows_that_would_decide_are_an_estimate_of_two_digits() -> None:
    """Half-width 0.1 at a distance of 0.03: (10 / 3)^2 times the 100 rows are 1,112, about 1,200."""
    decision = decide(found(0.07, (0.0, 0.17), n=100), AT_MOST)
    assert decision.rows_to_decide == 1200
    assert "about 1,200 rows would decide it" in decision.reason


@pytest.mark.parametrize(
    "measurement",
    [
        Measurement(value=0.05, interval=(0.0, 0.08), n=100),
        Measurement(value=0.25, interval=(0.2, 0.3), n=100),
        Measurement(value=0.05, interval=(0.0, 0.15), n=100, insufficient="small groups"),
        Measurement(value=0.05, interval=(0.0, 0.15), n=100, shrunk="shared rows"),
        Measurement(value=0.05, interval=(0.0, 0.15), n=0),
        Measurement(value=0.05, n=100),
    ],
)
def test_what_is_decided_and_what_rows_cannot_decide_names_no_rows(measurement: Measurement) -> None:
    assert decide(measurement, AT_MOST).rows_to_decide is None


def test_on_the_limit_no_number_of_rows_decides() -> None:
    assert "no number of rows" in decide(found(0.1, (0.0, 0.2)), AT_MOST).reason
    assert decide(found(0.1, (0.0, 0.2)), AT_MOST).rows_to_decide is None


def test_margin_is_signed_in_the_unit_of_the_value() -> None:
    assert decide(found(0.25), AT_MOST).margin == pytest.approx(-0.15)
    assert decide(found(0.95), AT_LEAST).margin == pytest.approx(0.05)
    assert decide(found(math.nan), AT_LEAST).margin is None


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"at_most": 1, "at_least": 0},
        {"at_most": math.nan},
        {"at_least": math.inf},
        {"at_most": "1"},
        {"at_most": True},
    ],
)
def test_bad_limits_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Limit(**arguments)  # type: ignore[arg-type]


def test_negative_band_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="warn_within"):
        Limit(at_most=1, warn_within=-0.1)


numbers = st.floats(-10, 10)


@given(value=numbers, half=st.floats(0, 5), bound=numbers, least=st.booleans())
def test_pass_and_fail_never_hold_for_overlapping_evidence(
    value: float, half: float, bound: float, least: bool
) -> None:
    limit = Limit(at_least=bound) if least else Limit(at_most=bound)
    outcome = decide(found(value, (value - half, value + half)), limit).outcome
    inside = [limit.margin(end) >= 0 for end in (value - half, value + half)]
    expected = {(True, True): Outcome.PASS, (False, False): Outcome.FAIL}.get(
        (inside[0], inside[1]), Outcome.INCONCLUSIVE
    )
    assert outcome is expected


@given(bound=numbers, least=st.booleans(), on=st.sampled_from(["interval", "point"]))
def test_nan_never_passes(bound: float, least: bool, on: str) -> None:
    limit = Limit(at_least=bound) if least else Limit(at_most=bound)
    for measurement in (found(math.nan), found(math.nan, (bound - 1, bound - 1)), found(bound, (math.nan, math.nan))):
        decision = decide(measurement, limit, on=on)  # type: ignore[arg-type]
        assert decision.outcome is not Outcome.PASS or (on == "point" and not math.isnan(measurement.value))


@pytest.mark.parametrize(
    ("measurement", "outcome", "value"),
    [
        (found(0.05), Outcome.PASS, 0.05),
        (found(math.nan, model_fault="NaN logits"), Outcome.FAIL, math.nan),
        (found(math.nan), Outcome.ERROR, math.nan),
        (found(math.nan, insufficient="no rows"), Outcome.INCONCLUSIVE, None),
        (found(0.05, insufficient="3 rows"), Outcome.INCONCLUSIVE, 0.05),
    ],
)
def test_a_verdict_has_no_value_only_where_the_evidence_gave_none(
    measurement: Measurement, outcome: Outcome, value: float | None
) -> None:
    moment, cost = Moment(stage="validate", epoch=0, step=1), Cost(seconds=0.1)
    made = judged(measurement, AT_MOST, safeguard="toy", measure="gap", moment=moment, cost=cost)
    decided = decide(measurement, AT_MOST)
    assert (made.outcome, made.reason, made.margin) == (outcome, decided.reason, decided.margin)
    assert made.value == value or (value is not None and math.isnan(value) and math.isnan(made.value or 0.0))
    assert (made.safeguard, made.measure, made.moment, made.limit) == ("toy", "gap", moment, AT_MOST)
    assert (made.n, made.cost) == (100, cost)
