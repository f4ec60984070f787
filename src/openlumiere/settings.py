"""What a user has set, read once, when a program begins, and passed down as values.

| variable | what it says |
|---|---|
| `OPENLUMIERE_POLICY` | a policy file elsewhere than `$XDG_CONFIG_HOME/openlumiere/policy.json` |
| `OPENLUMIERE_SIGNER` | a PEM file with a private key and its certificates, to sign with |
| `OPENLUMIERE_TRUST` | a PEM file with certificates of signers to trust |
| `OPENLUMIERE_MARK_KEY` | a file with a secret key for the mark |
| `OPENLUMIERE_TELL_PROMPT` | 1: the prompt goes into the signed manifest |
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

APPLICATION = "openlumiere"
POLICY = "OPENLUMIERE_POLICY"
SIGNER = "OPENLUMIERE_SIGNER"
TRUST = "OPENLUMIERE_TRUST"
MARK_KEY = "OPENLUMIERE_MARK_KEY"
TELL_PROMPT = "OPENLUMIERE_TELL_PROMPT"
POLICY_FILE = "policy.json"
SIGNER_FILE = "signer.pem"

MODES = ("refuse", "report", "off")
PROMPT_RULES = ("minors", "people", "harm")


def config_folder(environment: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME/openlumiere`, or `~/.config/openlumiere`."""
    folder = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / APPLICATION


def data_folder(environment: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME/openlumiere`, or `~/.local/share/openlumiere`."""
    folder = environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(folder) / APPLICATION


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the user says of screening, from a JSON file with these fields (`path` is that file).

    `mode`: refuse, report (log a line and continue) or off. `without`: names of rules that do not
    apply. `allow`: prompts, word by word, and pictures, by the number that their refusal names,
    that are fine after all. `frames`: whether frames are looked at (None: where the extra `screen`
    is installed). None of these reaches the words of the rule on minors.
    """

    mode: str = "refuse"
    without: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    frames: bool | None = None
    path: Path = Path(POLICY_FILE)

    def __post_init__(self) -> None:
        unknown = set(self.without) - set(PROMPT_RULES)
        if self.mode not in MODES:
            raise ValueError(refusal(f"the mode {self.mode!r}", self.path))
        if unknown:
            raise ValueError(refusal(f"the rules {', '.join(sorted(unknown))}", self.path))
        if self.frames not in (None, True, False):
            raise ValueError(refusal(f"frames {self.frames!r}", self.path))

    @classmethod
    def read(cls, path: Path) -> Policy:
        """The policy in a file, or the default where there is none.

        Raises ValueError for a file that can't be understood.
        """
        try:
            if not path.is_file():
                return cls(path=path)
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(refusal(str(error), path)) from None
        if not isinstance(content, dict):
            raise ValueError(refusal(type(content).__name__, path))
        known = {each.name for each in fields(cls)} - {"path"}
        if unknown := set(content) - known:
            raise ValueError(refusal(", ".join(sorted(unknown)), path))
        return cls(
            mode=content.get("mode", "refuse"),
            frames=content.get("frames"),
            without=_texts(content, "without", path),
            allow=_texts(content, "allow", path),
            path=path,
        )


def _texts(content: dict, name: str, path: Path) -> tuple[str, ...]:
    value = content.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(refusal(f"{name} {value!r}", path))
    return tuple(value)


def refusal(found: str, path: Path) -> str:
    """Why a policy is refused, in three parts."""
    rules = ", ".join(PROMPT_RULES)
    known = f"mode ({', '.join(MODES)}), without (of {rules}), allow and frames (true or false)"
    return f"policy: expected {known}, got {found}, mend {path}"


@dataclass(frozen=True, kw_only=True)
class SignerFiles:
    """PEM files of who signs: `chain` holds certificates, the signer's first, `key` the private
    key; one file may hold both.

    `own` says that they are this user's own, made on first use.
    """

    chain: Path
    key: Path
    own: bool = False


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that is not asked for with a task: policy, signer, whom to trust, the mark's key.

    Files are named here and opened by whoever needs them, so reading a clip never needs a key.
    """

    signer: SignerFiles
    policy: Policy = field(default_factory=Policy)
    trust: Path | None = None
    mark_key: Path | None = None
    tell_prompt: bool = False

    @classmethod
    def load(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        certificate: str | Path | None = None,
        key: str | Path | None = None,
    ) -> Settings:
        """What the environment (None: `os.environ`) and the files that it names say.

        `certificate` and `key` are PEM files to sign with instead. Raises ValueError for a policy
        that can't be understood, and where one of these two is given without the other.
        """
        said = os.environ if environment is None else environment
        folder = config_folder(said)
        own = folder / SIGNER_FILE
        named = _path(said, SIGNER)
        loaded = cls(
            policy=Policy.read(_path(said, POLICY) or folder / POLICY_FILE),
            signer=SignerFiles(chain=named or own, key=named or own, own=named is None),
            trust=_path(said, TRUST),
            mark_key=_path(said, MARK_KEY),
            tell_prompt=said.get(TELL_PROMPT) == "1",
        )
        return loaded.signed_by(certificate, key)

    def signed_by(self, certificate: str | Path | None, key: str | Path | None) -> Settings:
        """The same with another signer; unchanged where both are None.

        Raises ValueError where only one of the two files is named.
        """
        if certificate is None and key is None:
            return self
        if certificate is None or key is None:
            given = "key" if certificate is None else "certificate"
            raise ValueError(
                f"signer: expected a certificate and its key, got the {given} alone, "
                "name both files"
            )
        return replace(self, signer=SignerFiles(chain=Path(certificate), key=Path(key)))


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    value = environment.get(name)
    return Path(value) if value else None
