"""Nets, codecs, text encoders and styles, and their safe reading from folders."""
