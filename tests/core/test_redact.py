"""What is hidden, what stays readable, and that nothing that looks like a secret gets through."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safeguards.core.redact import MARK, is_secret_key, known_secrets, redact, redact_tree

CANARY = "c4naryV4lue"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://user:pw@host:5000/p", f"http://{MARK}@host:5000/p"),
        ("https://token@host/repo", f"https://{MARK}@host/repo"),
        ("postgresql+psycopg2://u:p/a@s?s@h:5432/db", f"postgresql+psycopg2://{MARK}@h:5432/db"),
        ("https://h/?sig=ab%2Fc&page=1", f"https://h/?sig={MARK}&page=1"),
        ("PWD=ab,c;Database=x", f"PWD={MARK};Database=x"),
        ("error: token: abcdef", f"error: token: {MARK}"),
        ("Config(password='hun\\'ter', lr=0.1)", f"Config(password='{MARK}', lr=0.1)"),
        ('{"api_key": "x", "a": 1}', f'{{"api_key": "{MARK}", "a": 1}}'),
        ("--password hunter2 --lr 3", f"--password {MARK} --lr 3"),
        ("Authorization: Basic dXNlcjpwdw==", f"Authorization: {MARK}"),
        ("sent Bearer abc.def-123456789 to it", f"sent {MARK} to it"),
        ("id AKIAIOSFODNN7EXAMPLE used", f"id {MARK} used"),
        ("ghp_" + "a1" * 18, MARK),
        ("hf_" + "aB3" * 11, MARK),
        ("sk-proj-" + "aB3" * 11, MARK),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", MARK),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nrest", f"{MARK}\nrest"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", MARK),
    ],
)
def test_secrets_become_a_mark(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///mlflow.db",
        "http://host:5000/a",
        "models:/risk@champion",
        "git+https://host/repo@v1",
        "s3://bucket/path@v1",
        "max_tokens=512, num_keys: 3, use_auth=False, key=None",
        "tokenizer=bert",
        "demographic parity: 0.3 [0.1, 0.5] against at most 0.1, n=88; the interval crosses the limit",
        "the token is fine and the basic configuration holds",
        "",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


ROOT = Path(__file__).parents[2]
PYTHON = [path for part in ("safeguards", "pipelines") for path in sorted((ROOT / part).rglob("*.py"))]
PYTHON.remove(ROOT / "safeguards/core/redact.py")  # its patterns are made of what it finds


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_of_our_own_is_taken_for_a_secret(path: Path) -> None:
    for text in texts(ast.parse(path.read_text())):
        assert redact(text) == text


def texts(tree: ast.Module) -> Iterator[str]:
    """What a module may say: strings of several words, but for docstrings; a constant in one stands with its name."""
    described = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        found = ""
        if isinstance(node, ast.JoinedStr):
            found = "".join(map(_part, node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
            found = node.value
        if " " in found.strip():
            yield found


def _part(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    name = part.value.id if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name) else "x"
    return name if name.isupper() else "x"


SECRET_NAMES = """
password db.password DB_PASSWORD passwort hf_token HFToken apiKey APIKEY api-key aws_secret_access_key AWS_ACCESS_KEY_ID
credentials Authorization pwd key mlflow/auth dsn
"""


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_names_of_secrets(name: str) -> None:
    assert is_secret_key(name, "text")


@pytest.mark.parametrize("name", ["tokenizer", "monkey", "bypass", "keyboard", "optimizer/lr", "max_epochs", ""])
def test_names_of_no_secrets(name: str) -> None:
    assert not is_secret_key(name, "text")


def test_numbers_are_secrets_only_under_a_name_that_says_so_outright() -> None:
    assert redact_tree({"max_tokens": 512, "use_key": True, "password": 1234, "secret": None}) == {
        "max_tokens": 512,
        "use_key": True,
        "password": MARK,
        "secret": None,
    }


def test_trees_keep_their_shape() -> None:
    tree = {"a": [{"token": CANARY}, (1, f"http://u:{CANARY}@h")], "credentials": {"user": CANARY}, "n": 3, "t": (2,)}
    assert redact_tree(tree) == {
        "a": [{"token": MARK}, (1, f"http://{MARK}@h")],
        "credentials": MARK,
        "n": 3,
        "t": (2,),
    }


def test_secrets_of_the_environment_are_hidden_wherever_they_turn_up() -> None:
    known = known_secrets({"MLFLOW_TRACKING_PASSWORD": CANARY, "PWD": "/home/me/project", "API_TOKEN": "short"})
    assert known == {CANARY}
    assert redact(f"cannot log in as me with {CANARY}!", known) == f"cannot log in as me with {MARK}!"


secrets = st.text(LETTERS, min_size=1, max_size=12).map(lambda end: CANARY + end)
awkward = st.text(LETTERS + "/:@?#&=+%!,;()[]{}", max_size=12).map(lambda end: CANARY + end)
around = st.text(max_size=30).filter(lambda text: CANARY not in text and MARK not in text)
strong = st.sampled_from(
    ["password", "db_password", "secret", "API_KEY", "apiKey", "hf_token", "aws_secret_access_key"]
)


@given(around, strong, secrets, st.sampled_from(["=", ": ", ":", " = ", " => "]))
def test_no_value_of_a_secret_key_gets_through(before: str, name: str, secret: str, sign: str) -> None:
    assert CANARY not in redact(f"{before} {name}{sign}{secret} after")
    assert CANARY not in redact(f"{before} { {name: secret}!r}")
    assert CANARY not in redact(json.dumps({"x": before, name: secret}))


@given(around, awkward, st.sampled_from(["http", "https", "postgresql+psycopg2", "mysql", "s3", "1password"]))
@example("", CANARY + "/@@/:", "http")
def test_no_userinfo_gets_through(before: str, secret: str, scheme: str) -> None:
    assert CANARY not in redact(f"{before} {scheme}://me:{secret}@host/path")


@given(st.recursive(secrets, lambda inner: st.lists(inner) | st.dictionaries(strong, inner), max_leaves=8), strong)
def test_nothing_below_a_secret_key_gets_through(value: object, name: str) -> None:
    assert CANARY not in repr(redact_tree({"outer": [{name: value}]}))


@given(st.text())
@example("token=[redacted]]")
@example("key=)")
def test_twice_is_once(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize(
    "piece", ["a", "-", "a://", "a://a:", "eyJ-", "key=", "key='", "-----BEGIN ", ",a", "--a", ": ", "sk-"]
)
def test_hostile_texts_take_no_more_than_linear_time(piece: str) -> None:
    """Quadratic time would be minutes here, beyond the time limit of a test."""
    redact(piece * (100_000 // len(piece)))
