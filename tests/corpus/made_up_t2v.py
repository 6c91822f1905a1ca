"""A text-to-video program for the tests: writes down what it was told, and does what --how says."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--prompt")
parser.add_argument("--out")
parser.add_argument("--sample", help="the video that it makes")
parser.add_argument("--notes", help="where it writes its arguments")
parser.add_argument("--how", default="well")
parser.add_argument("rest", nargs="*")
given = parser.parse_args()
if given.notes:
    Path(given.notes).write_text(json.dumps(sys.argv[1:]))
if given.how == "well":
    assert not Path(given.out).exists()
    assert sys.stdin.read() == ""
    sys.stdout.write("made it\n")
    shutil.copy(given.sample, given.out)
elif given.how == "fails":
    sys.stderr.write("loading\n10%\r100%\rmodel weights not found  \n\n")
    sys.exit(3)
elif given.how == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
elif given.how == "nothing":
    pass
elif given.how == "garbage":
    Path(given.out).write_bytes(b"no video" * 100)
elif given.how == "picture":
    shutil.copy(given.sample, given.out)
elif given.how == "hangs":
    # Deaf to the request to end, and not alone.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(given.out).write_bytes(b"half a video")
    notes = Path(given.notes + ".pids")
    notes.with_suffix(".part").write_text(f"{os.getpid()} {child.pid}")
    notes.with_suffix(".part").rename(notes)
    time.sleep(600)
