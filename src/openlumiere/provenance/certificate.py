"""Who signs: a certificate chain of one's own, made on first use, or one that is given."""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from openlumiere.settings import Settings, SignerFiles

YEARS = 30  # no timestamp authority is asked, so what is signed lasts as long as the certificate
KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
CURVES = {
    "secp256r1": ("es256", hashes.SHA256()),
    "secp384r1": ("es384", hashes.SHA384()),
    "secp521r1": ("es512", hashes.SHA512()),
}
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Signer:
    """A private key and its certificates, the signer's own first."""

    key: PrivateKey
    chain: tuple[x509.Certificate, ...]

    @property
    def algorithm(self) -> str:
        """C2PA's name of the signature: es256, es384, es512, ed25519 or ps256."""
        return algorithm_of(self.key)

    def key_pem(self) -> bytes:
        """The private key in PEM, without a password."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def chain_pem(self) -> bytes:
        """The certificates in PEM, the signer's own first."""
        return b"".join(
            certificate.public_bytes(serialization.Encoding.PEM) for certificate in self.chain
        )

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`, of the kind that `algorithm` names."""
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(data, ec.ECDSA(CURVES[self.key.curve.name][1]))
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, *PSS)
        return self.key.sign(data)


PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()


def algorithm_of(key: object) -> str:
    """C2PA's name of what a private key signs with. Raises ValueError for other kinds of keys."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES:
        return CURVES[key.curve.name][0]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise ValueError(
        "signer: expected a key on P-256, P-384, P-521 or Ed25519, or RSA, "
        f"got {type(key).__name__}, make another one"
    )


def check_signature(certificate: x509.Certificate, signature: bytes, data: bytes) -> bool:
    """Whether `signature` of `data` was made with the certificate's key."""
    key = certificate.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(CURVES[key.curve.name][1]))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, *PSS)
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        else:
            return False
    except (InvalidSignature, KeyError):
        return False
    return True


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` may issue certificates and did issue this one."""
    try:
        may = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return may


def subject_of(certificate: x509.Certificate) -> str:
    """Common name and organisation."""
    named = [
        certificate.subject.get_attributes_for_oid(oid)
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    ]
    return ", ".join(str(attributes[0].value) for attributes in named if attributes)


def own_signer(files: SignerFiles | None = None) -> Signer:
    """The signer in these files (None: those that this user's settings name), made on first use
    where they are the user's own.

    Raises ValueError where the file with the key can be read by others, can't be read, or can't be
    made.
    """
    files = files or Settings.load().signer
    if files.own and not files.key.exists():
        make_signer(files.key)
    return open_signer(files.chain, files.key)


def open_signer(chain: Path, key: Path) -> Signer:
    """Raises ValueError unless the two fit and nobody but their owner can read the key."""
    check_closed(key)
    if not chain.is_file():
        raise ValueError(
            f"signer: expected a file with certificates, got {chain}, name one that is there"
        )
    return read_signer(chain, key, chain.stat().st_mtime_ns, key.stat().st_mtime_ns)


def check_closed(path: Path, name: str = "signer") -> None:
    """Raise unless `path` is a file that nobody but its owner can read or write."""
    try:
        found = path.stat()
    except OSError as error:
        raise ValueError(
            f"{name}: expected a file to read a key from, got {error.strerror} for {path}, "
            "make it or name another"
        ) from None
    if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
        raise ValueError(
            f"{name}: expected a file that only its owner can read, "
            f"got mode {stat.S_IMODE(found.st_mode):04o}, do: chmod 600 {path}"
        )


@lru_cache(maxsize=4)
def read_signer(chain: Path, key: Path, *changed: int) -> Signer:
    """Certificates and key in two PEM files, or one; `changed` (their times) keeps the cache
    honest.
    """
    try:
        found = serialization.load_pem_private_key(key.read_bytes(), None)
        certificates = tuple(x509.load_pem_x509_certificates(chain.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        named = chain if chain == key else f"{chain} or {key}"
        raise ValueError(
            "signer: expected PEM files with a key without password and certificates, "
            f"got {error}, mend or remove {named}"
        ) from None
    algorithm_of(found)
    assert isinstance(found, PrivateKey), "algorithm_of takes no other"
    if certificates[0].public_key() != found.public_key():
        raise ValueError(
            "signer: expected the key's own certificate first, got another one's, "
            f"put {chain} in order"
        )
    return Signer(found, certificates)


def make_signer(path: Path) -> None:
    """Write a new chain to `path` (0600, complete from the moment it is there; of two processes at
    once the first wins).
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        signer = new_signer()
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=".signer-"
        ) as beside:  # made with 0600
            beside.write(signer.key_pem() + signer.chain_pem())
            beside.flush()
            os.link(beside.name, path)
    except FileExistsError:
        return
    except OSError as error:
        raise ValueError(
            f"signer: expected a folder to keep a key in, got {error.strerror} for {path.parent}, "
            "set XDG_CONFIG_HOME to another"
        ) from None


def new_signer() -> Signer:
    """A root that signs one certificate and is then forgotten, so that its key can leak from
    nowhere.
    """
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificate(
        "openlumiere root", root_key.public_key(), "openlumiere root", root_key, signs_others=True
    )
    leaf = certificate(
        "openlumiere user", key.public_key(), "openlumiere root", root_key, signs_others=False
    )
    return Signer(key, (leaf, root))


def certificate(
    name: str,
    key: ec.EllipticCurvePublicKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    signs_others: bool,
) -> x509.Certificate:
    """One certificate as C2PA's profile asks for it; it says nothing of the user."""
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    allowed = {"key_cert_sign"} if signs_others else {"digital_signature"}
    builder = (
        x509.CertificateBuilder()
        .issuer_name(full_name(issuer))
        .subject_name(full_name(name))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365 * YEARS))
        .add_extension(
            x509.BasicConstraints(ca=signs_others, path_length=0 if signs_others else None),
            critical=True,
        )
        .add_extension(
            x509.KeyUsage(**{usage: usage in allowed for usage in KEY_USAGES}), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if not signs_others:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
    return builder.sign(issuer_key, hashes.SHA256())


def full_name(name: str) -> x509.Name:
    """A common name, with an organisation that says that the certificate is self-made."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "openlumiere, self-made"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def trusted_roots(settings: Settings | None = None) -> tuple[x509.Certificate, ...]:
    """Certificates that are trusted here: those in the file that settings name (None: this user's),
    and the last of the user's own chain where there is one.
    """
    settings = settings or Settings.load()
    named = read_roots(settings.trust) if settings.trust else ()
    chain = settings.signer.chain
    return named + (read_roots(chain)[-1:] if chain.is_file() else ())


def read_roots(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM file. Raises ValueError where there are none to be read."""
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"trust: expected a PEM file of certificates, got {error} for {path}, name another one"
        ) from None
