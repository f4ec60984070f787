"""A signed statement of how a clip came to be: C2PA inside the file, or a detached signature beside
it where C2PA has no place.

C2PA (the specification of the Coalition for Content Provenance and Authenticity) by `c2pa-python`,
without network: no timestamp authority, no remote manifests, no revocation look-ups.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from openlumiere.media.digest import sha256_of_file
from openlumiere.provenance.certificate import Signer, own_signer, trusted_roots

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"  # IPTC's vocabulary, named by C2PA
MADE, EDITED = (
    SOURCE_TYPE + "trainedAlgorithmicMedia",
    SOURCE_TYPE + "compositeWithTrainedAlgorithmicMedia",
)
LABEL = "org.openlumiere.making"
RELATIONSHIPS = ("parentOf", "componentOf", "inputTo")
MIMES = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".png": "image/png",
    ".apng": "image/png",
}
BOXES = (
    bytes.fromhex("d8fec3d61b0e483c92975828877ec481"),
    b"caBX",
    b"C2PA",
    b"jumdc2pa",
)  # in mp4, png, webp and gif, any
OFFLINE = {
    "version": 1,
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One thing that a clip was made from.

    `sha256` is of its pixels; `relationship` is C2PA's: the clip is an edit of it (parentOf, at
    most one), shows it (componentOf) or was led by it (inputTo). `marks` are those it may carry,
    its own history included. `file`, where the pixels came from one, brings its manifest along,
    unless by then it is another than the one of `file_sha256`.
    """

    sha256: str
    relationship: str = "parentOf"
    marks: tuple[str, ...] = ()
    file: Path | None = field(default=None, compare=False)
    file_sha256: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.relationship not in RELATIONSHIPS:
            raise ValueError(
                f"relationship: expected one of {', '.join(RELATIONSHIPS)}, "
                f"got {self.relationship!r}, name one of these"
            )

    def as_json(self) -> dict:
        """What the manifest says of it."""
        return {"sha256": self.sha256, "relationship": self.relationship, "marks": list(self.marks)}


