"""Videos through FFmpeg's demuxers and decoders, counted against what the container says."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np

from openlumiere.media import sound
from openlumiere.media.frames import Decoded, FrameWriter
from openlumiere.media.limits import KEEP_PART, STANDARD, Limits, MediaError
from openlumiere.media.picturing import Deinterlacer, Picturing, within
from openlumiere.media.timing import Note, places, steady_rate

DECODERS = ",".join(
    (
        "h264,hevc,vp8,vp9,libvpx,libvpx-vp9,av1,libdav1d,mpeg4,mpeg2video,mpeg1video,mjpeg,theora",
        "prores,ffv1,png,apng,qtrle,rawvideo,h263,msmpeg4v3,msmpeg4,msmpeg4v2,huffyuv,utvideo",
        "dvvideo,cinepak,svq1,svq3,dnxhd,cfhd,v210,magicyuv",
        "aac,mp3,mp3float,opus,libopus,vorbis,libvorbis,flac,alac,ac3,eac3,mp2,mp2float",
        "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_u8,pcm_s8,pcm_f32le",
        "pcm_f32be,pcm_f64le,pcm_mulaw,pcm_alaw,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_yamaha",
        "adpcm_swf,adpcm_g722,adpcm_g726,amrnb,amrwb,gsm,gsm_ms,wmav1,wmav2,dca",
    )
)
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own leave the alpha of webm out
VP8_SHOWN = 0x10


@dataclass
class Survey:
    """What the packets say, before anything is decoded."""

    packets: int = 0
    slots: int = 0  # places for frames up to the last one, some of them empty in avi
    length: Fraction = Fraction(0)
    damaged: Fraction | None = None
    end: Fraction = Fraction(0)


@contextmanager
def opened(
    path: Path, kind: str, limits: Limits, **options: str
) -> Iterator[av.container.InputContainer]:
    """The container at `path`, opened only as `kind`, only from this file, only with the decoders
    above.
    """
    fixed = {
        "protocol_whitelist": "file",
        "format_whitelist": kind,
        "codec_whitelist": DECODERS,
        "max_pixels": str(limits.pixels),
    }
    try:
        with av.open(
            f"file:{path}", format=kind, options=fixed | options, metadata_errors="replace"
        ) as container:
            yield container
    except (av.FFmpegError, IndexError, OverflowError, ZeroDivisionError) as error:
        check_memory(error)
        raise MediaError(
            f"a whole {kind} file", f"{path.name}: {_reason(error)}", "save or download it again"
        ) from error


def check_memory(error: Exception) -> None:
    """Raise MemoryError where FFmpeg failed for want of memory or threads: no fault of the file."""
    if getattr(error, "errno", None) in (errno.ENOMEM, errno.EAGAIN):
        raise MemoryError(_reason(error)) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def picture_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The first video stream that isn't a cover picture and has a decoder."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            if stream.codec_context is None:
                raise MediaError(
                    "a video in a known codec",
                    f"an unknown one in {name}",
                    "convert it to h264 first",
                )
            return stream
    raise MediaError("a video stream", f"no video stream in {name}", "pass a file with pictures")


def check_header(
    stream: av.VideoStream, container: av.container.InputContainer, limits: Limits
) -> None:
    """Refuse by what the headers claim, before a frame is decoded."""
    rate = stream.average_rate or stream.guessed_rate
    if rate is not None:
        limits.check_rate(rate)
    frames = frames_stated(stream, container)
    small = within(frames, stream.width, stream.height, limits) if stream.width else (0, 0)
    limits.check(frames, small[1], small[0])
    limits.check(1, stream.height, stream.width)


def frames_stated(stream: av.VideoStream, container: av.container.InputContainer) -> int:
    """How many frames the headers claim, at least one."""
    rate = stream.average_rate or stream.guessed_rate
    if not stream.frames and rate and container.duration:
        return max(int(container.duration * rate) // av.time_base, 1)
    return max(stream.frames, 1)


def survey(container: av.container.InputContainer, stream: av.VideoStream) -> Survey:
    """Read every packet of every stream once."""
    found, start = Survey(), Fraction(container.start_time or 0, av.time_base)
    for packet in container.demux():
        if packet.size and packet.pts is not None:
            found.end = max(found.end, packet.pts * packet.time_base + lasts(packet) - start)
        if packet.stream is stream and packet.size:
            found.packets += 1
            found.length += lasts(packet)
            if packet.pts is not None:
                found.slots = max(found.slots, packet.pts + (packet.duration or 1))
            if packet.is_corrupt and found.damaged is None:
                found.damaged = found.end
    return found


def lasts(packet: av.Packet) -> Fraction:
    """Seconds that a packet stays; a picture without a word on that stays for one frame."""
    if packet.duration:
        return packet.duration * packet.time_base
    rate = packet.stream.average_rate if packet.stream.type == "video" else None
    return 1 / rate if rate else Fraction(0)


def note_of(container: av.container.InputContainer) -> Note | None:
    """Our own note in the file's comment."""
    return Note.find(said(container.metadata, "comment"))


