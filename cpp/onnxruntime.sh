#!/bin/sh
# Makes FOLDER a root of ONNX Runtime for -DONNXRUNTIME_ROOT: usage: onnxruntime.sh FOLDER [PYTHON]
#
# The library is that of the Python package `onnxruntime`, as PYTHON imports it (default: python3), and is linked to,
# not copied. The headers are Debian's: those of its testing suite, whose version has the interface of provider
# plugins, fetched and checked by apt from the mirror that this system uses, and unpacked instead of installed.
# Elsewhere, any release of ONNX Runtime of at least 1.23 is such a root as it is.
set -eu
folder=$1 python=${2:-python3} suite=${APTP_HEADERS_SUITE:-forky}

library=$("$python" -c 'import importlib.util, pathlib
spec = importlib.util.find_spec("onnxruntime")
found = sorted(pathlib.Path(spec.origin).parent.glob("capi/libonnxruntime.so.*")) if spec else []
print(found[-1] if found else "")')
if [ -z "$library" ]; then
    echo "error: $python has no onnxruntime with a shared library; name one that has: onnxruntime.sh FOLDER PYTHON" >&2
    exit 1
fi

mkdir -p "$folder/lib"
folder=$(cd "$folder" && pwd)
for provider in "$(dirname "$library")"/libonnxruntime_providers_*.so; do
    ln -sf "$provider" "$folder/lib/"
done
ln -sf "$library" "$folder/lib/libonnxruntime.so.1"
ln -sf libonnxruntime.so.1 "$folder/lib/libonnxruntime.so"
if [ -e "$folder/include/onnxruntime/onnxruntime_cxx_api.h" ]; then exit 0; fi

# A line for each index that apt knows: where it is, whose, and which part of it.
indices='$(REPO_URI) $(ORIGIN) $(COMPONENT)'
mirror=$(apt-get indextargets --format "$indices" 'Created-By: Packages' | sed -n 's/ Debian main$//p' | head -n 1)
if [ -z "$mirror" ]; then
    echo "error: apt knows no index of Debian yet; run \`apt-get update\`, or give any release of ONNX Runtime" >&2
    exit 1
fi
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/unpacked"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" > "$state/sources.list"
# Lists and settings of its own, so that the system's are as before.
cat > "$state/apt.conf" <<END
Dir::Etc::SourceList "$state/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$state/lists";
Dir::Cache::Archives "$state/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
APT::Sandbox::User "";
END
cd "$state"
APT_CONFIG=$state/apt.conf apt-get -qq update
APT_CONFIG=$state/apt.conf apt-get -qq download libonnxruntime-dev
dpkg-deb --extract libonnxruntime-dev_*.deb unpacked
mkdir -p "$folder/include"
cp -r unpacked/usr/include/onnxruntime "$folder/include/"
