"""A manifest against folders that were cut short, changed, or are of somebody else."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safeguards.core.errors import EvidenceError
from safeguards.deepspeed.manifest import MANIFEST, Manifest, by_age, names_in, sealed

FILES = {
    "checkpoint/mp_rank_00_model_states.pt": b"weights and the state of the trainer",
    "checkpoint/zero_pp_rank_0_mp_rank_00_optim_states.pt": b"the first half",
    "checkpoint/zero_pp_rank_1_mp_rank_00_optim_states.pt": b"the second half",
    "latest": b"checkpoint",
}


def saved(folder: Path, step: int = 4) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    files = {name: (size, digest) for name, size, digest in sealed(folder, sorted(names_in(folder)))}
    Manifest(step=step, files=files).write(folder)
    return folder


def problem(folder: Path) -> str | None:
    return Manifest.read(folder).problem(folder)


def test_it_holds_the_bytes_and_the_sha_256_of_each_file(tmp_path: Path) -> None:
    held = json.loads((saved(tmp_path) / MANIFEST).read_bytes())["manifest"]
    assert held["step"] == 4
    assert held["files"] == {name: [len(text), hashlib.sha256(text).hexdigest()] for name, text in FILES.items()}
    assert problem(tmp_path) is None


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut_anywhere_is_named_with_what_is_left(name: str, tmp_path: Path) -> None:
    saved(tmp_path)
    whole = len(FILES[name])
    for left in range(whole):
        (tmp_path / name).write_bytes(FILES[name][:left])
        assert problem(tmp_path) == f"{name!r} has {left} of {whole} bytes"
    (tmp_path / name).write_bytes(FILES[name] + b"\0")
    assert problem(tmp_path) == f"{name!r} has {whole + 1} of {whole} bytes"


@pytest.mark.parametrize("name", FILES)
def test_no_byte_of_a_file_can_be_changed(name: str, tmp_path: Path) -> None:
    saved(tmp_path)
    for at, byte in enumerate(FILES[name]):
        (tmp_path / name).write_bytes(FILES[name][:at] + bytes([byte ^ 1]) + FILES[name][at + 1 :])
        assert problem(tmp_path) == f"{name!r} was changed after it was saved: its bytes do not give its digest"


def test_no_byte_of_the_manifest_can_be_changed_or_be_missing(tmp_path: Path) -> None:
    content = (saved(tmp_path) / MANIFEST).read_bytes()
    for at, byte in enumerate(content):
        for other in (content[:at], content[:at] + bytes([byte ^ 1]) + content[at + 1 :]):
            (tmp_path / MANIFEST).write_bytes(other)
            with pytest.raises(EvidenceError, match=MANIFEST):
                Manifest.read(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_and_a_strange_one_are_named(name: str, tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / name).rename(tmp_path / "checkpoint" / "renamed")
    assert problem(tmp_path) == f"{name!r} is missing"
    saved(tmp_path / "other")
    (tmp_path / "other" / "checkpoint" / "zero_pp_rank_2_mp_rank_00_optim_states.pt").write_text("x")
    assert "zero_pp_rank_2_mp_rank_00_optim_states.pt' was not saved with it" in str(problem(tmp_path / "other"))


def test_links_and_pipes_are_no_files(tmp_path: Path) -> None:
    saved(tmp_path / "a")
    away = tmp_path / "away"
    (tmp_path / "a" / "latest").rename(away)
    (tmp_path / "a" / "latest").symlink_to(away)
    assert problem(tmp_path / "a") is not None
    (tmp_path / "a" / "latest").unlink()
    os.mkfifo(tmp_path / "a" / "latest")
    assert problem(tmp_path / "a") is not None
    saved(tmp_path / "b")
    (tmp_path / "b" / "checkpoint" / "more").symlink_to(tmp_path)
    assert problem(tmp_path / "b") == "'checkpoint/more' was not saved with it"


def test_a_link_of_the_right_size_is_refused_as_a_link(tmp_path: Path) -> None:
    saved(tmp_path)
    there = tmp_path / "checkpoint" / "mp_rank_00_model_states.pt"
    size = len(FILES["checkpoint/mp_rank_00_model_states.pt"])
    there.unlink()
    there.symlink_to("x" * size)
    assert str(problem(tmp_path)).startswith("cannot read")


def test_shares_read_every_file_between_them(tmp_path: Path) -> None:
    manifest = Manifest.read(saved(tmp_path))
    for number, name in enumerate(sorted(FILES)):
        (tmp_path / name).write_bytes(bytes(reversed(FILES[name])))
        found = [manifest.problem(tmp_path, slice(rank, None, 3)) for rank in range(3)]
        assert [text is not None for text in found] == [rank == number % 3 for rank in range(3)]
        (tmp_path / name).write_bytes(FILES[name])


def test_the_newest_is_the_one_of_the_highest_step_whatever_the_clock_says(tmp_path: Path) -> None:
    for name, step in (("c", 8), ("b", 8), ("d", 12), ("a", 4)):
        saved(tmp_path / name, step)
    os.utime(tmp_path / "a" / MANIFEST, (9e9, 9e9))
    (tmp_path / "d" / MANIFEST).write_text("{}")
    (tmp_path / "none").mkdir()
    assert by_age(tmp_path.iterdir()) == [(8, tmp_path / "b"), (8, tmp_path / "c"), (4, tmp_path / "a")]


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"manifest": 1}', '{"manifest": {"files": {"a": 1}}}'])
def test_what_is_no_manifest_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(EvidenceError, match=MANIFEST):
        Manifest.read(tmp_path)
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(EvidenceError, match="no manifest"):
        Manifest.read(tmp_path)


def test_with_keys_only_what_they_signed_is_a_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    (tmp_path / "key.pem").write_bytes(private)
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(public)
    saved(tmp_path / "unsigned")
    monkeypatch.setenv("SAFEGUARDS_SIGNING_KEY", str(tmp_path / "key.pem"))
    monkeypatch.setenv("SAFEGUARDS_VERIFYING_KEYS", str(tmp_path / "key.pub"))
    assert problem(saved(tmp_path / "signed")) is None
    with pytest.raises(EvidenceError, match="no signature"):
        Manifest.read(tmp_path / "unsigned")
    (tmp_path / "signed" / MANIFEST).write_bytes((tmp_path / "unsigned" / MANIFEST).read_bytes())
    assert problem(tmp_path / "signed") is None, "the same content has the same signature"
    saved(tmp_path / "other", step=5)
    (tmp_path / "other" / f"{MANIFEST}.sig").write_bytes((tmp_path / "signed" / f"{MANIFEST}.sig").read_bytes())
    with pytest.raises(EvidenceError, match="no signature of it"):
        Manifest.read(tmp_path / "other")
