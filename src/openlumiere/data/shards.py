"""WebDataset shards: plain tar files in which the members `KEY.EXT` with one key make one sample.

Written with the offset, length and checksum of every member, so that an index can open one sample
without a scan.
"""

import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from openlumiere.media.write import write_whole


@dataclass(frozen=True, kw_only=True)
class Member:
    """Where the bytes of one member lie: file name of the shard, first byte, count, CRC-32."""

    shard: str
    offset: int
    length: int
    crc32: int


def write(path: Path, members: Iterable[tuple[str, bytes]]) -> dict[str, Member]:
    """Write a shard, all or nothing; the same members give the same bytes. Returns where each
    member lies.
    """
    places: dict[str, Member] = {}

    def fill(made: Path) -> None:
        with tarfile.open(made, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, data in members:
                places[name] = _append(tar, path.name, name, data)

    write_whole(path, fill)
    return places


def read(folder: Path, member: Member) -> bytes:
    """The bytes of one member.

    Raises:
        ValueError: the shard is missing, cut short, or holds other bytes than were written.
    """
    path = folder / member.shard
    try:
        with path.open("rb") as file:
            file.seek(member.offset)
            data = file.read(member.length)
    except OSError as error:
        raise ValueError(
            f"expected shard {path}, got '{error.strerror}': build the data again"
        ) from None
    if len(data) != member.length or zlib.crc32(data) != member.crc32:
        raise ValueError(
            f"expected {member.length} sound bytes at {member.offset} of {path}, got {len(data)}"
            " with another checksum:"
            " the shard is cut or damaged; build the data again"
        )
    return data


def samples(path: Path) -> Iterator[dict[str, bytes]]:
    """The samples of a shard in order: `{"__key__": KEY, EXT: bytes, ...}` as WebDataset has them.

    Raises:
        ValueError: the shard is missing, not a tar file, or cut short.
    """
    sample: dict[str, bytes] = {}
    for header, data in _members(path):
        key, _, extension = header.name.partition(".")
        if sample and sample["__key__"] != key.encode():
            yield sample
            sample = {}
        sample["__key__"] = key.encode()
        sample[extension] = data
    if sample:
        yield sample


def places(path: Path) -> dict[str, Member]:
    """Where each member of a shard lies, as `write` returned it. Raises ValueError as `samples`."""
    return {
        header.name: Member(
            shard=path.name,
            offset=header.offset_data,
            length=header.size,
            crc32=zlib.crc32(data),
        )
        for header, data in _members(path)
    }


def _append(tar: tarfile.TarFile, shard: str, name: str, data: bytes) -> Member:
    header = tarfile.TarInfo(
        name
    )  # time, owner and mode keep fixed values: bytes depend on the content alone
    header.size = len(data)
    offset = tar.offset + tarfile.BLOCKSIZE  # USTAR names fit one header block
    tar.addfile(header, io.BytesIO(data))
    return Member(shard=shard, offset=offset, length=len(data), crc32=zlib.crc32(data))


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    try:
        with tarfile.open(path, "r:") as tar:
            for header in tar:
                member = tar.extractfile(header)
                _require(member is not None, path)
                data = member.read() if member else b""
                _require(len(data) == header.size, path)
                yield header, data
            _require(_ends_in_zeros(path), path)
    except (tarfile.TarError, OSError) as error:
        raise ValueError(
            f"expected a whole tar shard at {path}, got '{error}': build the data again"
        ) from None


def _ends_in_zeros(path: Path) -> bool:
    """A tar file ends in two blocks of zeros; without them its last members may be gone."""
    with path.open("rb") as file:
        file.seek(-2 * tarfile.BLOCKSIZE, io.SEEK_END)
        return not any(file.read())


def _require(sound: bool, path: Path) -> None:
    if not sound:
        raise tarfile.ReadError("unexpected end of data")
