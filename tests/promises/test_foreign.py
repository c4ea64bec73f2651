"""Modules in other styles take the four safeguards unchanged, and every value is what plain arithmetic says."""

from pathlib import Path

import pytest

from tests.helpers.launch import launch

JOBS = Path(__file__).with_name("foreign.py")


@pytest.mark.parametrize(("strategy", "world"), [("auto", 1), ("ddp", 2), ("deepspeed_cpu_stage_2", 2)])
def test_values_are_those_of_a_plain_computation_over_all_rows(strategy: str, world: int) -> None:
    results = launch(f"{JOBS}:every_style", world, strategy=strategy)
    assert set(results[0].value) == {"tuples", "dicts", "no forward", "manual"}
    for style, job in results[0].value.items():
        assert all(result.value[style]["found"] == job["found"] for result in results)
        found = {measure: value for measure, value in job["found"].items() if measure != "drifted_share"}
        assert found == pytest.approx(job["expected"], rel=1e-5, abs=1e-6), (style, job["reasons"])
        assert job["n"] == {
            "generalization_gap": 57 + 96,
            "demographic_parity_difference": 57,
            "robust_accuracy": 57,
            "drifted_share": 57,
        }
        distances = {name: column["distance"] for name, column in job["drift"]["columns"].items() if "feature" in name}
        assert distances == pytest.approx({f"feature {i}": score for i, score in job["scores"].items()}, abs=1e-4)
        assert job["drifted"][:4] == [True, False, False, False]
        assert job["found"]["drifted_share"] == sum(job["drifted"]) / len(job["drifted"])
