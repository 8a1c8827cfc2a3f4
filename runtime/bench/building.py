"""How long an expert took to build, as the build's report beside the bundle tells it.

A bundle knows no times. The report is believed for exactly those models whose identity it names.
"""

import json

from runtime.bundle.reader import Bundle

REPORT = "report.json"


def build_seconds(bundle: Bundle) -> dict[str, float]:
    """Return the seconds by expert, for those that `<bundle>.report` knows; nobody has to keep that
    folder.
    """
    path = bundle.root.with_name(f"{bundle.root.name}.report") / REPORT
    try:
        parts = json.loads(path.read_bytes())["parts"]
        seconds = {part["key"]: float(part["seconds"]) for part in parts}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    experts = bundle.manifest.experts
    return {
        name: seconds[expert.model.identity]
        for name, expert in experts.items()
        if expert.model.identity in seconds
    }
