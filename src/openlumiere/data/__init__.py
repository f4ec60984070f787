"""Clips for training: shards, their index, and how footage gets there."""
