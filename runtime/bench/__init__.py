"""What a bundle costs on this machine: `python -m runtime.bench`."""
