"""Which storage a search takes, and what of it the processes of a trial get to see."""

from safeguards.search import address_of, without_secrets_of

VARIABLE = "SAFEGUARDS_SEARCH_STORAGE"


def test_what_is_written_goes_before_the_environment_and_a_file_comes_last(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert address_of(None) == "sqlite:///search.db"
    monkeypatch.setenv(VARIABLE, "postgresql://host/db")
    assert address_of(None) == "postgresql://host/db"
    assert address_of("journal:study.log") == "journal:study.log"
    assert address_of("memory") is None


def test_the_variable_of_the_storage_reaches_no_trial():
    given = {VARIABLE: "postgresql://me:hunter2@host/db", "PGPASSWORD": "hunter2", "PATH": "/bin"}
    assert without_secrets_of(None, given) == {"PATH": "/bin"}
    assert without_secrets_of("journal:study.log", given) == {"PATH": "/bin"}
