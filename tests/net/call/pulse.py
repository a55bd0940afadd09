#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A call between a PulseAudio end (ana) and a file end (bo), on loopback. usage: pulse.py BUILD_DIR"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pair  # noqa: E402
from pair import stoi  # noqa: E402

TALK_MS = 9000


def start_server(env):
    """A sink for the loudspeaker, and a sink whose monitor is the microphone."""
    null = "module-null-sink sink_name={} rate=48000 channels=1"
    server = subprocess.Popen(
        ["pulseaudio", "-n", "--exit-idle-time=-1", "--realtime=no", "--high-priority=no", "--daemonize=no", "-L",
         "module-native-protocol-unix", "-L", null.format("loudspeaker"), "-L", null.format("cable"), "-L",
         "module-remap-source source_name=microphone master=cable.monitor"],
        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if subprocess.run(["pactl", "info"], env=env, capture_output=True).returncode == 0:
            return server
    server.kill()
    return None


def grown(path):
    return os.path.exists(path) and os.path.getsize(path) > 10000


def main():
    build = sys.argv[1]
    for tool in ("pulseaudio", "pactl", "paplay", "parecord", "espeak-ng"):
        if shutil.which(tool) is None:
            print(f"SKIP: {tool} is not installed")
            return 77
    with tempfile.TemporaryDirectory() as work:
        os.mkdir(f"{work}/run", 0o700)
        env = dict(os.environ, HOME=work, PULSE_RUNTIME_PATH=f"{work}/run", XDG_RUNTIME_DIR=f"{work}/run")
        env.pop("PULSE_SERVER", None)
        for name, pitch in (("ana", 60), ("bo", 30)):
            pair.speak(f"{work}/{name}.wav", pair.TEXTS[name], pitch)
        server = start_server(env)
        if server is None:
            print("SKIP: pulseaudio does not start here")
            return 77
        others = []
        try:
            others.append(subprocess.Popen(
                ["parecord", "--latency-msec=20", "--device=loudspeaker.monitor", "--rate=48000", "--channels=1",
                 "--format=s16le", "--file-format=wav", f"{work}/ana-heard.wav"], env=env))
            deadline = time.monotonic() + 8  # the first stream of a server takes a while
            while time.monotonic() < deadline and not grown(f"{work}/ana-heard.wav"):
                try:
                    others[0].wait(timeout=0.05)
                except subprocess.TimeoutExpired:
                    pass
            ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ana = subprocess.Popen(
                ["timeout", "60", f"{build}/bin/call_peer", "--signal-fd", str(ends[0].fileno()), "--caller", "--talk-ms",
                 str(TALK_MS), "--loopback", "--pulse", "--play", "microphone", "--record", "loudspeaker"],
                env=env, pass_fds=[ends[0].fileno()], stdout=subprocess.PIPE, text=True)
            bo = subprocess.Popen(
                ["timeout", "60", f"{build}/bin/call_peer", "--signal-fd", str(ends[1].fileno()), "--loopback", "--play",
                 f"{work}/bo.wav", "--record", f"{work}/bo-heard.wav"],
                pass_fds=[ends[1].fileno()], stdout=subprocess.PIPE, text=True)
            for e in ends:
                e.close()
            speaks = subprocess.run(["paplay", "--latency-msec=20", "--device=cable", f"{work}/ana.wav"], env=env)
            stats = [json.loads(p.communicate(timeout=60)[0]) for p in (ana, bo)]
            others[0].terminate()
            others[0].wait(10)
        finally:
            for p in others + [server]:
                p.terminate()
            server.wait(10)
        heard = {"ana": stoi.compare(f"{work}/bo.wav", f"{work}/ana-heard.wav"),
                 "bo": stoi.compare(f"{work}/ana.wav", f"{work}/bo-heard.wav")}
        print(json.dumps({"heard": heard, "sent": [s["sent"] for s in stats], "lost": [s["lost"] for s in stats]}))
        ok = (speaks.returncode == 0 and all(s["end"] == "hung up" for s in stats)
              and all(h["stoi"] >= 0.85 for h in heard.values()))
        print("ok: a call with PulseAudio" if ok else f"NOT OK: {json.dumps(stats)}")
        return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
