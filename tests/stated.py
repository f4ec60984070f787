"""Videos that state something of how they are to be shown: a display matrix, or light of HDR."""

import struct

import av
import numpy as np

ONE = 2**16  # of a display matrix, whose numbers are in 16.16 fixed point


def with_matrix(path, a, b, c, d):
    """The track's display matrix in an mp4 or mov."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 2**30)
    path.write_bytes(data)
    return path


def encode_deep(path, luma, blue, red, transfer, rate=16, primaries=9, space=9):
    """Two frames of 10 bits: `luma` [h, w], and colour of half its size or one number each."""
    height, width = luma.shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries = transfer, primaries
        context.colorspace, context.color_range = space, 1
        for number in range(2):
            frame = av.VideoFrame(width, height, "yuv420p10le")
            for plane, values in zip(frame.planes, (luma, blue, red), strict=True):
                rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
                rows[:, : plane.width] = values
                plane.update(rows.tobytes())
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
