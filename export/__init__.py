"""Checkpoint to bundle: graphs, parity, publishing."""
