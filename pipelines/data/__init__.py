"""Data modules whose batches are dicts: ``inputs``, ``target``, ``row_id`` and one key per sensitive attribute.

Of a table, ``frame(split)`` gives the rows of "train", "validation" or "test" as the source has them: with dates, texts
and gaps.
"""

from pipelines.data.adult import AdultCensus
from pipelines.data.diabetes import DiabetesStudy
from pipelines.data.digits import Digits
from pipelines.data.scans import DigitScans
from pipelines.data.tabular import TabularData

__all__ = ["AdultCensus", "DiabetesStudy", "DigitScans", "Digits", "TabularData"]
