#!/usr/bin/env bash
# What the person in a clip does, in words: a sentence, everything with times, what happens when, answers to questions.
# Usage: describe.sh [VIDEO [OUT_FOLDER]]
set -euo pipefail
clip=${1:-$(dirname "$0")/clip.mp4}
out=${2:-out/described}
motion=$out/$(basename "${clip%.*}").npz
mkdir -p "$out"
tdmm fit "$clip" -o "$motion" --force
for detail in short long timeline; do
    tdmm describe "$motion" --detail "$detail"
done
tdmm describe "$motion" --ask 'Is the head still?' --ask 'What does the face do?'
tdmm describe "$motion" --json -o "$out/captions.jsonl" --force
