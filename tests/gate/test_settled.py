"""The same data with the same configuration is one question to the gate, however often it is trained."""

import numpy as np
import pytest

from safeguards.gate import History, compare_rates, promote, rollback
from tests.gate.evidence import GOOD, NOW, REQUIRED, policy, verdict
from tests.gate.test_promotion import ASKED, entries, make
from tests.gate.test_restoring import crowned

pytestmark = pytest.mark.usefixtures("at_once")

SAME = {"config": {"same": True}}


def told(registry):
    return registry.history(), registry.versions(), registry.champion()


def test_what_was_rolled_back_does_not_return_by_being_trained_again(tmp_path, registry):
    crowned(tmp_path, registry, 1)
    folder, _ = make(tmp_path / "a", registry, seed=7, **SAME)
    assert promote(folder, policy=ASKED, registry=registry).version == 2
    rollback(registry, why="it harms people")
    before = told(registry)
    for seed in (7, 8):
        folder, _ = make(tmp_path / f"again-{seed}", registry, seed=seed, notes={"again": "yes"}, **SAME)
        ruling = promote(folder, policy=ASKED, registry=registry)
        assert (ruling.admitted, ruling.version) == (False, None)
        assert "safeguards rollback --to 2" in ruling.reasons[0]
    assert told(registry) == before


def test_what_was_refused_is_not_trained_until_it_is_lucky(tmp_path, registry):
    crowned(tmp_path, registry, 1)
    bad, _ = make(tmp_path / "bad", registry, seed=7, verdicts=[GOOD[0], verdict(REQUIRED[1], 0.1)], **SAME)
    first = promote(bad, policy=ASKED, registry=registry)
    assert not first.admitted
    before = told(registry)
    lucky, _ = make(tmp_path / "lucky", registry, seed=8, **SAME)
    ruling = promote(lucky, policy=ASKED, registry=registry)
    assert ruling.reasons[0].startswith("settled: version 2, of the same data and configuration, was refused on")
    assert (ruling.reasons[1:], ruling.version) == (first.reasons, None)
    assert told(registry) == before


@pytest.mark.parametrize("what", ["policy", "code", "champion", "measured anew", "record is lost"])
def test_there_is_reason_to_rule_again(tmp_path, registry, what):
    crowned(tmp_path, registry, 2)
    bad, sealed = make(tmp_path / "bad", registry, seed=7, verdicts=[GOOD[0], verdict(REQUIRED[1], 0.1)], **SAME)
    assert not promote(bad, policy=ASKED, registry=registry).admitted
    if what == "champion":
        rollback(registry)
    if what == "record is lost":
        (tmp_path / "store" / "records" / sealed.digest / "record.json").unlink()
    options = {**SAME, "code": tmp_path / "bad" / "lock"} if what == "code" else SAME
    folder, _ = make(tmp_path / "again", registry, seed=7 if what == "measured anew" else 8, **options)
    asked = policy(tracked=False, maximum_age_days=3) if what == "policy" else ASKED
    assert promote(folder, policy=asked, registry=registry).version == 4


def test_the_same_refusal_of_the_same_weights_is_written_once(tmp_path, registry):
    crowned(tmp_path, registry, 1)
    rulings = []
    for number in range(3):
        folder, _ = make(tmp_path / f"r{number}", registry, seed=1, verdicts=GOOD[:1], notes={"n": str(number)})
        rulings.append(promote(folder, policy=ASKED, registry=registry))
    assert [one.reasons for one in rulings] == [rulings[0].reasons] * 3
    assert [one.version for one in rulings] == [2, None, None]
    assert [one.action for one in entries(registry)] == ["promoted", "refused"]
    assert len(registry.versions()) == 2


def test_one_candidate_is_one_attempt_against_one_champion(registry):
    history = History(entries=(), problems=())
    for record, before in (("0", None), ("a", 1), ("a", 1), ("b", 1), ("b", 2), ("c", 2)):
        told = {"when": NOW.isoformat(), "who": "", "why": "", "policy": ""}
        entry = history.next(**told, action="refused", before=before, after=before, version=9, record=record, key="k")
        history = History(entries=(*history.entries, entry), problems=())
    assert history.attempts(other_than="z", now=NOW, days=1) == 4, "the first champion met nobody"
    assert history.attempts(other_than="b", now=NOW, days=1) == 3, "the former champion was another to beat"


def test_who_changes_the_code_until_one_is_lucky_is_counted(tmp_path, registry):
    """The same data and configuration, code of its own each time: more chances than are planned for."""
    crowned(tmp_path, registry, 1)
    asked = policy(tracked=False, paired={"accuracy": {"better": "higher", "minimum_effect": 0.5}}, planned_attempts=4)
    same = np.arange(100) % 5 > 0
    for number in range(5):
        (tmp_path / f"code-{number}").write_text(str(number))
        compared = [compare_rates("accuracy", same, np.roll(same, number), data="holdout")]
        options = {**SAME, "code": tmp_path / f"code-{number}", "comparisons": compared}
        folder, _ = make(tmp_path / f"c{number}", registry, seed=10 + number, **options)
        ruling = promote(folder, policy=asked, registry=registry)
        counted = [one for one in ruling.reasons if "challengers were compared" in one]
        assert len(counted) == (number >= 4), ruling


def test_what_does_not_predict_here_is_told_with_all_the_rest_and_may_be_asked_again(tmp_path, registry, monkeypatch):
    folder, _ = make(tmp_path / "a", registry, verdicts=GOOD[:1])
    with monkeypatch.context() as patched:
        patched.setattr("safeguards.gate.promotion.check_in_a_fresh_process", lambda *_, **__: "it took too long")
        reasons = promote(folder, policy=ASKED, registry=registry).reasons
    assert reasons[0] == "prediction: it took too long"
    assert reasons[1].startswith(f"{REQUIRED[1]}: no verdict on it")
    assert (registry.history(), registry.versions()) == ([], [])
    assert promote(folder, policy=ASKED, registry=registry).version == 1
