"""What tests on a PostgreSQL server share: when they run, and a database that nobody has opened yet."""

import contextlib
import importlib.util
import os
import uuid

import pytest
import sqlalchemy

from tests.helpers.postgres import ADDRESS

URL = os.environ.get(ADDRESS, "")
MARKS = [
    pytest.mark.postgres,
    pytest.mark.skipif(not URL, reason=f"{ADDRESS} names no server: see CONTRIBUTING.md"),
    pytest.mark.skipif(not importlib.util.find_spec("psycopg"), reason="psycopg is not installed"),
]


@contextlib.contextmanager
def fresh_database():
    """Its address; it is dropped at the end."""
    name = f"test_{uuid.uuid4().hex}"
    server = sqlalchemy.create_engine(URL, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    try:
        yield sqlalchemy.make_url(URL).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))
        server.dispose()
