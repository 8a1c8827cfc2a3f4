"""The benchmark of a bundle on this machine: `python -m runtime.bench`."""
