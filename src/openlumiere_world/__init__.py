"""The sticker world: a captioned video collection that anyone can make again from a seed."""
