"""Names and limits that several formats, and commands that read each other's files, share."""

DENSE = "dense"  # the name of the expert that nothing was pruned from
MAX_GUIDANCE = 1000.0
PNG_KEY = "aptp"  # the PNG text chunk that holds an image's settings, as JSON
GRID = "grid.png"  # the sheet of all images of a command, which is none of them
