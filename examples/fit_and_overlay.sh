#!/usr/bin/env bash
# Follow the face of a clip, and draw the fitted head over it.
# Usage: fit_and_overlay.sh [VIDEO [OUT_FOLDER]]
set -euo pipefail
clip=${1:-$(dirname "$0")/clip.mp4}
out=${2:-out}
mkdir -p "$out"
tdmm fit "$clip" -o "$out/motion.npz" --preview "$out/overlay.mp4" --force
tdmm info "$out/motion.npz"
