"""A year of weekly retraining, many times over: what the gate lets through, beside "the better score wins".

Models are simulated by what they answer, row by row, so that it is known which of two is truly better. What judges them
is the real thing: the drift decision, the paired comparisons, the policy and the ruling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

from benchmarks.timing import Result
from safeguards import Limit, Measurement, Moment, Outcome, Verdict
from safeguards.core.intervals import clopper_pearson
from safeguards.core.limit import decide
from safeguards.drift import compare_once, measured, profile
from safeguards.fairness import compare_groups
from safeguards.gate import Policy, Record, judge
from safeguards.retraining import Answers, compared, decision
from safeguards.retraining.measures import accuracy

YEARS, WEEKS, ROWS, TABLE_ROWS = 200, 52, 1000, 1000
ALIKE = 0.8  # correlation of two models on a row: the same rows are hard for both
GAIN = 0.03
PATIENCE = 4  # weeks within which a drift must be found and answered
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DRIFT_LIMIT = Limit(at_most=0.1)
LIMITS = {"fairness/worst_group_accuracy": Limit(at_least=0.5), "adversarial/robust_accuracy": Limit(at_least=0.35)}
SHIPPED = Path(__file__).parents[1] / "conf" / "scans" / "policy.yaml"
POLICY = replace(Policy.read(SHIPPED), required=tuple(LIMITS), tracked=False)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """How often a model is right on rows of the large group (70 %), of the small one, and under attack."""

    large: float = 0.85
    small: float = 0.85
    robust: float = 0.60

    def better_by(self, gain: float) -> Truth:
        return Truth(large=self.large + gain, small=self.small + gain, robust=self.robust + gain)


EQUAL = Truth()
UNFAIR = replace(EQUAL, large=0.99, small=0.65)  # 3.8 points better than the champion over all rows
BRITTLE = Truth(large=0.90, small=0.90, robust=0.45)
STALE = EQUAL.better_by(-0.10)  # the champion, once the world has changed


def measure(years: int = YEARS) -> Result:
    draw = np.random.default_rng(0)
    quiet = [equal_year(draw) for _ in range(years)]
    alarms = [sum(alarm(draw, shift=0.0) for _ in range(WEEKS)) for _ in range(years)]
    drifts = [drift_found(draw) for _ in range(years)]
    answers = [weeks_until(draw, champion=STALE, challenger=EQUAL) for _ in range(years)]
    gains = [weeks_until(draw, champion=EQUAL, challenger=EQUAL.better_by(GAIN)) for _ in range(years)]
    bad = {name: [bad_week(draw, truth) for _ in range(years)] for name, truth in (("f", UNFAIR), ("r", BRITTLE))}
    late = PATIENCE + 1
    return Result(
        title=f"A year of weekly retraining, {years} times over",
        target="false promotions of equal models under 5 % for the year, planted regressions refused, drift found",
        headings=("the year holds", "share of the years with", "with the gate", "better score wins"),
        rows=[
            ("nothing new: 52 equal challengers", "a false promotion", *shares(quiet, lambda times: times > 0)),
            ("", "false promotions in a year, on average", *means(quiet)),
            ("", "a false alarm of drift", share([times > 0 for times in alarms]), "no alarm at all"),
            (
                "drift in one week",
                f"no alarm within {PATIENCE} weeks",
                share([at > PATIENCE for at in drifts]),
                "always",
            ),
            ("", f"the stale champion still there {PATIENCE} weeks later", *shares(answers, lambda at: at >= late)),
            ("a bad week, unfair to the small group", "its model promoted", *shares(bad["f"], bool)),
            ("a bad week, brittle under attack", "its model promoted", *shares(bad["r"], bool)),
            (f"challengers {100 * GAIN:.0f} points better", "weeks until one is promoted, on average", *means(gains)),
        ],
        notes=[
            f"{ROWS:,} frozen rows a week, 30 % of them of the small group, new ones each week; a row is as hard for "
            f"one model as for the other (correlation {ALIKE}). Accuracy {EQUAL.large}, under attack {EQUAL.robust}. "
            "After the drift the champion is 10 points worse. The unfair model is 3.8 points better over all rows, and "
            "20 worse on the small group; the brittle one 5 points better, and 15 worse under attack.",
            "The gate, by conf/scans/policy.yaml: a gain of at least 0.01 in accuracy, no loss beyond 0.05 under "
            f"attack and 0.1 in each group, at {POLICY.false_promotion_rate} for all {WEEKS} challengers of a year "
            "together. Limits on the verdicts are so wide that the comparisons have to find both regressions.",
            f"Drift: {TABLE_ROWS:,} rows a side, six columns, one of which moves by half a standard deviation; alarms "
            f"of {WEEKS} weeks in a year without drift. Brackets: 95 % bounds (Clopper-Pearson) over the years.",
        ],
    )


def equal_year(draw: np.random.Generator) -> tuple[int, int]:
    """How often a challenger that is as good as the champion replaces it: by the gate, by the better score."""
    week = [trial(draw, champion=EQUAL, challenger=EQUAL, attempts=attempts) for attempts in range(WEEKS)]
    return sum(gate for gate, _ in week), sum(score for _, score in week)


def bad_week(draw: np.random.Generator, truth: Truth) -> tuple[int, int]:
    """Whether the model of one bad week is promoted, in a week drawn from the year."""
    return trial(draw, champion=EQUAL, challenger=truth, attempts=int(draw.integers(WEEKS)))


def weeks_until(draw: np.random.Generator, *, champion: Truth, challenger: Truth) -> tuple[int, int]:
    """In which week a challenger that is truly better replaces the champion; 53 where it never does."""
    found = [WEEKS + 1, WEEKS + 1]
    for week in range(1, WEEKS + 1):
        for place, promoted in enumerate(trial(draw, champion=champion, challenger=challenger, attempts=week - 1)):
            if promoted:
                found[place] = min(found[place], week)
        if max(found) <= week:
            break
    return found[0], found[1]


def trial(draw: np.random.Generator, *, champion: Truth, challenger: Truth, attempts: int) -> tuple[int, int]:
    """One week: the ruling of the gate, and who has the better score on the same rows."""
    was, now = asked(draw, champion, challenger)
    reigning = sealed(was, None, ())
    record = sealed(now, reigning.digest, compared(was, now))
    ruling = judge(record, POLICY, champion=reigning, now=NOW, attempts=attempts)
    return int(ruling.admitted), int(now.right.mean() > was.right.mean())


def asked(draw: np.random.Generator, *truths: Truth) -> Iterator[Answers]:
    """What each model answers on the same fresh rows."""
    small = np.arange(ROWS) < 0.3 * ROWS
    hard = draw.normal(size=ROWS)
    for truth in truths:
        felt = np.sqrt(ALIKE) * hard + np.sqrt(1 - ALIKE) * draw.normal(size=ROWS)
        right = felt < ndtri(np.where(small, truth.small, truth.large))
        yield Answers(
            ids=np.arange(ROWS),
            target=np.ones(ROWS, dtype=np.int64),
            predicted=right.astype(np.int64),
            confidence=np.ones(ROWS),
            robust=right & (felt < ndtri(truth.robust)),
            groups={"group": np.where(small, "small", "large")},
        )


def sealed(answers: Answers, champion: str | None, comparisons: tuple[object, ...]) -> Record:
    assert answers.robust is not None
    assert answers.target is not None
    worst = "worst_group_accuracy"
    compared_groups = compare_groups(
        {worst: LIMITS[f"fairness/{worst}"]}, answers.groups, true=answers.target, guess=answers.predicted
    )
    found = {
        f"fairness/{worst}": compared_groups[worst],
        "adversarial/robust_accuracy": accuracy(answers.robust),
    }
    return replace(BLANK, verdicts=tuple(verdicts_of(found)), champion=champion, comparisons=comparisons)


def verdicts_of(found: dict[str, Measurement]) -> Iterator[Verdict]:
    for name, measurement in found.items():
        decided = decide(measurement, LIMITS[name])
        safeguard, measure_name = name.split("/")
        yield Verdict(
            safeguard=safeguard,
            measure=measure_name,
            outcome=decided.outcome,
            reason=decided.reason,
            moment=Moment(stage="test", epoch=0, step=0),
            value=measurement.value,
            limit=LIMITS[name],
            margin=decided.margin,
            interval=measurement.interval,
            n=measurement.n,
        )


DIGEST = "0" * 64
BLANK = Record(
    model="simulated", run_id="none", made=NOW.isoformat(), judged=NOW.isoformat(), weights=DIGEST, stored=DIGEST,
    config=DIGEST, code=DIGEST, lock=DIGEST, ledger=DIGEST, data={"frozen": DIGEST},
)  # fmt: skip


def alarm(draw: np.random.Generator, *, shift: float) -> bool:
    """Whether the drift decision calls for a retraining; one of six columns is off by ``shift`` standard deviations."""
    sides = [profile(table(draw, moved), sample=TABLE_ROWS) for moved in (0.0, shift)]
    found = measured(compare_once(*sides, alpha=0.05, min_effect=0.1), *sides)
    made = decision(champion=True, same_data=False, forced=False, on_schedule=False, drift=found, limit=DRIFT_LIMIT)
    return made.drift is Outcome.FAIL


def drift_found(draw: np.random.Generator) -> int:
    """Weeks after the drift in which the alarm comes, from 1; more than `PATIENCE` where it does not."""
    return next((week for week in islice(count(1), PATIENCE) if alarm(draw, shift=0.5)), PATIENCE + 1)


def table(draw: np.random.Generator, shift: float) -> pd.DataFrame:
    numbers = {f"number {place}": draw.normal(size=TABLE_ROWS) for place in range(4)}
    words = {f"word {place}": np.array(list("abcd"))[draw.integers(4, size=TABLE_ROWS)] for place in range(2)}
    return pd.DataFrame({**numbers, **words}).assign(**{"number 0": numbers["number 0"] + shift})


def share(flags: list[bool]) -> str:
    low, high = (100 * float(end) for end in clopper_pearson(sum(flags), len(flags), 0.05))
    return f"{100 * sum(flags) / len(flags):.1f} % [{low:.1f}, {high:.1f}]"


def shares(found: list[tuple[int, int]], of: Callable[[int], bool]) -> tuple[str, str]:
    gate, score = ([of(pair[place]) for pair in found] for place in (0, 1))
    return share(gate), share(score)


def means(found: list[tuple[int, int]]) -> tuple[str, str]:
    gate, score = (float(np.mean([pair[place] for pair in found])) for place in (0, 1))
    return f"{gate:.2f}", f"{score:.2f}"
