"""What becomes of a measurement on its way to a verdict."""

from pathlib import Path
from typing import Any

from safeguards import Limit, Measurement, Outcome, verdicts
from tests.helpers.toys import Accuracy, Net, loader, trainer


class Unsure(Accuracy):
    def examine(self, seen: dict[str, Any], scene: Any) -> dict[str, Measurement]:
        return {"accuracy": Measurement(value=0.5, n=100, interval=(0.4, 0.6))}


def test_an_undecided_verdict_says_how_many_rows_would_decide(tmp_path: Path) -> None:
    """The nearer end is 0.1 away and the limit 0.05: four times the rows."""
    job = trainer(tmp_path, Unsure(limits={"accuracy": Limit(at_least=0.45)}), Unsure(name="sure"))
    job.validate(Net(), loader(), verbose=False)
    undecided, decided = verdicts(job)
    assert (undecided.outcome, undecided.rows_to_decide) == (Outcome.INCONCLUSIVE, 400)
    assert (decided.outcome, decided.rows_to_decide) == (Outcome.PASS, None)
