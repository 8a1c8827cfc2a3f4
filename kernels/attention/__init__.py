"""Attention with a gate per sample and head: `op.gated_attention` is what to call."""
