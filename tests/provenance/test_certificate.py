import shutil
import stat

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from openlumiere import Lumiere
from openlumiere.apps.cli import main
from openlumiere.media import save_image
from openlumiere.provenance import certificate
from openlumiere.provenance.certificate import (
    Signer,
    check_signature,
    issued_by,
    make_signer,
    new_signer,
    own_signer,
    subject_of,
    trusted_roots,
)
from openlumiere.provenance.detached import read_statement, write_statement
from openlumiere.provenance.key import known_keys, mark_key
from openlumiere.provenance.manifest import Making, embed, extract
from openlumiere.provenance.pattern import PUBLIC_KEY
from openlumiere.settings import SIGNER, Settings

MAKING = Making(task="generate", model="ab" * 32, mark="abab-00000001")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's folder in which nothing is yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "openlumiere"


def test_a_chain_is_made_on_first_use_and_kept(home):
    assert trusted_roots() == () and not home.exists()
    signer = own_signer()
    assert (
        stat.S_IMODE((home / "signer.pem").stat().st_mode) == 0o600
        and stat.S_IMODE(home.stat().st_mode) == 0o700
    )
    assert [file.name for file in home.iterdir()] == ["signer.pem"]
    before = (home / "signer.pem").read_bytes()
    make_signer(home / "signer.pem")  # as a second process would, at the same moment
    assert (home / "signer.pem").read_bytes() == before and own_signer().chain == signer.chain
    assert issued_by(*signer.chain) and trusted_roots() == signer.chain[-1:]


def test_the_chain_tells_nothing_of_the_user():
    names = {
        attribute.value for one in new_signer().chain for attribute in (*one.subject, *one.issuer)
    }
    assert names == {"openlumiere, self-made", "openlumiere user", "openlumiere root"}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o777])
def test_a_key_that_others_can_reach_is_refused(home, made, tmp_path, mode):
    own_signer()
    (home / "signer.pem").chmod(mode)
    with pytest.raises(
        ValueError,
        match="signer: expected a file that only its owner can read, "
        rf"got mode {mode:04o}, do: chmod 600 .*signer.pem",
    ):
        made().save(tmp_path / "clip.webp")
    assert not list(tmp_path.glob("clip*"))


def test_no_room_for_a_key(home, monkeypatch):
    home.parent.write_text("a file where the folder should be")
    with pytest.raises(
        ValueError,
        match="signer: expected a folder to keep a key in, got .*, set XDG_CONFIG_HOME to another",
    ):
        own_signer()


@pytest.mark.parametrize(
    "damage", ["empty", "no certificate", "another's certificate", "weak curve", "missing"]
)
def test_broken_signers_are_refused(tmp_path, monkeypatch, damage):
    one, other = new_signer(), new_signer()
    weak = ec.generate_private_key(ec.SECP224R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    text = {
        "empty": b"",
        "no certificate": one.key_pem(),
        "another's certificate": one.key_pem() + other.chain_pem(),
        "weak curve": weak + one.chain_pem(),
        "missing": b"",
    }[damage]
    path = tmp_path / "mine.pem"
    if damage != "missing":
        path.write_bytes(text)
        path.chmod(0o600)
    monkeypatch.setenv(SIGNER, str(path))
    with pytest.raises(ValueError, match="signer: expected .*, got .*, "):
        own_signer()


KEYS = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "es512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
}


def chain_for(key):
    """A certificate for any key, from a root like ours."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = certificate.certificate(
        "openlumiere root", root_key.public_key(), "openlumiere root", root_key, signs_others=True
    )
    return certificate.certificate(
        "Ada", key.public_key(), "openlumiere root", root_key, signs_others=False
    ), root


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_certificate_of_ones_own(tmp_path, monkeypatch, made, algorithm):
    key = KEYS[algorithm]()
    signer = Signer(key, chain_for(key))
    path = tmp_path / "mine.pem"
    path.write_bytes(signer.key_pem() + signer.chain_pem())
    path.chmod(0o600)
    monkeypatch.setenv(SIGNER, str(path))
    assert own_signer().algorithm == algorithm
    assert check_signature(signer.chain[0], signer.sign(b"text"), b"text") and not check_signature(
        signer.chain[0], signer.sign(b"text"), b"Text"
    )
    picture, folder = made(count=1, side=32), tmp_path / "frames"
    picture.save(tmp_path / "a.png")
    picture.save(f"{folder}/")
    for found in (extract(tmp_path / "a.png"), read_statement(folder)):
        assert (found.state, found.signer.partition(",")[0]) == ("trusted", "Ada")
    assert (
        extract(tmp_path / "a.png", roots=()).state
        == read_statement(folder, roots=()).state
        == "valid"
    )


@pytest.fixture
def ada(tmp_path):
    """Certificate and key in two files, as an authority hands them out."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = Signer(key, chain_for(key))
    chain, secret = tmp_path / "ada.crt", tmp_path / "ada.key"
    chain.write_bytes(signer.chain_pem())
    secret.write_bytes(signer.key_pem())
    secret.chmod(0o600)
    return chain, secret


