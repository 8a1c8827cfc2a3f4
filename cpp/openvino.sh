#!/bin/sh
# Prints the folder for -DOpenVINO_DIR: usage: openvino.sh [PYTHON]
#
# The Python package `openvino` brings headers, libraries and a CMake package of its own. It is looked for as PYTHON
# (default: python3) would import it, and not imported: that would send an event to its makers.
set -eu
python=${1:-python3}

folder=$("$python" -c 'import importlib.util, pathlib
spec = importlib.util.find_spec("openvino")
print(pathlib.Path(spec.origin).parent / "cmake" if spec and spec.origin else "")')
if [ ! -e "$folder/OpenVINOConfig.cmake" ]; then
    echo "error: $python has no openvino with a CMake package; name one that has: openvino.sh PYTHON" >&2
    exit 1
fi
echo "$folder"
