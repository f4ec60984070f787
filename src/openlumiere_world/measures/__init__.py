"""Measures on the sticker world."""
