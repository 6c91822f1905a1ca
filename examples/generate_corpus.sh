#!/usr/bin/env bash
# A small corpus: clips of prompts of your own and of the suite, its report, and the first clip's motion drawn again.
# Usage: generate_corpus.sh [CORPUS_FOLDER] [CLIPS]
set -euo pipefail
corpus=${1:-out/generated}
clips=${2:-8}
printf '%s\n' 'smile > nod*2' 'shake*2 | nope' 'joy : wink.left' |
  tdmm generate-corpus - -o "$corpus" --seeds 2 --vary appearance --size 128 --seed 1
tdmm generate-corpus -o "$corpus" --clips "$clips" --size 128
tdmm info "$corpus"
tdmm info "$corpus" --report "$corpus/report.html" --force --quiet
tdmm render "$corpus/motions/s1-0000000.npz" -o "$corpus/first.gif" --size 128 --force
