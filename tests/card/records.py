"""Records with all that a card can tell, made by hand: each number below can be found on the page."""

from __future__ import annotations

from typing import Any

from safeguards.core.verdict import Verdict
from safeguards.gate import Comparison, Record
from tests.helpers.runs import verdict

RUN = "20261125-110000-00000001"
GROUPS = {
    "confidence": 0.95,
    "rates_compared": 2,
    "groups": [
        {"group": "sex=f", "n": 40, "positives": 10, "accuracy": 0.75, "true_positive_rate": 0.5},
        {"group": "sex=m", "n": 60, "positives": 20, "accuracy": 0.9, "true_positive_rate": 0.8},
    ],
    "not_judged": [{"group": "sex=x", "n": 3}],
}
ROBUST = {
    "clean_accuracy": 0.9,
    "curve": [
        {"eps": 0.03, "accuracy": 0.7, "interval": [0.6, 0.8]},
        {"eps": 0.06, "accuracy": 0.4, "interval": [0.3, 0.5]},
    ],
    "attack": {"name": "pgd", "steps": 10},
    "threat": {"norm": "inf", "eps": 0.03},
    "checks": {"gradients": "ok: 100 of 100 rows have one"},
}
COLUMNS = {
    "min_effect": 0.1,
    "columns": {
        "age": {"standing": "quiet", "distance": 0.02, "p_adjusted": 0.6},
        "bmi": {"standing": "drifted", "distance": 0.35, "p_adjusted": 0.0001},
        "site": {"standing": "quiet", "distance": None, "p_adjusted": None},
    },
}


def looked_at(*, over: str = "PASS") -> tuple[Verdict, ...]:
    """Two looks at a measure, the first failed, and one each at what has a drawing of its own; one is silent."""
    return (
        verdict("gap", "FAIL", safeguard="overfitting", interval=(0.2, 0.4)),
        verdict("gap", over, safeguard="overfitting", epoch=1, interval=(0.02, 0.08)),
        verdict("parity", "PASS", epoch=1, details=GROUPS),
        verdict("robust_accuracy", "WARN", safeguard="adversarial", epoch=1, details=ROBUST),
        verdict("drifted_share", "INCONCLUSIVE", safeguard="drift", epoch=1, details=COLUMNS, reason="too few rows"),
        verdict("calibration", "NOT_EVALUATED", safeguard="uncertainty", epoch=1, reason="no validation loader"),
    )


def record(**changes: Any) -> Record:
    """Of the model "risk", with a champion that it was compared with."""
    parts: dict[str, Any] = {
        "model": "risk",
        "run_id": RUN,
        "made": "2026-11-25T11:00:00+00:00",
        "judged": "2026-11-25T10:00:00+00:00",
        **{name: name[0].encode().hex() * 32 for name in ("weights", "stored", "config", "code", "lock", "ledger")},
        "data": {"train": "b" * 64},
        "seeds": {"torch": 7},
        "verdicts": looked_at(),
        "costs": {"fairness": 0.5, "adversarial": 90.0},
        "notes": {"pt2": "equal on the example"},
    }
    if "champion" not in changes:
        parts |= {"champion": champion().digest, "comparisons": (PAIRED,)}
    return Record(**{**parts, **changes})


def champion(**changes: Any) -> Record:
    """With a worse gap, and a measure that the challenger does not have."""
    judged = (
        verdict("gap", "WARN", safeguard="overfitting", epoch=1),
        verdict("ratio", "PASS", safeguard="fairness", epoch=1),
    )
    return record(**{"run_id": f"{RUN[:-1]}0", "verdicts": judged, "champion": None, **changes})


PAIRED = Comparison.from_dict(
    {
        "measure": "accuracy",
        "data": "frozen",
        "kind": "rates",
        "champion": 0.8,
        "challenger": 0.85,
        "difference": 0.05,
        "interval": [0.01, 0.09],
        "n": 200,
        "gains": 14,
        "losses": 4,
        "deviation": 0.0,
        "unit": "",
    }
)
