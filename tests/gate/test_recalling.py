"""A candidate that comes again hears the same ruling, every reason and waiver of it."""

from datetime import UTC, datetime

import pytest

from safeguards.gate import audit, promote
from safeguards.gate.history import LONGEST_WHY
from safeguards.tracking.registry import LONGEST_ENTRY
from tests.gate.evidence import GOOD, REQUIRED, policy
from tests.gate.memory import MemoryRegistry, Store
from tests.gate.test_crashes import Stopped, counting, stopping
from tests.gate.test_promotion import ASKED, entries, make

pytestmark = pytest.mark.usefixtures("at_once")

RULING = "safeguards.ruling"


def waived(*measures, **options):
    named = {"reason": "no attack yet", "name": "R. Meyer", "expires": "2999-01-01"}
    return policy(tracked=False, waivers=[{"measure": measure, **named} for measure in measures], **options)


MANY = [f"fairness/{'gap' * 20}_{number}" for number in range(30)]


@pytest.mark.parametrize(
    ("asked", "verdicts", "told"),
    [
        (waived(REQUIRED[1]), GOOD[:1], (True, 1, 0)),
        (waived(REQUIRED[1], required=[*REQUIRED, *MANY]), GOOD[:1], (False, 1, 30)),
    ],
    ids=["waived", "refused"],
)
def test_stopped_at_any_step_it_hears_the_same(tmp_path, registry, asked, verdicts, told):
    folder, _ = make(tmp_path / "a", registry, verdicts=verdicts)
    steps = []
    first = promote(folder, policy=asked, registry=MemoryRegistry(Store(tmp_path / "whole"), at=counting(steps)))
    assert (first.admitted, len(first.waived), len(first.reasons)) == told
    assert told[0] or len("; ".join(first.reasons)) > LONGEST_WHY, "more than the entry itself holds"
    for at in range(1, len(steps) + 1):
        store = Store(tmp_path / f"at-{at}")
        with pytest.raises(Stopped):
            promote(folder, policy=asked, registry=MemoryRegistry(store, at=stopping(at)))
        assert promote(folder, policy=asked, registry=MemoryRegistry(store)) == first, steps[at - 1]


@pytest.mark.parametrize("tag", ['{"admitted":true,"reasons":[],"waived":[]}', "", "x"])
def test_what_somebody_wrote_into_the_tag_is_not_believed(tmp_path, registry, tag):
    folder, _ = make(tmp_path / "a", registry, verdicts=GOOD[:1])
    promote(folder, policy=ASKED, registry=registry)
    registry.tag(1, {RULING: tag})
    (reason,) = promote(folder, policy=ASKED, registry=registry).reasons
    assert reason.startswith("settled: version 1 was refused on ")
    assert REQUIRED[1] in reason


def test_a_waiver_is_told_of_even_where_the_tag_is_lost(tmp_path, registry):
    folder, _ = make(tmp_path / "a", registry, verdicts=GOOD[:1])
    promote(folder, policy=waived(REQUIRED[1]), registry=registry)
    registry.tag(1, {RULING: ""})
    again = promote(folder, policy=waived(REQUIRED[1]), registry=registry)
    assert (again.admitted, again.waived) == (True, (f"{REQUIRED[1]}: waived until 2999-01-01T00:00:00+00:00",))


def test_the_history_keeps_the_end_of_every_waiver_that_was_used(tmp_path, registry):
    """Whatever its measure is called."""
    measures = [*(f"fairness/measure_{number}" for number in range(30)), "fairness/gap: of women"]
    folder, _ = make(tmp_path / "a", registry)
    asked = waived(*measures, "fairness/unused", required=measures)
    assert promote(folder, policy=asked, registry=registry).admitted
    (entry,) = entries(registry)
    assert [measure for measure, _ in entry.expiring] == measures
    assert len(audit(registry, now=datetime(3000, 1, 1, tzinfo=UTC))) == len(measures)


def test_more_waivers_than_the_history_has_room_for_are_refused(tmp_path, registry):
    measures = [f'fairness/"{"x" * 90}{number}' for number in range(100)]
    folder, _ = make(tmp_path / "a", registry)
    (reason,) = promote(folder, policy=waived(*measures, required=measures), registry=registry).reasons
    assert reason.startswith("waivers: 100 are needed, more than the history has room for")
    assert len(registry.history()[0]) < LONGEST_ENTRY
