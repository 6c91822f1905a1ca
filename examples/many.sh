#!/usr/bin/env bash
# All videos of a folder, and of the folders in it, to motions, and a grid to look at. Run it again after adding videos:
# only those are fitted.
# Usage: many.sh FOLDER [OUT_FOLDER]
set -euo pipefail
folder=${1:-$(dirname "$0")}
out=${2:-out}
tdmm fit "$folder" -o "$out/motions/"
find "$out/motions" -name '*.npz' -print0 | sort -z | xargs -0 tdmm render --size 200 -o "$out/grid.mp4" --force
