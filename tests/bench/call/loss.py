#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Speech similarity (STOI) of a call that loses packets. usage: loss.py BUILD_DIR"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
import stoi  # noqa: E402

TEXT = ("The runner carries the message over the mountain before the sun goes down. The knots tell what is owed, and to "
        "whom. At the next house another runner waits, takes the bag, and is gone before the dust has settled.")


def main():
    if shutil.which("espeak-ng") is None:
        print("espeak-ng is not installed", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(["espeak-ng", "-v", "en", "-s", "150", "-w", f"{work}/in.wav", TEXT], check=True)
        for percent in (0, 2, 5, 10, 20):
            subprocess.run([f"{sys.argv[1]}/bench/bench_loss", f"{work}/in.wav", f"{work}/out.wav", str(percent * 10)],
                           check=True, stdout=subprocess.DEVNULL)
            value = stoi.compare(f"{work}/in.wav", f"{work}/out.wav")["stoi"]
            print(json.dumps({"name": f"call_stoi_loss_{percent}", "value": value, "unit": "STOI", "runs": 1}))


if __name__ == "__main__":
    main()
