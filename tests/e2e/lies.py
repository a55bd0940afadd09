# SPDX-License-Identifier: Apache-2.0
"""A relay that lies about the ledger: between a real relay and a real ledger stands a proxy that changes the answers which the relay
hands on to ana's client. Every lie must be refused with a message that says what was wrong, and must leave nothing behind; the
truth must work right after.
usage: lies.sh BUILD_DIR"""
import json
import os
import shutil
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import lab as chasqui_lab  # noqa: E402

QUERY, DEVICES, HANDLE = 3, 2, 3
ANY = (1, 2, 3, 4, 5)
VALUE, PROOF, HEADER = 3, 4, 5


def decode(data, at=0):
    """One item of the CBOR subset of docs/protocol.md: (value, next position)."""
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if info >= 24:
        size = 1 << (info - 24)
        info, at = int.from_bytes(data[at:at + size], "big"), at + size
    if major == 0:
        return info, at
    if major == 1:
        return -1 - info, at
    if major in (2, 3):
        raw = data[at:at + info]
        return (raw if major == 2 else raw.decode()), at + info
    if major == 4:
        items = []
        for _ in range(info):
            item, at = decode(data, at)
            items.append(item)
        return items, at
    pairs = {}
    for _ in range(info):
        key, at = decode(data, at)
        pairs[key], at = decode(data, at)
    return pairs, at


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << 8 * size:
            return bytes([major << 5 | info]) + n.to_bytes(size, "big")
    raise ValueError(n)


def encode(item):
    if isinstance(item, int):
        return head(0, item) if item >= 0 else head(1, -1 - item)
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    if isinstance(item, list):
        return head(4, len(item)) + b"".join(map(encode, item))
    return head(5, len(item)) + b"".join(encode(k) + encode(item[k]) for k in sorted(item))


def flip(data, at):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


class Liar:
    """A Unix socket that hands every frame on, but answers questions about `kinds` of records as `lie(reply)` says."""

    def __init__(self, path, ledger):
        self.ledger = ledger
        self.lie = None
        self.kinds = ()
        self.told = 0
        self.recorded = {}
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            far.connect(self.ledger)
            asked = []
            threading.Thread(target=self.pump, args=(near, far, lambda f, a=asked: self.question(f, a)), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, lambda f, a=asked: self.answer(f, a)), daemon=True).start()

    @staticmethod
    def read(sock, n):
        data = b""
        while len(data) < n:
            more = sock.recv(n - len(data))
            if not more:
                return None
            data += more
        return data

    def pump(self, source, sink, through):
        try:
            while True:
                size = self.read(source, 4)
                frame = size and self.read(source, struct.unpack(">I", size)[0])
                if not frame:
                    break
                frame = through(frame)
                sink.sendall(struct.pack(">I", len(frame)) + frame)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def question(self, frame, asked):
        asked.append(decode(frame)[0])
        return frame

    def answer(self, frame, asked):
        question = asked.pop(0)
        if question[0] != QUERY:
            return frame
        kind, key = question[1], question[2]
        if self.lie is None or kind not in self.kinds:
            self.recorded.setdefault((kind, key), frame)
            return frame
        self.told += 1
        return self.lie(frame, kind, key)


def main():
    failed = []

    def check(what, fine, detail=""):
        print(f"{'ok   ' if fine else 'FAIL '} {what}" + (f": {detail}" if not fine else ""), flush=True)
        if not fine:
            failed.append(what)

    lab = chasqui_lab.Lab(sys.argv[1])
    lab.start_ledger()
    honest = lab.ledger_socket
    liar = Liar(lab.path("liar.sock"), honest)
    lab.start_relay("south", "127.0.0.1")
    lab.ledger_socket = lab.path("liar.sock")
    lab.start_relay("north", "127.0.0.1")
    lab.ledger_socket = honest
    lab.cli("ana", "init", "--invite", lab.invite("north"), "--handle", "ana")
    lab.cli("bo", "init", "--invite", lab.invite("south"), "--handle", "bo")
    lab.cli("eve", "init", "--invite", lab.invite("north"), "--handle", "eve")
    lab.cli("ana", "add", "eve")

    def changed(field, position):
        def lie(frame, kind, key):
            reply = decode(frame)[0]
            reply[field] = flip(reply[field], position)
            return encode(reply)
        return lie

    def denied(frame, kind, key):
        reply = decode(frame)[0]
        del reply[VALUE]
        return encode(reply)

    def other_record(frame, kind, key):
        return next((f for (k, other), f in liar.recorded.items() if k == kind and other != key), frame)

    # Number, lie, kinds of records, how, what the person must read.
    rows = [
        (1, "a wrong key in the device list", (DEVICES,), changed(VALUE, 120), "the answer is forged"),
        (2, "a forged proof", (DEVICES,), changed(PROOF, -5), "the answer is forged"),
        (3, "a forged vote", ANY, changed(HEADER, -3), "did not sign"),
        (4, "a state of its own", ANY, changed(HEADER, 200), ""),
        (5, "'there is no such handle'", (HANDLE,), denied, "the answer is forged"),
        (6, "somebody else's devices, well proved", (DEVICES,), other_record, "the answer is forged"),
    ]
    for number, what, kinds, lie, words in rows:
        liar.kinds, liar.lie, liar.told = kinds, lie, 0
        name = f"ana-{number}"  # each lie meets a client that has not heard of bo
        shutil.copytree(lab.path("ana"), lab.path(name))
        code, out, err = lab.cli(name, "add", "bo", "--wait=4", check=False)
        text = (out + err).strip()
        check(f"{number} {what} is refused ({liar.told} told)", liar.told > 0 and code != 0, f"exit {code}, {text[:300]}")
        check(f"{number} and says so", "gave a false answer" in text and words in text, text[:400])
        _, out, _ = lab.cli(name, "contacts", "--json")
        known = [json.loads(line) for line in out.splitlines()]
        check(f"{number} and bo is not made a contact by it", not any(c["known"] for c in known if c["handle"] == "bo"), out[:200])

    # An old answer, true and well proved when it was given: from before cy had the handle.
    liar.lie = None
    for name in ("ana-asks-early", "ana-7"):
        shutil.copytree(lab.path("ana"), lab.path(name))
    code, out, err = lab.cli("ana-asks-early", "add", "cy", "--wait=4", check=False)
    check("7 before cy has the handle, nobody is found", code != 0, (out + err)[:300])
    lab.cli("cy", "init", "--invite", lab.invite("south"), "--handle", "cy")
    lab.cli("ana-7", "wallet")
    liar.kinds, liar.lie, liar.told = (HANDLE,), lambda frame, kind, key: liar.recorded.get((kind, key), frame), 0
    code, out, err = lab.cli("ana-7", "add", "cy", "--wait=15", check=False)
    text = (out + err).strip()
    check(f"7 an old answer is refused ({liar.told} told)", liar.told > 0 and code != 0, f"exit {code}, {text[:300]}")
    check("7 and says so", "older state" in text or "an old answer" in text, text[:400])

    liar.lie = None
    code, out, err = lab.cli("ana-7", "add", "cy", check=False)
    check("7 and the truth about cy works right after", code == 0 and "cy is a contact" in out, (out + err)[:300])
    code, out, err = lab.cli("ana", "add", "bo", check=False)
    check("the truth works right after", code == 0 and "bo is a contact" in out, (out + err)[:300])

    print(f"{'passed' if not failed else 'FAILED: ' + ', '.join(failed)}")
    return 1 if failed else 0


try:
    sys.exit(main())
except chasqui_lab.Failed as e:
    print(f"FAIL  {e}")
    sys.exit(1)
