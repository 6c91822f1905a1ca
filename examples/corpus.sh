#!/usr/bin/env bash
# A corpus from a folder of videos: a manifest with a line a clip, and the motion of each. Run it again after adding
# videos and lines: only those are fitted.
# Usage: corpus.sh FOLDER [CORPUS_FOLDER]
set -euo pipefail
folder=${1:-$(dirname "$0")}
corpus=${2:-out/corpus}
mkdir -p "$corpus/videos"
for video in "$folder"/*.mp4; do
  name=$(basename "$video" .mp4)
  [ -e "$corpus/videos/$name.mp4" ] && continue
  cp "$video" "$corpus/videos/"
  printf '{"id": "%s", "video": "videos/%s.mp4"}\n' "$name" "$name" >> "$corpus/manifest.jsonl"
done
tdmm fit "$corpus"
cat "$corpus/manifest.jsonl"
