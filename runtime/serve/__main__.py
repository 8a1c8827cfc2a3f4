"""`python -m runtime.serve`: a bundle over HTTP."""

from runtime.serve import early_signals

if __name__ == "__main__":  # before what takes long to import
    early_signals.attend()

from importlib.util import find_spec

from runtime.cli.parser import run
from runtime.errors import EnvironmentMismatch

_NEEDED = ("h11", "starlette", "uvicorn", "prometheus_client")


def main() -> int:
    """Serve what the command line asks for, and give the exit code. Raises `RuntimeFailure`."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise EnvironmentMismatch(
            f"python -m runtime.serve needs {', '.join(missing)}; install with `pip install 'aptp[serve]'`"
        )
    from runtime.serve import command

    return command.main()


if __name__ == "__main__":
    run(main)
