#!/usr/bin/env bash
# A clip's motion through tokens and back: both heads side by side, and how far apart they are.
# Usage: tokens.sh [VIDEO [OUT_FOLDER]], of 25 frames a second: what comes back has as many.
set -euo pipefail
clip=${1:-$(dirname "$0")/clip.mp4}
out=${2:-out/tokens}
name=$(basename "${clip%.*}")
mkdir -p "$out/fitted"
tdmm fit "$clip" -o "$out/fitted/$name.npz" --force
tdmm tokenize "$out/fitted/$name.npz" -o "$out/tokens.jsonl" --force
tdmm tokenize --decode "$out/tokens.jsonl" -o "$out/decoded/" --force
tdmm info "$out/tokens.jsonl"
tdmm render "$out/fitted/$name.npz" "$out/decoded/$name.npz" --size 256 -o "$out/both.mp4" --force
tdmm evaluate reconstruction "$out/decoded" --reference "$out/fitted" --tokens "$out/tokens.jsonl"
