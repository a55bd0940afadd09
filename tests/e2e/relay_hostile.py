# SPDX-License-Identifier: Apache-2.0
"""What strangers may do to a relay's port, and what must happen: silence, garbage, old TLS, plain HTTP, malformed, text, huge and out-of-order
frames, too many connections, idling. Afterwards honest clients are served as before.
usage: relay_hostile.sh BUILD_DIR"""
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import lab as chasqui_lab  # noqa: E402

FAILED = []


def check(what, fine):
    print(f"{'ok   ' if fine else 'FAIL '} {what}")
    if not fine:
        FAILED.append(what)


def tls(port, highest=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = highest
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 5))


def upgrade(port, protocol="chasqui.v1"):
    s = tls(port)
    s.settimeout(5)
    s.sendall(("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
               f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n").encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = s.recv(4096)
        if not piece:
            break
        answer += piece
    return s, answer.startswith(b"HTTP/1.1 101")


def send(s, payload, opcode=2):
    size = len(payload)
    head = bytes([0x80 | opcode]) + (bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack(">H", size) if size < 65536
                                     else bytes([0x80 | 127]) + struct.pack(">Q", size))
    s.sendall(head + b"\0\0\0\0" + payload)


def until_closed(s, seconds):
    """All that still comes, and whether the other side closed within the time."""
    got, end = b"", time.time() + seconds
    try:
        while time.time() < end:
            s.settimeout(max(0.01, end - time.time()))
            piece = s.recv(65536)
            if not piece:
                return got, True
            got += piece
    except (ssl.SSLError, ConnectionError):
        return got, True
    except OSError:
        pass
    return got, False


def hello(chain):
    return b"\xa4\x00\x01\x01\x01\x02\x01\x03" + bytes([0x60 | len(chain)]) + chain.encode()


def main():
    lab = chasqui_lab.Lab(sys.argv[1])
    lab.start_ledger()
    lab.start_relay("north", "127.0.0.1", grant="10")
    relay = lab.relays["north"]
    port = relay["port"]
    chain = lab.query("info")["chain_id"]
    conf = os.path.join(relay["home"], "relay.conf")
    text = open(conf).read()
    text = re.sub(r"(?m)^idle = .*", "idle = 12", text)
    text = re.sub(r"(?m)^connections_per_address = .*", "connections_per_address = 40", text)
    open(conf, "w").write(text)
    lab.stop_relay("north")
    lab.restart_relay("north")

    crowd = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(60)]
    closed = sum(until_closed(s, 0.1)[1] for s in crowd)
    check(f"sockets above 40 from one address are closed before they say anything ({closed} of 60)", closed == 20)
    for s in crowd:
        s.close()
    silent = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(20)]
    began = time.time()
    half = tls(port)  # the handshake is done, the request never ends
    half.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    idle, fine = upgrade(port)
    send(idle, hello(chain))
    check("HELLO is taken", fine)

    garbage = socket.create_connection(("127.0.0.1", port), 5)
    garbage.sendall(os.urandom(4096))
    check("garbage instead of TLS is closed", until_closed(garbage, 5)[1])
    try:
        tls(port, ssl.TLSVersion.TLSv1_2).close()
        check("TLS 1.2 is refused", False)
    except (ssl.SSLError, ConnectionError):
        check("TLS 1.2 is refused", True)
    page = tls(port)
    page.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    check("a browser gets 404", until_closed(page, 12)[0].startswith(b"HTTP/1.1 404"))
    check("another subprotocol is refused", not upgrade(port, "chat")[1])

    first = hello(chain)
    rows = [
        ("not CBOR", [b"\xff\xff\xff"], 2), ("an empty frame", [b"\xa0"], 2), ("HELLO of another chain", [hello("other")], 2),
        ("HELLO of version 2", [first[:6] + b"\x02" + first[7:]], 2), ("PING before HELLO", [b"\xa2\x00\x17\x01\x01"], 2),
        ("a frame only a relay sends", [first, b"\xa2\x00\x15\x01\x01"], 2), ("an unknown type", [first, b"\xa2\x00\x18\x63\x01\x01"], 2),
        ("a text message", [first], 1), ("64 KiB and one byte", [first, b"\0" * 65537], 2), ("1 MiB", [first, b"\0" * 1048576], 2),
    ]
    for what, messages, opcode in rows:
        s, _ = upgrade(port)
        try:
            for m in messages:
                send(s, m, opcode)
        except (ssl.SSLError, ConnectionError):
            pass
        got, ended = until_closed(s, 2)
        check(f"{what}: closed", ended or b"\x88" in got)  # or asked to close, by a close frame
    ping, _ = upgrade(port)
    send(ping, first)
    send(ping, first)
    send(ping, b"\xa2\x00\x17\x01\x07")
    time_left = time.time() + 5
    got = b""
    while b"\xa2\x00\x15\x01\x07" not in got and time.time() < time_left:
        got += ping.recv(4096)
    check("a second HELLO is refused, PING is answered all the same", b"HELLO comes once" in got and b"\xa2\x00\x15\x01\x07" in got)
    ping.close()

    many, refused = [], 0
    for _ in range(60):
        try:
            s, fine = upgrade(port)
            refused += not fine
            many.append(s)
        except (ssl.SSLError, OSError):
            refused += 1
    check(f"connections above 40 from one address are refused ({refused} of 60)", 15 <= refused <= 45)
    for s in many:
        s.close()

    for s in silent:
        s.settimeout(max(0.1, 16 - (time.time() - began)))
    closed = sum(until_closed(s, max(0.1, 16 - (time.time() - began)))[1] for s in silent)
    check(f"silent connections are closed within 16 s ({closed} of {len(silent)})", closed == len(silent))
    check("a request that never ends is closed within 16 s", until_closed(half, max(0.1, 16 - (time.time() - began)))[1])
    got, ended = until_closed(idle, 20)
    check("an idle connection without a channel is closed", ended)

    load = subprocess.run([lab.program("relay_load"), "127.0.0.1", str(port), chain, "1", "200", "256", "8"], stdout=subprocess.DEVNULL,
                          timeout=60, check=False)
    check("honest clients are served as before", load.returncode == 0)
    check("the relay stops cleanly", lab.stop_relay("north") == 0)
    print(f"{'passed' if not FAILED else 'FAILED'}")
    return 1 if FAILED else 0


try:
    sys.exit(main())
except chasqui_lab.Failed as e:
    print(f"FAIL  {e}")
    sys.exit(1)
