#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A peer that stops for some seconds comes back; a peer that is killed ends the call. usage: lost.py BUILD_DIR"""
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time


def main():
    build = sys.argv[1]
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peers = [subprocess.Popen([f"{build}/bin/call_peer", "--signal-fd", str(e.fileno()), "--loopback", "--limit-ms", "60000",
                               *(["--caller"] if i == 0 else [])],
                              pass_fds=[e.fileno()], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
             for i, e in enumerate(ends)]
    keep = ends[1].dup()  # the caller must not learn of the death from the signal socket
    for e in ends:
        e.close()
    lines = queue.Queue()
    for i, p in enumerate(peers):
        threading.Thread(target=lambda p=p, i=i: [lines.put((i, t)) for t in p.stderr], daemon=True).start()
    bad = 0

    def expect(words, least, most, what):
        nonlocal bad
        began = time.monotonic()
        while True:
            try:
                who, text = lines.get(timeout=max(0.01, most - (time.monotonic() - began)))
            except queue.Empty:
                print(f"NOT OK: {what}: nothing in {most} s")
                bad = 1
                return
            if who == 0 and words in text:
                took = time.monotonic() - began
                ok = least <= took <= most
                print(f"{'ok' if ok else 'NOT OK'}: {what} ({took:.1f} s)")
                bad |= not ok
                return

    try:
        expect(" connected", 0, 15, "the call is up")
        os.kill(peers[1].pid, signal.SIGSTOP)
        expect("connection lost", 4, 8, "silence is noticed")
        os.kill(peers[1].pid, signal.SIGCONT)
        expect(" connected", 0, 5, "the peer comes back and the call goes on")
        os.kill(peers[1].pid, signal.SIGKILL)
        expect("connection lost", 4, 8, "death is noticed")
        expect("no connection", 13, 20, "the call ends by itself")
    finally:
        for p in peers:
            p.kill()
            p.wait()
        keep.close()
    return bad


if __name__ == "__main__":
    sys.exit(main())
