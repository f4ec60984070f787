"""The toy world: toys and stickers that move by themselves, on grounds, under cameras, 128 x 128
RGBA at 16 frames a second.
"""