def said(metadata: dict[str, str], key: str) -> str:
    """A value of a file's metadata, whose keys are upper case in some formats."""
    return next((value for name, value in metadata.items() if name.lower() == key), "")


def check_packets(path: Path, kind: str, limits: Limits) -> None:
    """Hold the container's word against its packets. Edits are ignored here, so that all packets
    are met.
    """
    options = {"ignore_editlist": "1"} if kind == "mov" else {}
    with opened(path, kind, limits, **options) as container:
        stream = picture_stream(container, path.name)
        check_header(stream, container, limits)
        indexed = len(stream.index_entries)
        found = survey(container, stream)
        if kind == "avi" and is_whole_avi(found, stream.frames, indexed):
            return
        check_survey(path, kind, container, stream, found)


def is_whole_avi(found: Survey, stated: int, indexed: int) -> bool:
    """Whether all that an avi promises is there, where FFmpeg wrote empty slots for frames that
    are repeated: the last frame is in the last slot, or the index at its end names just these.
    """
    if found.damaged is not None or found.packets > stated:
        return False
    return found.slots == stated or found.packets == indexed


def check_survey(
    path: Path,
    kind: str,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    found: Survey,
) -> None:
    """Raise where the packets `found` disagree with the container: on their count, the length of
    the track or of the file.
    """
    media_length = (stream.duration or 0) * clock_of(stream)
    if found.damaged is not None:
        raise _broken(path, f"a damaged packet at second {float(found.damaged):.2f}")
    if stream.frames and stream.frames != found.packets:
        got = f"{found.packets} packets, up to second {float(found.end):.2f}"
        raise _broken(path, f"{got}, where the container's index says {stream.frames} frames")
    stated = Fraction(container.duration or 0, av.time_base)
    if (
        kind == "mov"
        and stream.duration
        and abs(found.length - media_length) > 2 * one_frame(stream) + media_length / 100
    ):
        raise _broken(
            path,
            f"frames for {float(found.length):.2f} s in a track of {float(media_length):.2f} s",
        )
    differs = stated - found.end
    if (
        kind == "matroska"
    ):  # its length counts from 0 in some writers, from the first frame in others
        start = Fraction(container.start_time or 0, av.time_base)
        differs = min(abs(stated - found.end), abs(stated - found.end - start))
    if not stream.frames and stated and differs > one_frame(stream):
        raise _broken(
            path,
            f"packets up to second {float(found.end):.2f} "
            f"where the container says {float(stated):.2f} s",
        )


def clock_of(stream: av.VideoStream) -> Fraction:
    """Seconds of a tick of the stream's clock."""
    return stream.time_base or Fraction(1, 1000)


def one_frame(stream: av.VideoStream) -> Fraction:
    """How far two lengths may differ: just less than a frame lasts, since some clocks tick in
    milliseconds.
    """
    return max(1 / (stream.average_rate or Fraction(4)) - Fraction(2, 1000), Fraction(2, 1000))


def _broken(path: Path, what: str) -> MediaError:
    return MediaError("a whole video", f"{path.name}: {what}", f"download it again, or {KEEP_PART}")


def read_video(path: Path, kind: str, writer: FrameWriter, allow_partial: bool) -> Decoded:
    """Decode all frames; unless `allow_partial`, what came out must agree with what the container
    says.
    """
    if not allow_partial:
        check_packets(path, kind, writer.limits)
    with opened(path, kind, writer.limits) as container:
        stream = picture_stream(container, path.name)
        check_header(stream, container, writer.limits)
        frames = frames_stated(stream, container)
        picturing = Picturing(stream.sample_aspect_ratio, frames, writer.limits, writer.say)
        reader = FrameReader(container, stream, writer.limits, picturing)
        try:
            for frame in reader.frames():
                writer.write(trimmed(picturing.pixels(frame), note_of(container)))
        except (av.FFmpegError, MediaError) as error:
            check_memory(error)
            if not (allow_partial and writer.count):
                raise broke_at(path, error, reader) from error
        if not writer.count:
            raise _broken(path, "no frame that can be decoded")
        if not allow_partial:
            check_count(path, writer.count, reader.packets, stated_frames(container, stream))
            if kind == "mov":
                check_length(path, reader, stream)
        return timed(writer, reader.times, stream, note_of(container))


def broke_at(path: Path, error: Exception, reader: "FrameReader") -> MediaError:
    """The error with the second at which it came; ours as it is."""
    if isinstance(error, MediaError):
        return error
    second = float(reader.times[-1] - reader.times[0]) if reader.times else 0.0
    return _broken(
        path,
        f"it breaks at second {second:.2f}, after {len(reader.times)} frames ({_reason(error)})",
    )


def stated_frames(container: av.container.InputContainer, stream: av.VideoStream) -> int | None:
    """Frames by our note, where the container's length agrees with it (a cut or joined file may
    carry a stale one).
    """
    note = note_of(container)
    if stream.frames or not note:
        return None
    if not container.duration:
        return note.frames
    return (
        note.frames
        if abs(Fraction(container.duration, av.time_base) - note.frames / note.fps) < 1 / note.fps
        else None
    )


