"""How token embeddings are kept, by the name a command line gives it."""

PRECISIONS = ("float32", "float16", "none")  # none: training goes on to ask the text encoder
