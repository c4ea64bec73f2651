"""The server that tests start for themselves."""

import sys

import pytest
import sqlalchemy

from tests.helpers import postgres
from tests.helpers.postgres import ADDRESS, binary, main, serving

try:
    binary("initdb")
    REASON = ""
except FileNotFoundError as error:
    REASON = str(error)

needs_a_server = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.mark.postgres
@needs_a_server
def test_a_command_has_a_server_as_long_as_it_runs(tmp_path):
    told = tmp_path / "url"
    code = f"import os, pathlib; pathlib.Path({str(told)!r}).write_text(os.environ[{ADDRESS!r}]); raise SystemExit(7)"
    assert main([sys.executable, "-c", code]) == 7
    url = told.read_text()
    with pytest.raises(sqlalchemy.exc.OperationalError):
        sqlalchemy.create_engine(url).connect()


@pytest.mark.postgres
@needs_a_server
def test_it_hears_on_loopback_alone_and_asks_for_its_password():
    with serving() as address:
        url = sqlalchemy.make_url(address)
        with sqlalchemy.create_engine(url).connect() as connection:
            heard = connection.execute(sqlalchemy.text("SHOW listen_addresses")).scalar_one()
        assert heard == url.host == "127.0.0.1"
        with pytest.raises(sqlalchemy.exc.OperationalError, match="password"):
            sqlalchemy.create_engine(url.set(password="another")).connect()


def test_without_the_package_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(postgres, "PACKAGED", "/nowhere/*/bin")
    monkeypatch.setattr(postgres.shutil, "which", lambda _: None)
    with pytest.raises(FileNotFoundError, match="there is no initdb: apt-get install -y postgresql"):
        binary("initdb")
