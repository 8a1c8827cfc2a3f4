"""The method: pruning space, gated and sliced models, checkpoints."""
