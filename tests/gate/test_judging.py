"""What the gate refuses, each with its reason, and all of them at once."""

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards import Limit, Outcome
from safeguards.gate import compare_means, compare_rates, judge
from tests.gate.evidence import GOOD, NOW, REQUIRED, A, policy, record, verdict

CHAMPION = record(config="d" * 64, run_id="champion")
FAIR, ROBUST = REQUIRED


def rule(sealed=None, *, asked=None, champion=None, **options):
    return judge(sealed or record(), asked or policy(), champion=champion, now=NOW, **options)


def against(*comparisons, **changes):
    return record(champion=CHAMPION.digest, comparisons=comparisons, **changes)


def rates(gains, losses, n=1000, measure="accuracy", data="holdout"):
    was, now = np.zeros(n, bool), np.zeros(n, bool)
    now[:gains], was[gains : gains + losses] = True, True
    return compare_rates(measure, was, now, data=data)


def test_good_evidence_is_admitted():
    assert rule() == rule(record(verdicts=(verdict(FAIR, 0.5, step=1), *GOOD)))
    assert rule().admitted
    assert rule().reasons == ()


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.ERROR, Outcome.NOT_EVALUATED])
@pytest.mark.parametrize("name", [FAIR, "explain/whatever"])
def test_every_outcome_that_does_not_admit_refuses_asked_for_or_not(outcome, name):
    found = rule(record(verdicts=(*GOOD, verdict(name, outcome=outcome, step=11))))
    assert not found.admitted
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith(f"{name}: {outcome} at validate epoch 1 step 11: ")


def test_a_warning_admits():
    close = verdict(FAIR, 0.085, limit=Limit(at_most=0.1, warn_within=0.05))
    assert close.outcome is Outcome.WARN
    assert rule(record(verdicts=(close, GOOD[1]))).admitted


def test_each_loader_counts():
    found = rule(record(verdicts=(*GOOD, verdict(FAIR, 0.5, loader="night"))))
    assert found.reasons[0].startswith(f"{FAIR}: FAIL [night] at ")


def test_a_verdict_that_is_missing_refuses():
    assert rule(record(verdicts=GOOD[:1])).reasons == (f"{ROBUST}: no verdict on it, and the policy requires one",)
    assert len(rule(record(verdicts=())).reasons) == 2


@pytest.mark.parametrize("value", [0.2, math.nan, None])
def test_a_pass_that_its_own_number_contradicts_refuses(value):
    forged = replace(GOOD[0], value=value)
    assert "which its limit does not allow" in rule(record(verdicts=(forged, GOOD[1]))).reasons[0]


def test_the_gates_own_limits_hold_the_whole_interval():
    assert rule(asked=policy(limits={FAIR: {"at_most": 0.061}})).admitted
    assert (
        "INCONCLUSIVE by the policy: 0.05 [0.04, 0.06]"
        in rule(asked=policy(limits={FAIR: {"at_most": 0.055}})).reasons[0]
    )
    assert "FAIL by the policy" in rule(asked=policy(limits={FAIR: {"at_most": 0.03}})).reasons[0]
    assert "no verdict on it, and the policy limits it" in rule(asked=policy(limits={"a/b": {"at_most": 1}})).reasons[0]
    silent = record(verdicts=(verdict(FAIR, outcome=Outcome.NOT_EVALUATED), GOOD[1]))
    assert len(rule(silent, asked=policy(limits={FAIR: {"at_most": 1}})).reasons) == 2


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"judged": (NOW - timedelta(days=8)).isoformat()}, "8.0 days old, at most 7 are allowed"),
        ({"judged": (NOW + timedelta(hours=1)).isoformat()}, "to come: is a clock wrong?"),
        ({"made": (NOW + timedelta(hours=1)).isoformat()}, "to come: is a clock wrong?"),
        ({"judged": "yesterday"}, "'yesterday', which is none"),
        ({"tracking_run": None}, "not in MLflow"),
    ],
)
def test_evidence_that_is_stale_or_of_no_known_moment_or_untracked_refuses(change, match):
    (reason,) = rule(record(**change)).reasons
    assert match in reason


@pytest.mark.parametrize("state", [None, "waiting", "degraded: no artifacts", "COMPLETE"])
def test_a_run_whose_artifacts_are_not_stored_waits(state):
    assert "does not have all of the run yet" in rule(tracking=state).reasons[0]
    assert rule(tracking=state, asked=policy(tracked=False)).admitted


