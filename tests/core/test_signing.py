"""Who sealed it: a configured verifier takes the signatures of its keys and nothing else."""

import os

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safeguards import ConfigurationError
from safeguards.core.errors import EvidenceError
from safeguards.gate import Record, Signer, Verifier
from tests.gate.evidence import record


def write(key, path):
    path.with_suffix(".pem").write_bytes(
        key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    )
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)


@pytest.fixture
def keys(tmp_path):
    for name in ("ours", "theirs"):
        write(Ed25519PrivateKey.generate(), tmp_path / name)
    write(ec.generate_private_key(ec.SECP256R1()), tmp_path / "curve")
    return tmp_path


def test_a_signed_record_is_read_where_its_key_is_trusted(keys):
    record().write(keys / "record.json", signer=Signer(keys / "ours.pem"))
    trusting = Verifier([keys / "theirs.pub", keys / "ours.pub"])
    assert Record.read(keys / "record.json", verifier=trusting) == record()
    with pytest.raises(
        EvidenceError, match="not among those trusted here; if it may be, add it to SAFEGUARDS_VERIFYING_KEYS"
    ):
        Record.read(keys / "record.json", verifier=Verifier([keys / "theirs.pub"]))


def test_an_unsigned_record_is_refused_and_a_stale_signature_does_not_stay(keys):
    path, verifier = keys / "record.json", Verifier([keys / "ours.pub"])
    record().write(path, signer=Signer(keys / "ours.pem"))
    record().write(path)
    with pytest.raises(
        EvidenceError, match=r"no signature record\.json\.sig, and only what is signed is trusted here; write it again"
    ):
        Record.read(path, verifier=verifier)
    assert Record.read(path) == record()


def test_a_signature_of_another_record_is_none(keys):
    signer = Signer(keys / "ours.pem")
    record().write(keys / "record.json", signer=signer)
    (keys / "record.json.sig").write_bytes(signer.sign(record(config="b" * 64).digest))
    with pytest.raises(EvidenceError, match="no signature of it"):
        Record.read(keys / "record.json", verifier=Verifier([keys / "ours.pub"]))


def test_no_byte_of_a_signature_can_be_changed(keys):
    content = Signer(keys / "ours.pem").sign(record().digest)
    verifier = Verifier([keys / "ours.pub"])
    verifier.check_bytes(record().digest, content, what="it")
    for at in range(len(content) - 1):
        for letter in (b"A", b"B"):
            changed = content[:at] + letter + content[at + 1 :]
            if changed != content:
                with pytest.raises(EvidenceError):
                    verifier.check_bytes(record().digest, changed, what="it")


def test_keys_come_from_the_environment(keys, monkeypatch):
    assert Signer.configured() is None
    assert Verifier.configured() is None
    monkeypatch.setenv("SAFEGUARDS_SIGNING_KEY", str(keys / "ours.pem"))
    monkeypatch.setenv("SAFEGUARDS_VERIFYING_KEYS", os.pathsep.join([str(keys / "theirs.pub"), str(keys / "ours.pub")]))
    record().write(keys / "record.json")
    assert Record.read(keys / "record.json") == record()
    (keys / "record.json.sig").unlink()
    with pytest.raises(EvidenceError, match="no signature"):
        Record.read(keys / "record.json")


@pytest.mark.parametrize("name", ["none", "curve.pem", "ours.pub", "text"])
def test_what_is_no_private_key_is_refused_without_being_quoted(name, keys):
    (keys / "text").write_text("canary-of-a-key")
    with pytest.raises(ConfigurationError) as caught:
        Signer(keys / name)
    assert "canary" not in str(caught.value)
    assert name == "none" or "; openssl genpkey -algorithm ed25519 makes one" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("none", "cannot read"),
        ("curve.pub", "no Ed25519 key; openssl genpkey -algorithm ed25519 makes one"),
        ("ours.pem", "no public key in PEM .*; openssl pkey -pubout makes it"),
    ],
)
def test_what_is_no_public_key_is_refused(name, remedy, keys):
    with pytest.raises(ConfigurationError, match=remedy):
        Verifier([keys / name])
    with pytest.raises(ConfigurationError, match="at least one"):
        Verifier([])
