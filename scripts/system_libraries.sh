#!/bin/sh
# mediapipe brings an OpenCV with windows, which needs libGL and glib even where no window is ever opened.
# Usage: system_libraries.sh PYTHON. Installs them where that can be done, else says the line that does.
set -eu
python=$1
line="apt-get install -y libgl1 libglib2.0-0"

trouble() {
    "$python" -c 'import cv2' 2>&1 >/dev/null | tail -n 1
}

found=$(trouble)
case "$found" in
"") exit 0 ;;
*libGL* | *libgthread* | *libglib*) ;;
*)
    echo "error: OpenCV does not start: $found" >&2
    exit 1
    ;;
esac
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing libgl1 and libglib2.0-0, which OpenCV needs"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive $line -qq --no-install-recommends; } >/dev/null
    found=$(trouble)
    [ -z "$found" ] && exit 0
fi
echo "error: $found" >&2
echo "mend it with: sudo $line   (or your system's packages of libGL and glib), then run make again" >&2
exit 1