@pytest.mark.parametrize("verb", ["generate", "image", "animate", "upscale"])
def test_a_certificate_by_option(home, tmp_path, tiny_model, build_tiny_upscaler, ada, verb):
    """For one command only, and no other is made."""
    save_image(np.zeros((16, 16, 3), np.uint8), tmp_path / "black.png")
    build_tiny_upscaler().save_pretrained(
        (model := shutil.copytree(tiny_model, tmp_path / "model")) / "upscaler"
    )
    first = str(tmp_path / "black.png") if verb in ("animate", "upscale") else "a dog"
    words = [
        verb,
        first,
        "-o",
        str(tmp_path / "a.png" if verb == "image" else tmp_path / "a.webp"),
        "--steps",
        "1",
        "--model",
        str(model),
    ]
    words += {"animate": ["--frames", "2"], "generate": ["--frames", "2", "--size", "0"]}.get(
        verb, []
    )
    assert main([*words, "--certificate", str(ada[0]), "--key", str(ada[1])]) == 0
    found = extract(tmp_path / ("a.png" if verb == "image" else "a.webp"))
    assert (found.state, found.signer.partition(",")[0]) == ("valid", "Ada") and not home.exists()
    assert subject_of(own_signer().chain[0]).startswith("openlumiere user")


def refused(capsys, words):
    assert (
        main(["generate", "a dog", "-o", "never.webp", "--model", "no model is read", *words]) == 2
    )
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def test_what_cannot_sign_is_refused_before_any_work(home, ada, capsys, tmp_path):
    chain, key = map(str, ada)
    assert "signer: expected a certificate and its key, got the certificate alone" in refused(
        capsys, ["--certificate", chain]
    )
    assert "signer: expected a certificate and its key, got the key alone" in refused(
        capsys, ["--key", key]
    )
    assert "signer: expected a file with certificates, got" in refused(
        capsys, ["--certificate", f"{chain}s", "--key", key]
    )
    assert "got No such file or directory" in refused(
        capsys, ["--certificate", chain, "--key", f"{key}s"]
    )
    assert "expected PEM files with a key without password" in refused(
        capsys, ["--certificate", key, "--key", key]
    )
    (other := tmp_path / "other.crt").write_bytes(new_signer().chain_pem())
    assert "expected the key's own certificate first" in refused(
        capsys, ["--certificate", str(other), "--key", key]
    )
    ada[1].chmod(0o640)
    assert f"got mode 0640, do: chmod 600 {key}" in refused(
        capsys, ["--certificate", chain, "--key", key]
    )
    assert not home.exists()


def test_a_signer_is_chosen_for_one_pipeline(home, ada, tiny_model, tmp_path):
    """Settings are values: what one of two pipelines signs as, the other does not."""
    chosen = Settings.load(certificate=ada[0], key=ada[1])
    for name, settings in (("Ada", chosen), ("openlumiere user", None)):
        lumiere = Lumiere.from_pretrained(tiny_model, settings=settings)
        lumiere.generate_image("a dog", steps=1, size=0).save(tmp_path / "a.png")
        assert extract(tmp_path / "a.png").signer.startswith(name)


def test_a_user_cannot_issue_certificates(tmp_path, pictures):
    """A chain that goes on from a trusted user's own certificate is none: it may not issue."""
    user, key = new_signer(), ec.generate_private_key(ec.SECP256R1())
    forged = certificate.certificate(
        "Mallory", key.public_key(), "openlumiere user", user.key, signs_others=False
    )
    assert forged.issuer == user.chain[0].subject and not issued_by(forged, user.chain[0])
    (tmp_path / "a.webm").write_bytes(b"content")
    write_statement(tmp_path / "a.webm", MAKING, Signer(key, (forged, *user.chain)))
    assert (
        read_statement(tmp_path / "a.webm", roots=user.chain[-1:]).problem
        == "the certificates are not a chain"
    )


def test_the_mark_has_a_public_key_or_a_secret_one(tmp_path):
    assert mark_key(None) == PUBLIC_KEY and known_keys(None) == {"public": PUBLIC_KEY}
    path = tmp_path / "secret"
    path.write_bytes(b"0123456789abcdef\n")
    path.chmod(0o644)
    with pytest.raises(
        ValueError, match="mark key: expected a file that only its owner can read, got mode 0644"
    ):
        mark_key(path)
    path.chmod(0o600)
    assert known_keys(path) == {"own": b"0123456789abcdef", "public": PUBLIC_KEY}
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="mark key: expected at least 16 bytes, got 5"):
        mark_key(path)


def test_an_expired_certificate_does_not_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(certificate, "YEARS", 0)
    (tmp_path / "a.webm").write_bytes(b"content")
    write_statement(tmp_path / "a.webm", MAKING, new_signer())
    found = read_statement(tmp_path / "a.webm")
    assert (found.state, found.problem) == ("tampered", "a certificate is not valid today")


def test_signing_says_what_went_wrong(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="manifest: expected a.png to take a signature, got .*, "):
        embed(tmp_path / "a.png", MAKING)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_hashes_are_what_the_profile_allows():
    assert all(
        isinstance(one.signature_hash_algorithm, hashes.SHA256) for one in new_signer().chain
    )
    usage = new_signer().chain[0].extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and not usage.key_cert_sign
