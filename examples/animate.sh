#!/usr/bin/env bash
# Prompts to heads that move: one video, variants side by side, a motion that goes on, a file of prompts.
# Usage: animate.sh [OUT_FOLDER]
set -euo pipefail
out=${1:-out/animated}
mkdir -p "$out"
tdmm animate 'smiles, then nods' -o "$out/nod.mp4" --size 256 --force
tdmm animate 'winks with the left eye' -n 4 --seconds 2 --style clay --size 192 -o "$out/four.gif" --force
tdmm animate 'raises both eyebrows' --seconds 2 --seed 7 -o "$out/first.npz" --force
tdmm animate 'shakes the head' --seconds 2 --start-from "$out/first.npz" -o "$out/both.npz" --force
tdmm render "$out/both.npz" --size 256 -o "$out/both.mp4" --force
printf '%s\n' 'yawns' 'looks up and to the left' 'laughs out loud' >"$out/prompts.txt"
tdmm animate "$out/prompts.txt" --seconds 2 -o "$out/motions/"
