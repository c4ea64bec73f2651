"""The diabetes study that scikit-learn carries (Efron, Hastie, Johnstone and Tibshirani, 2004): 442 patients."""

from __future__ import annotations

import pandas as pd

from pipelines.data.schema import Kind
from pipelines.data.tabular import TabularData

__all__ = ["DiabetesStudy"]

SCHEMA: dict[str, Kind] = {
    "age": "number",
    "sex": "category",
    "bmi": "number",
    "bp": "number",
    **{f"s{number}": "number" for number in range(1, 7)},
    "progression": "category",
}


class DiabetesStudy(TabularData):
    """Does the disease progress by more than the median within a year? Class 1 is "above", 50 % of the patients.

    Ten measurements at the start: age in years, sex, body mass index, mean blood pressure and six of the blood serum.
    Sensitive: ``sex``, whose codes "1" and "2" the study does not name, and ``age_group``, cut at ``age_edge`` years.
    """

    def __init__(
        self,
        *,
        age_edge: float = 50.0,
        validation_share: float = 0.3,
        test_share: float = 0.1,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__(
            path="",
            schema=SCHEMA,
            target="progression",
            target_values=("below", "above"),
            sensitive={"sex": None, "age": [age_edge]},
            validation_share=validation_share,
            test_share=test_share,
            batch_size=batch_size,
            seed=seed,
        )

    def read(self) -> pd.DataFrame:
        from sklearn.datasets import load_diabetes

        table: pd.DataFrame = load_diabetes(as_frame=True, scaled=False).frame
        after_a_year = table.pop("target")
        return table.assign(progression=(after_a_year > after_a_year.median()).map({False: "below", True: "above"}))
