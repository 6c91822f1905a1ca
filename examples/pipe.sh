#!/usr/bin/env bash
# Video in, head out, nothing on the disk between: the motion goes through a pipe.
# Usage: pipe.sh [VIDEO [OUT_FOLDER]]
set -euo pipefail
clip=${1:-$(dirname "$0")/clip.mp4}
out=${2:-out}
mkdir -p "$out"
cat "$clip" | tdmm fit - | tdmm render - --size 256 -o - >"$out/head.mp4"