def test_the_champion_must_be_the_one_that_it_was_compared_with():
    """Two retrainings at once: both compared with the same champion, and the other was promoted meanwhile."""
    other = record(config="e" * 64)
    for sealed, champion in ((record(), CHAMPION), (against(), other), (against(), None)):
        (reason,) = rule(sealed, champion=champion).reasons
        assert reason.startswith("champion: it was compared with the champion ")
    assert rule(against(), champion=CHAMPION).admitted
    waivers = [{"measure": "champion", "reason": "r", "name": "n", "expires": "2027-01-01"}]
    assert not rule(against(), champion=other, asked=policy(waivers=waivers)).admitted


def test_limits_against_the_champions_record():
    def ask(**rule):
        return policy(against_champion={ROBUST: rule})

    weak = against(verdicts=(GOOD[0], verdict(ROBUST, 0.63)))
    assert rule(weak, champion=CHAMPION, asked=ask(at_least=-0.08)).admitted
    (reason,) = rule(weak, champion=CHAMPION, asked=ask(at_least=-0.05)).reasons
    assert reason.startswith(f"{ROBUST}: FAIL: the difference to the champion (0.63 against 0.7) is -0.07 against")
    assert rule(weak, champion=CHAMPION, asked=ask(at_least=0.89, of="ratio")).admitted
    assert not rule(weak, champion=CHAMPION, asked=ask(at_least=0.95, of="ratio")).admitted
    silent = replace(CHAMPION, verdicts=GOOD[:1])
    found = rule(record(champion=silent.digest), champion=silent, asked=ask(at_least=-1))
    assert "the champion has no verdict on it" in found.reasons[0]
    zero = replace(CHAMPION, verdicts=(GOOD[0], verdict(ROBUST, 0.0)))
    found = rule(record(champion=zero.digest), champion=zero, asked=ask(at_least=0.5, of="ratio"))
    assert "cannot be told from 0.7 and 0.0" in found.reasons[0]


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("other", [{"loader": "night"}, {"loader": "day", "stage": "test"}])
def test_a_loader_that_only_one_of_the_two_was_judged_on_is_no_comparison(ours, other):
    one, both = verdict(ROBUST, 0.7, loader="day"), (verdict(ROBUST, 0.7, loader="day"), verdict(ROBUST, 0.9, **other))
    champion = replace(CHAMPION, verdicts=(GOOD[0], one) if ours else (GOOD[0], *both))
    sealed = record(champion=champion.digest, verdicts=(GOOD[0], *both) if ours else (GOOD[0], one))
    asked = policy(against_champion={ROBUST: {"at_least": -0.1}})
    (reason,) = rule(sealed, champion=champion, asked=asked).reasons
    where = "test[day]" if "stage" in other else "validate[night]"
    assert reason.endswith(f"cannot be told: {'the champion' if ours else 'it'} has no verdict on it at {where}")


def test_no_worse_on_the_same_rows_means_the_whole_interval():
    asked = policy(paired={"accuracy": {"better": "higher", "margin": 0.05}})
    assert rule(against(rates(20, 20)), champion=CHAMPION, asked=asked).admitted
    (reason,) = rule(against(rates(40, 60)), champion=CHAMPION, asked=asked).reasons
    assert reason.startswith("paired/accuracy: INCONCLUSIVE, not shown to be no worse: the gain is -0.02 [")
    assert "FAIL" in rule(against(rates(0, 200)), champion=CHAMPION, asked=asked).reasons[0]
    share = policy(paired={"accuracy": {"better": "higher", "margin_share": 0.9}})
    assert not rule(against(rates(20, 20)), champion=CHAMPION, asked=share).admitted  # 0.9 of 0.02
    assert rule(against(rates(0, 0)), champion=CHAMPION, asked=asked).admitted


def test_a_gain_that_is_asked_for_must_be_sure_and_large_enough():
    asked = policy(paired={"accuracy": {"better": "higher", "margin": 1, "minimum_effect": 0.02}})
    assert rule(against(rates(60, 20)), champion=CHAMPION, asked=asked).admitted
    assert "not shown to be better" in rule(against(rates(40, 20)), champion=CHAMPION, asked=asked).reasons[0]
    assert "too small a gain" in rule(against(rates(19, 0)), champion=CHAMPION, asked=asked).reasons[0]
    same = compare_means("loss", np.arange(50), np.arange(50), data="holdout")
    lower = policy(paired={"loss": {"better": "lower", "minimum_effect": 0.001}})
    assert "too small a gain" in rule(against(same), champion=CHAMPION, asked=lower).reasons[0]


