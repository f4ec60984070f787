"""The sound of a clip: packets copied from one file to the next, encoded anew only where the
format asks for it.
"""

import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av

COPIED = {
    ".mp4": {"aac", "mp3"},
    ".mov": {"aac", "mp3", "pcm_s16le", "pcm_s24le"},
    ".webm": {"opus", "vorbis"},
}
ENCODED = {".mp4": "aac", ".mov": "aac", ".webm": "libopus"}
IN_MATROSKA = {
    *("aac", "mp3", "mp3float", "opus", "libopus", "vorbis", "libvorbis", "flac", "alac"),
    *("ac3", "eac3", "mp2", "mp2float"),
    *("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_u8", "pcm_f32le"),
}  # decoders whose packets are copied; other sound is decoded and kept as flac
SAMPLE_RATE = 48_000


@dataclass(frozen=True)
class Sound:
    """One audio stream as a matroska file in memory (`data`), starting with the clip; `codec` is
    its name.
    """

    data: bytes
    codec: str

    def fits(self, suffix: str) -> bool:
        """Whether the packets can be copied into a file with this extension as they are."""
        return self.codec in COPIED[suffix]


def extract(
    source: av.container.InputContainer, begin: Fraction, seconds: Fraction, out: Path
) -> str | None:
    """Keep the first audio stream of `source`, from `begin` for `seconds`, in matroska file `out`;
    its codec, or None without one.
    """
    if not source.streams.audio:
        return None
    stream = source.streams.audio[0]
    if stream.codec_context is None:
        raise ValueError("sound in an unknown codec")
    if stream.codec_context.name not in IN_MATROSKA:
        return _decoded(source, stream, begin, seconds, out)
    with av.open(str(out), "w", format="matroska") as target:
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.pts is not None and begin <= packet.pts * packet.time_base < begin + seconds:
                shift = round(begin / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.pts - shift
                packet.stream = copy
                target.mux(packet)
    return stream.codec_context.name


def _decoded(
    source: av.container.InputContainer,
    stream: av.AudioStream,
    begin: Fraction,
    seconds: Fraction,
    out: Path,
) -> str:
    """The same, decoded and kept without loss in a codec that matroska takes."""
    with av.open(str(out), "w", format="matroska") as target:
        kept = target.add_stream("flac", rate=stream.codec_context.sample_rate)
        kept.layout = stream.codec_context.layout
        resampler = av.AudioResampler(
            format="s16", layout=kept.layout, rate=stream.codec_context.sample_rate
        )
        samples = 0
        for frame in source.decode(stream):
            if frame.pts is None or begin <= frame.pts * (frame.time_base or 0) < begin + seconds:
                for part in resampler.resample(frame):
                    part.pts = samples
                    part.time_base = Fraction(1, part.sample_rate)
                    samples += part.samples
                    target.mux(kept.encode(part))
        target.mux(kept.encode(None))
    return "flac"


def encode_anew(sound: Path, suffix: str, out: Path) -> str:
    """Decode the audio file `sound` and write it to matroska file `out` in the codec of `suffix`;
    the codec's name.
    """
    with (
        av.open(str(sound), format="matroska") as source,
        av.open(str(out), "w", format="matroska") as target,
    ):
        encoder = target.add_stream(ENCODED[suffix], rate=SAMPLE_RATE, layout="stereo")
        stream = cast(av.AudioStream, encoder)
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="stereo", rate=SAMPLE_RATE
        )
        for frame in source.decode(audio=0):
            for part in resampler.resample(frame):
                target.mux(stream.encode(part))
        for part in resampler.resample(None):
            target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    return stream.codec_context.codec.canonical_name


class SoundTrack:
    """A stream of an output container that takes the packets of a `Sound` up to `seconds`."""

    def __init__(self, sound: Sound, target: av.container.OutputContainer, seconds: Fraction):
        self.source = av.open(io.BytesIO(sound.data), mode="r", format="matroska")
        self.stream = target.add_stream_from_template(self.source.streams.audio[0])
        self.target, self.seconds = target, seconds

    def copy(self) -> None:
        """Mux every packet that starts within the clip."""
        with self.source:
            for packet in self.source.demux(audio=0):
                if packet.pts is not None and packet.pts * packet.time_base < self.seconds:
                    packet.stream = self.stream
                    self.target.mux(packet)
