#!/usr/bin/env bash
# All videos of a folder to motions, and a grid to look at. Run it again after adding videos: only those are fitted.
# Usage: many.sh FOLDER [OUT_FOLDER]
set -euo pipefail
folder=${1:-$(dirname "$0")}
out=${2:-out}
tdmm fit "$folder"/*.mp4 -o "$out/motions/"
tdmm render "$out"/motions/*.npz --size 200 -o "$out/grid.mp4" --force
