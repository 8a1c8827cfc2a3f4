"""Ask a running `python -m runtime.serve`, with nothing but Python: python serve_client.py URL PROMPT OUT

OpenAI's own client works as well (docs/SERVING.md).
"""

import base64
import json
import sys
import urllib.request
from pathlib import Path


def main(url: str, prompt: str, out: str) -> None:
    body = json.dumps({"prompt": prompt, "seed": 7, "size": "auto"}).encode()
    request = urllib.request.Request(
        f"{url}/v1/images/generations", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as reply:
        image = json.load(reply)["data"][0]
    Path(out).write_bytes(base64.b64decode(image["b64_json"]))
    print(f"expert {image['aptp']['expert']}, {image['aptp']['milliseconds']:.0f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
