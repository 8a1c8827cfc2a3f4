#!/bin/sh
# Installs what the C++ runtime is built from, as packages of Debian 12 or newer. ONNX Runtime: see onnxruntime.sh.
# Further packages may be named: `packages.sh clang libclang-rt-dev` for the fuzzers.
set -eu
if [ "$(id -u)" = 0 ]; then as_root=; else as_root=sudo; fi
packages="cmake doctest-dev dpkg-dev file g++ libcli11-dev libcpp-httplib-dev libpng-dev libssl-dev make nlohmann-json3-dev pkg-config $*"
for package in $packages; do
    if ! dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed; then
        $as_root apt-get update --quiet
        # shellcheck disable=SC2086  # a list of packages
        exec $as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $packages
    fi
done