def test_a_comparison_that_is_missing_or_of_rows_that_nobody_knows_refuses():
    asked = policy(paired={"accuracy": {"better": "higher", "margin": 1}})
    assert "was not compared with the champion" in rule(against(), champion=CHAMPION, asked=asked).reasons[0]
    (reason,) = rule(against(rates(1, 1, data="elsewhere")), champion=CHAMPION, asked=asked).reasons
    assert "'elsewhere', of which the record has no digest" in reason
    assert "too few" in rule(against(rates(1, 1, n=20)), champion=CHAMPION, asked=asked).reasons[0]
    assert rule(asked=asked).admitted, "the first champion has nobody to be compared with"


def test_a_rule_for_every_group_is_asked_of_each_and_of_one_at_least():
    asked = policy(paired={"accuracy/*": {"better": "higher", "margin": 0.1}})
    fine, worse = rates(20, 0, measure="accuracy/sex=f"), rates(0, 200, measure="accuracy/sex=m")
    assert rule(against(fine, rates(0, 900)), champion=CHAMPION, asked=asked).admitted
    (reason,) = rule(against(fine, worse), champion=CHAMPION, asked=asked).reasons
    assert reason.startswith("paired/accuracy/sex=m: FAIL")
    (reason,) = rule(against(rates(20, 0)), champion=CHAMPION, asked=asked).reasons
    assert reason.startswith("paired/accuracy/*: it was not compared")


def test_a_model_that_gives_numbers_that_are_none_never_wins():
    asked = policy(paired={"loss": {"better": "lower", "margin_share": 9, "margin": 9}})
    nan = compare_means("loss", [1.0] * 40, [math.nan] * 40, data="holdout")
    assert "FAIL" in rule(against(nan), champion=CHAMPION, asked=asked).reasons[0]
    was = compare_means("loss", [math.nan] * 40, [1.0] * 40, data="holdout")
    assert "INCONCLUSIVE" in rule(against(was), champion=CHAMPION, asked=asked).reasons[0]


def test_more_attempts_are_planned_the_surer_each_must_be():
    def asked(attempts):
        return policy(paired={"accuracy": {"better": "higher", "minimum_effect": 0.01}}, planned_attempts=attempts)

    better = against(rates(45, 20))
    assert rule(better, champion=CHAMPION, asked=asked(1)).admitted
    assert not rule(better, champion=CHAMPION, asked=asked(52)).admitted
    assert rule(better, champion=CHAMPION, asked=asked(2), attempts=1).admitted
    (reason,) = rule(better, champion=CHAMPION, asked=asked(2), attempts=2).reasons
    assert reason.startswith("paired: 2 challengers were compared within 365 days, 2 are planned for")


def test_a_waiver_lets_one_reason_pass_until_it_expires():
    def asked(expires):
        return policy(waivers=[{"measure": FAIR, "reason": "known bug", "name": "R. Meyer", "expires": expires}])

    unfair = record(verdicts=(verdict(FAIR, 0.5), GOOD[1]))
    found = rule(unfair, asked=asked("2026-11-26"))
    assert found.admitted
    assert found.waived[0].endswith("(waived by R. Meyer until 2026-11-26: known bug)")
    (reason,) = rule(unfair, asked=asked("2026-11-25")).reasons
    assert reason.endswith("(the waiver by R. Meyer expired on 2026-11-25)")
    assert not rule(record(verdicts=(GOOD[0], verdict(ROBUST, 0.1))), asked=asked("2026-11-26")).admitted


def test_all_reasons_are_told_not_the_first():
    asked = policy(
        limits={FAIR: {"at_most": 0.01}},
        paired={"accuracy": {"better": "higher"}},
        against_champion={FAIR: {"at_most": 0}},
    )
    bad = record(
        verdicts=(verdict(FAIR, 0.5),), judged=(NOW - timedelta(days=9)).isoformat(), champion=A, tracking_run=None
    )
    found = rule(bad, champion=CHAMPION, asked=asked)
    subjects = [reason.split(":")[0] for reason in found.reasons]
    assert subjects == ["age", "tracking", ROBUST, FAIR, FAIR, "champion", FAIR, "paired/accuracy"]


@given(st.lists(st.sampled_from(list(Outcome)), min_size=2, max_size=4))
def test_only_pass_and_warn_let_a_model_through(outcomes):
    names = [FAIR, ROBUST, "a/b", "c/d"]
    found = [
        verdict(name, 0.05 if name == FAIR else 0.7, outcome=one) for name, one in zip(names, outcomes, strict=False)
    ]
    limits = {one.measure: one for one in found if one.outcome.admits and one.margin < 0}
    assert rule(record(verdicts=tuple(found))).admitted == (all(one.admits for one in outcomes) and not limits)
