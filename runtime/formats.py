"""Names and limits that the checkpoint's format and the bundle's format share."""

DENSE = "dense"  # the name of the expert that nothing was pruned from
MAX_GUIDANCE = 1000.0
