import pytest


@pytest.fixture
def kept(tmp_path):
    """The address of a storage that outlives its search."""
    return f"journal:{tmp_path / 'study.log'}"
