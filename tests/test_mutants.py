"""The list of mutants fits the code: each guard stands where the list says, and its tests are there."""

from pathlib import Path

import pytest

from tests.mutants import ROOT, Mutant, known


@pytest.mark.parametrize("mutant", known(), ids=lambda one: f"{one.topic}: {one.says}")
def test_the_guard_stands_where_the_list_says(mutant: Mutant) -> None:
    assert mutant.fits(), f"{mutant.file} has not exactly once: {mutant.was!r}"
    assert mutant.was != mutant.becomes
    assert Path(ROOT, mutant.tests.split()[0].partition("::")[0]).is_file()
