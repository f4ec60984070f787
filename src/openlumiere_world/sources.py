"""Where the sticker world comes from: packages pinned by version and checksum, their licences,
their styles.
"""

import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from openlumiere.media.digest import sha256_of_file
from openlumiere.media.write import write_whole

MIT_MICROSOFT = "Fluent Emoji, (c) Microsoft Corporation"


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package of the npm registry, pinned. `sha256` is that of what `npm pack` writes."""

    name: str
    version: str
    sha256: str

    @property
    def archive(self) -> str:
        """The file that `npm pack` writes."""
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"

    @property
    def spec(self) -> str:
        """As npm names it."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A collection of drawings in one style. `packages` is empty for what `--extra` brings."""

    key: str
    style: str
    kind: str  # "still" or "animated"
    form: str  # "webp" (files named by code point), "svg" (an icons.json) or "lottie"
    packages: tuple[Package, ...]
    licence: str
    attribution: str


def _anim(part: int, sha256: str) -> Package:
    return Package(name=f"@lobehub/fluent-emoji-anim-{part}", version="1.0.0", sha256=sha256)


def _icons(name: str, version: str, sha256: str) -> tuple[Package, ...]:
    return (Package(name=f"@iconify-json/{name}", version=version, sha256=sha256),)


NAMES = Package(
    name="emojibase-data",
    version="17.0.0",
    sha256="d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
)

SOURCES = (
    Source(
        key="fluent-3d",
        style="3d",
        kind="still",
        form="webp",
        packages=(
            Package(
                name="@lobehub/fluent-emoji-3d",
                version="1.1.0",
                sha256="c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
            ),
        ),
        licence="MIT",
        attribution=MIT_MICROSOFT,
    ),
    Source(
        key="fluent-anim",
        style="3d",
        kind="animated",
        form="webp",
        packages=(
            _anim(1, "4c03ac178c1eabf2e2a16dd498f3cc2b92dc30ec3466ae38fdc497d4774c99ea"),
            _anim(2, "e431da8172e394036c330faa77648d6fbbae1fd3b0be95637c4497c9075019c0"),
            _anim(3, "3624d0c34c819c1794b74ccf6ae9034adff7c4cb6318dd2a645145f0196feb43"),
            _anim(4, "3d4c08f1e321f70808ef4996aba0ab575a9d97b6c56ffffc92cf6161a7836aa3"),
        ),
        licence="MIT",
        attribution=MIT_MICROSOFT,
    ),
    Source(
        key="noto-anim",
        style="noto",
        kind="animated",
        form="lottie",
        packages=(),
        licence="CC-BY-4.0",
        attribution="Noto Emoji Animation, (c) Google",
    ),
    Source(
        key="fluent-flat",
        style="flat",
        kind="still",
        form="svg",
        packages=_icons(
            "fluent-emoji-flat",
            "1.2.6",
            "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
        ),
        licence="MIT",
        attribution=MIT_MICROSOFT,
    ),
    Source(
        key="noto",
        style="noto",
        kind="still",
        form="svg",
        packages=_icons(
            "noto", "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"
        ),
        licence="Apache-2.0",
        attribution="Noto Emoji, (c) Google Inc.",
    ),
    Source(
        key="twemoji",
        style="twemoji",
        kind="still",
        form="svg",
        packages=_icons(
            "twemoji", "1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"
        ),
        licence="CC-BY-4.0",
        attribution="Twemoji, (c) Twitter, Inc. and other contributors",
    ),
    Source(
        key="fluent",
        style="gradient",
        kind="still",
        form="svg",
        packages=_icons(
            "fluent-emoji",
            "1.2.7",
            "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
        ),
        licence="MIT",
        attribution=MIT_MICROSOFT,
    ),
    Source(
        key="emojione",
        style="emojione",
        kind="still",
        form="svg",
        packages=_icons(
            "emojione", "1.2.3", "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e"
        ),
        licence="CC-BY-4.0",
        attribution="EmojiTwo, from Emoji One 2 (c) Ranks.com Inc.",
    ),
    Source(
        key="fxemoji",
        style="fxemoji",
        kind="still",
        form="svg",
        packages=_icons(
            "fxemoji", "1.2.2", "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef"
        ),
        licence="Apache-2.0",
        attribution="FxEmojis, (c) Mozilla Foundation",
    ),
    Source(
        key="openmoji",
        style="openmoji",
        kind="still",
        form="svg",
        packages=_icons(
            "openmoji", "1.2.29", "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5"
        ),
        licence="CC-BY-SA-4.0",
        attribution="OpenMoji, the open-source emoji and icon project",
    ),
)
BY_KEY = {source.key: source for source in SOURCES}
HELD_OUT_STYLE = (
    "openmoji"  # share-alike and line-drawn: tests of style learning only, never trained on
)

LOTTIE_ARCHIVE = "noto-lottie.tar.xz"
LOTTIE_SHA256 = "66bd10371ad026a4e8dd93297c19694eef2aa2982e6e66b42e457b74427a6c95"
LOTTIE_MISSING = (
    "the animated Noto emoji were left out: no package registry carries them; Google publishes"
    " them as"
    f" 'Noto Emoji Animation' (Lottie); put {LOTTIE_ARCHIVE} in a folder and pass it as --extra"
    " FOLDER"
)


def fetch(package: Package, folder: Path) -> Path:
    """The package unpacked under `folder`; fetched with `npm pack` unless it is there with the
    right checksum.

    Raises:
        ValueError: the archive could not be had, or its checksum is another one.
    """
    archive = folder / package.archive
    unpacked = folder / package.archive.removesuffix(".tgz")
    if unpacked.exists():
        return unpacked
    if not archive.exists() or sha256_of_file(archive) != package.sha256:
        _npm_pack(package, folder)
    check(archive, package.sha256)
    return unpack(archive, unpacked)


def unpack_lottie(extra: Path | None, folder: Path) -> Path | None:
    """The animated Noto emoji unpacked under `folder`, out of the archive that `extra` holds. None,
    and a line that says how to get them, where neither is there.

    Raises:
        ValueError: the archive's checksum is another one.
    """
    unpacked = folder / LOTTIE_ARCHIVE.removesuffix(".tar.xz")
    if unpacked.exists():
        return unpacked
    if extra is None or not (extra / LOTTIE_ARCHIVE).exists():
        tqdm.write(LOTTIE_MISSING)
        return None
    check(extra / LOTTIE_ARCHIVE, LOTTIE_SHA256)
    return unpack(extra / LOTTIE_ARCHIVE, unpacked)


def check(archive: Path, sha256: str) -> None:
    """Raise ValueError unless the file's SHA-256 is the pinned one."""
    got = sha256_of_file(archive)
    if got != sha256:
        raise ValueError(
            f"expected {archive.name} with sha256 {sha256}, got {got}: delete it and build again"
        )


def unpack(archive: Path, target: Path) -> Path:
    """Unpack a tar archive into `target`, all or nothing."""
    with tarfile.open(archive) as tar:
        write_whole(target, lambda made: tar.extractall(made, filter="data"))
    return target


def _npm_pack(package: Package, folder: Path) -> None:
    command = ["npm", "pack", package.spec, "--pack-destination", str(folder), "--silent"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise ValueError(
            "expected the npm command, got none: install Node.js, then build again"
        ) from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip() or "no reason given").splitlines()[-1]
        raise ValueError(
            f"expected package {package.spec}, got '{reason}': check the network, then build again"
        ) from None
