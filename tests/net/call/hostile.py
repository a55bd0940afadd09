#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A caller whose home relay is hostile: it must not crash, must say so, and must call on without the relay.

usage: hostile.py BUILD_DIR
"""
import json
import os
import socket
import struct
import subprocess
import sys
import threading

COOKIE = 0x2112A442
LIMIT_MS = 1500


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + b"\0" * (-len(value) % 4)


def answer(request, kind, *attributes):
    body = b"".join(attributes)
    return struct.pack("!HHI", kind, len(body), COOKIE) + request[8:20] + body


def challenge(realm):
    def say(request):
        return answer(request, 0x0113, attribute(9, b"\0\0\x04\x01"), attribute(0x14, realm), attribute(0x15, b"nonce"))
    return say


SAYINGS = {
    "a realm of two quotation marks": challenge(b'""'),
    "a realm of one quotation mark": challenge(b'"'),
    "an empty realm": challenge(b""),
    "a realm with NUL": challenge(b"a\0b"),
    "a realm of 2,000 bytes": challenge(b"r" * 2000),
    "go to another server": lambda r: answer(r, 0x0113, attribute(9, b"\0\0\x03\0"),
                                             attribute(0x8023, b"\0\1\x0d\x96\x7f\0\0\1")),
    "a length beyond the end": lambda r: answer(r, 0x0113)[:2] + b"\xff\xfc" + r[4:20],
    "noise": lambda r: bytes(range(1, 101)),
    "an attribute past the end": lambda r: answer(r, 0x0113, struct.pack("!HH", 0x14, 400) + b"abcd"),
}


def serve(server, say):
    while True:
        try:
            request, sender = server.recvfrom(2048)
        except OSError:
            return
        if len(request) >= 20 and request[:2] == b"\0\3":  # Allocate; our own address is nobody's business here
            server.sendto(say(request), sender)


def call(build, say):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(server, say), daemon=True).start()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    done = subprocess.run(
        ["timeout", "30", f"{build}/bin/call_peer", "--caller", "--signal-fd", str(theirs.fileno()), "--relay",
         "127.0.0.1", "--port", str(server.getsockname()[1]), "--user", "ana", "--password", "secret", "--loopback",
         "--limit-ms", str(LIMIT_MS)],
        pass_fds=[theirs.fileno()], capture_output=True, text=True)
    ours.settimeout(1)
    first = ours.recv(2048)  # the offer left although there is no relay
    server.close()
    return done, first


def main():
    bad = 0
    for name, say in SAYINGS.items():
        done, offer = call(sys.argv[1], say)
        wrong = None
        if done.returncode != 0 or not done.stdout.strip():
            wrong = f"the caller ended with {done.returncode}: {done.stderr[-600:]}"
        elif json.loads(done.stdout)["relay_dropped"] == 0:
            wrong = "nothing was dropped"
        elif "hostile" not in done.stderr:
            wrong = "the user was not told"
        elif offer[:3] != b"\xa7\0\1":
            wrong = "no offer left"
        print(f"ok: {name}" if wrong is None else f"NOT OK: {name}: {wrong}")
        bad |= wrong is not None
    return bad


if __name__ == "__main__":
    sys.exit(main())