@dataclass(frozen=True, kw_only=True)
class Making:
    """What a manifest says: the task, the model (sha256 of its weights), the mark in the pixels
    (its payload in hex), what went in.

    The prompt is stated only where the user asks for it.
    """

    task: str
    model: str
    mark: str
    generator: str = field(default_factory=lambda: f"openlumiere {version('openlumiere')}")
    prompt: str | None = None
    inputs: tuple[Source, ...] = ()

    @property
    def source_type(self) -> str:
        """IPTC's: all of it made by a model, or composed with something that was not."""
        return EDITED if self.inputs else MADE

    @property
    def marks(self) -> tuple[str, ...]:
        """Marks that the clip may carry: its own and those of what it was made from."""
        return (self.mark, *(mark for source in self.inputs for mark in source.marks))

    def as_json(self) -> dict:
        """Plain values, without what is not said."""
        stated = asdict(self) | {"inputs": [source.as_json() for source in self.inputs]}
        return {name: value for name, value in stated.items() if value is not None}

    @classmethod
    def from_json(cls, stated: dict) -> Making:
        """Raises ValueError for what does not have this shape."""
        try:
            inputs = tuple(
                Source(**{**source, "marks": tuple(source["marks"])}) for source in stated["inputs"]
            )
            making = cls(**{**stated, "inputs": inputs})
        except (TypeError, KeyError) as error:
            raise ValueError(
                f"manifest: expected what openlumiere writes, got {error}, "
                "look at it with another C2PA tool"
            ) from None
        if not all(
            isinstance(text, str)
            for text in (
                making.task,
                making.model,
                making.generator,
                making.prompt or "",
                *making.marks,
            )
        ):
            raise ValueError(
                "manifest: expected texts, got something else, look at it with another C2PA tool"
            )
        return making


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What was found in or beside a file.

    `state`: none; tampered (the signature or the content does not hold: `problem` says how); valid
    (both hold, whoever signed); trusted (and the signer's root is one that is trusted here).
    `making` is None where another program made it; `told_marks` are all that it and the manifests
    of what the file was made from speak of.
    """

    state: str
    signer: str = ""
    generator: str = ""
    making: Making | None = None
    told_marks: tuple[str, ...] = ()
    problem: str = ""


def embeds(path: Path) -> bool:
    """Whether C2PA has a place for a manifest inside this kind of file."""
    return path.suffix.lower() in MIMES


def embed(path: Path, making: Making, signer: Signer | None = None) -> None:
    """Sign the file at `path` in place, by this user's own signer unless another is given; some
    10 ms and 4 kB.
    """
    import c2pa

    signed = path.with_name(f"signed{path.suffix}")
    try:
        with c2pa.Builder(
            definition(making), context=signing_context(signer or own_signer())
        ) as builder:
            for index, source in enumerate(making.inputs):
                add_ingredient(builder, index, source)
            with open(path, "rb") as unsigned, open(signed, "w+b") as out:
                builder.sign(MIMES[path.suffix.lower()], unsigned, out)
        os.replace(signed, path)
    except c2pa.C2paError as error:
        raise ValueError(
            f"manifest: expected {path.name} to take a signature, got {error}, "
            "free some space or check the signer"
        ) from error
    finally:
        signed.unlink(missing_ok=True)


def signing_context(signer: Signer) -> Any:
    """What c2pa signs with: the signer, without network."""
    import c2pa

    info = c2pa.C2paSignerInfo(
        alg=signer.algorithm,
        sign_cert=signer.chain_pem(),
        private_key=signer.key_pem(),
        ta_url=None,
    )
    return c2pa.Context.from_dict(OFFLINE, c2pa.Signer.from_info(info))


def definition(making: Making) -> dict:
    """C2PA's description of a manifest. No title: a file's name may say too much."""
    name, _, number = making.generator.partition(" ")
    return {
        "claim_generator_info": [{"name": name, "version": number}],
        "ingredients": [
            ingredient(index, source)
            for index, source in enumerate(making.inputs)
            if not carries_history(source)
        ],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions(making)}, "created": True},
            {"label": LABEL, "data": making.as_json(), "created": True},
        ],
    }


def actions(making: Making) -> list[dict]:
    """Opened and edited where the clip is an edit of another, else created."""
    agent = {"name": making.generator}
    named = [(f"source-{index}", source.relationship) for index, source in enumerate(making.inputs)]
    parents = [label for label, relationship in named if relationship == "parentOf"]
    others = [label for label, relationship in named if relationship != "parentOf"]
    last: dict[str, Any] = {
        "action": "c2pa.edited" if parents else "c2pa.created",
        "digitalSourceType": making.source_type,
        "softwareAgent": agent,
    }
    if others:
        last["parameters"] = {"ingredientIds": others}
    opened = (
        [
            {
                "action": "c2pa.opened",
                "parameters": {"ingredientIds": parents},
                "softwareAgent": agent,
            }
        ]
        if parents
        else []
    )
    return [*opened, last]


def carries_history(source: Source) -> bool:
    """Whether there still is the file that C2PA can take a manifest from."""
    return (
        source.file is not None
        and embeds(source.file)
        and source.file.is_file()
        and sha256_of_file(source.file) == source.file_sha256
    )


def ingredient(index: int, source: Source) -> dict[str, str]:
    """How an action names a source."""
    return {"label": f"source-{index}", "relationship": source.relationship}


def add_ingredient(builder: Any, index: int, source: Source) -> None:
    """Bring a source's own manifest along, where its file still has one."""
    if source.file is not None and carries_history(source):
        with open(source.file, "rb") as content:
            builder.add_ingredient(
                ingredient(index, source), MIMES[source.file.suffix.lower()], content
            )


def extract(path: Path, roots: tuple[x509.Certificate, ...] | None = None) -> Manifest:
    """The manifest inside the file at `path`, whatever its name says it is; `roots` are trusted
    (None: `trusted_roots()`).
    """
    import c2pa

    try:
        with (
            open(path, "rb") as content,
            c2pa.Reader(content, context=reading_context(roots)) as reader,
        ):
            return reported(reader.json(), str(reader.get_validation_state()))
    except (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported):
        return Manifest(state="none")
    except c2pa.C2paError as error:
        return (
            Manifest(state="tampered", problem=f"the manifest can't be read ({error})")
            if names_c2pa(path)
            else Manifest(state="none")
        )


def reading_context(roots: tuple[x509.Certificate, ...] | None) -> Any:
    """What c2pa reads with: whom to trust, without network."""
    import c2pa

    known = trusted_roots() if roots is None else roots
    anchors = b"".join(root.public_bytes(serialization.Encoding.PEM) for root in known).decode()
    return c2pa.Context.from_dict(
        OFFLINE | ({"trust": {"user_anchors": anchors}} if anchors else {})
    )


def names_c2pa(path: Path) -> bool:
    """Whether the name of a C2PA box is left in a file that can't be parsed."""
    with open(path, "rb") as content, mmap(content.fileno(), 0, access=ACCESS_READ) as data:
        return any(data.find(name) >= 0 for name in BOXES)


def reported(text: str, state: str) -> Manifest:
    """A manifest out of c2pa's report (JSON) and its state of validation."""
    store = json.loads(text)
    active = store.get("manifests", {}).get(store.get("active_manifest"), {})
    holds = {"Valid": "valid", "Trusted": "trusted"}.get(state, "tampered")
    failures = [
        status["code"]
        for status in store.get("validation_status", [])
        if status["code"] != "signingCredential.untrusted"
    ]
    signature = active.get("signature_info", {})
    generator = (active.get("claim_generator_info") or [{}])[0]
    try:
        making = making_of(active)
        marks = tuple(
            mark
            for other in store.get("manifests", {}).values()
            if (made := making_of(other))
            for mark in made.marks
        )
    except ValueError as error:
        return Manifest(state="tampered", problem=str(error))
    return Manifest(
        state=holds,
        making=making,
        told_marks=marks,
        problem=", ".join(failures) if holds == "tampered" else "",
        signer=", ".join(filter(None, (signature.get("common_name"), signature.get("issuer")))),
        generator=" ".join(filter(None, (generator.get("name"), generator.get("version")))),
    )


def making_of(active: dict) -> Making | None:
    """What our own assertion says, if there is one. Raises ValueError where it says nonsense."""
    found = [
        assertion["data"]
        for assertion in active.get("assertions", [])
        if assertion.get("label") == LABEL
    ]
    return Making.from_json(found[0]) if found else None
