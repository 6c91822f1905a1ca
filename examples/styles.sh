#!/usr/bin/env bash
# One motion in every style, as stills.
# Usage: styles.sh [MOTION.npz [OUT_FOLDER]]
set -euo pipefail
motion=${1:-out/motion.npz}
out=${2:-out}
mkdir -p "$out"
for style in skin clay wire normals; do
    tdmm render "$motion" --style "$style" --view three-quarter -o "$out/$style.png" --force
done
