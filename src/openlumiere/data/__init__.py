"""Clips for training: shards, their index, footage."""
