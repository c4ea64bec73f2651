"""The Adult census income data (Becker and Kohavi, 1996; UCI Machine Learning Repository), where you have the file."""

from __future__ import annotations

from pipelines.data.schema import Kind
from pipelines.data.tabular import TabularData

__all__ = ["AdultCensus"]

SCHEMA: dict[str, Kind] = {
    "age": "number",
    "workclass": "category",
    "fnlwgt": "number",
    "education": "category",
    "education_num": "number",
    "marital_status": "category",
    "occupation": "category",
    "relationship": "category",
    "race": "category",
    "sex": "category",
    "capital_gain": "number",
    "capital_loss": "number",
    "hours_per_week": "number",
    "native_country": "category",
    "income": "category",
}


class AdultCensus(TabularData):
    """Does a person earn more than 50,000 dollars a year? Class 1 is ">50K".

    ``path`` is one CSV file with a header of the names in ``SCHEMA`` and a column ``split`` that says "train" or
    "test"; ``?`` is a gap. ``fnlwgt``, a weight of the census, is no input. Sensitive: ``sex`` and ``race``.
    """

    def __init__(self, *, path: str, validation_share: float = 0.2, batch_size: int = 256, seed: int = 0) -> None:
        super().__init__(
            path=path,
            schema=SCHEMA,
            target="income",
            target_values=("<=50K", ">50K"),
            sensitive={"sex": None, "race": None},
            inputs=[name for name in SCHEMA if name not in ("fnlwgt", "income")],
            split_column="split",
            validation_share=validation_share,
            batch_size=batch_size,
            seed=seed,
        )