def check_count(path: Path, decoded: int, packets: int, noted: int | None) -> None:
    """Raise where frames were lost in silence."""
    if decoded != packets:
        raise _broken(path, f"{decoded} frames decoded of {packets} in the file")
    if noted is not None and decoded != noted:
        raise _broken(path, f"{decoded} frames decoded where the file's note says {noted}")


def shows(packet: av.Packet) -> bool:
    """Whether a packet should give a frame: not when an edit cuts it off, nor when it only helps
    others (VP8's hidden frames).
    """
    hidden = (
        packet.stream.codec_context.name == "vp8"
        and packet.size
        and not bytes(packet)[0] & VP8_SHOWN
    )
    return bool(packet.size) and not packet.is_discard and not hidden


def check_length(path: Path, reader: "FrameReader", stream: av.VideoStream) -> None:
    """Raise where the frames shown, after the edits of the file, don't last as long as it says
    (wrong times cut frames off).
    """
    if stream.duration is None and reader.packets < stream.frames:
        raise _broken(
            path,
            f"{reader.packets} of {stream.frames} frames to be shown, for a length it doesn't say",
        )
    stated, shown = (stream.duration or 0) * clock_of(stream), reader.length
    if stated - shown > one_frame(stream):
        raise _broken(
            path, f"frames for {float(shown):.2f} s where the container says {float(stated):.2f} s"
        )


class FrameReader:
    """Decodes one stream; keeps the times of the frames and the number of packets that should each
    have given one.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        limits: Limits,
        picturing: Picturing,
    ):
        self.container, self.stream = container, stream
        self.picturing = picturing
        self.deinterlacer = Deinterlacer(picturing.say)
        self.packets = 0
        self.length = Fraction(0)
        self.times: list[Fraction] = []
        self.decoder = stream.codec_context
        if said(stream.metadata, "alpha_mode") == "1" and self.decoder.name in ALPHA_DECODERS:
            decoder = av.CodecContext.create(ALPHA_DECODERS[self.decoder.name], "r")
            self.decoder = cast(av.VideoCodecContext, decoder)
        self.decoder.thread_count = 1
        self.decoder.options = {"max_pixels": str(limits.pixels)}

    def frames(self) -> Iterator[av.VideoFrame]:
        """Frames in the order they are shown, fields made whole; `av.InvalidDataError` at the first
        that is damaged.
        """
        for packet in self.container.demux(self.stream):
            if shows(packet):
                self.packets += 1
                self.length += (packet.duration or 0) * packet.time_base
            for frame in self.decoder.decode(packet if packet.size else None):
                if frame.is_corrupt:
                    raise av.InvalidDataError(0, "a damaged frame")
                self.times.append(self._time(frame))
                self.picturing.see(frame)
                yield from self.deinterlacer.frames(frame)
        yield from self.deinterlacer.rest()

    def _time(self, frame: av.VideoFrame) -> Fraction:
        if frame.pts is not None:
            return frame.pts * clock_of(self.stream)
        rate = self.stream.average_rate or Fraction(16)
        return self.times[-1] + 1 / rate if self.times else Fraction(0)


def trimmed(picture: np.ndarray, note: Note | None) -> np.ndarray:
    """Without the row and column that made an odd size even, where our note tells of them."""
    if note and all(
        0 <= have - said <= 1
        for have, said in zip(picture.shape, (note.height, note.width), strict=False)
    ):
        return picture[: note.height, : note.width]
    return picture


def timed(
    writer: FrameWriter, times: list[Fraction], stream: av.VideoStream, note: Note | None
) -> Decoded:
    """The frames at a constant rate: the stream's own where every frame is within half a frame of
    it, else `steady_rate`.
    """
    times = times[: writer.count]
    begin, since = times[0], [time - times[0] for time in times]
    rate = stream.average_rate or stream.guessed_rate or Fraction(16)
    if (
        note
        and note.frames == len(times)
        and places(since, note.fps, clock_of(stream)) == list(range(len(times)))
    ):
        return writer.done(note.fps, begin=begin)
    if places(since, rate, 1 / (2 * rate)) == list(range(len(times))):
        return writer.done(rate, begin=begin)
    if stream.time_base == 1 / rate:  # the clock ticks in frames: avi, and files without times
        on_grid = [round(time * rate) for time in since]
        return writer.done(rate, on_grid, on_grid[-1] + 1, begin)
    fps, on_grid = steady_rate(since, clock_of(stream))
    return writer.done(fps, on_grid, on_grid[-1] + 1, begin)


def read_video_sound(path: Path, kind: str, found: Decoded, out: Path) -> tuple[str | None, str]:
    """Keep the sound under the frames `found` in matroska file `out`; the name of its codec, or
    None and a word on why there is none.
    """
    try:
        with opened(path, kind, STANDARD) as container:
            return sound.extract(container, found.begin, found.count / found.fps, out), ""
    except (MediaError, ValueError, av.FFmpegError) as error:  # the pictures are good
        reason = error.parts[1] if isinstance(error, MediaError) else _reason(error)
        return None, f"its sound can't be kept and is left out ({reason})"
