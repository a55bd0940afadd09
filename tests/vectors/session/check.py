#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Derive the session vectors again from docs/protocol.md section 3 alone: nothing here is shared with the C code.

usage: check.py DIRECTORY    every vector file in it; needs only Python's standard library. X-Wing secrets are taken from the
vectors (libsodium's own tests cover X-Wing); everything else is computed here and compared byte for byte.
"""
import glob
import hashlib
import hmac
import struct
import sys

P = 2**255 - 19


def x25519(scalar, point):  # RFC 7748 section 5
    k = int.from_bytes(bytes([scalar[0] & 248]) + scalar[1:31] + bytes([scalar[31] & 127 | 64]), "little")
    u = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b = (x2 + z2) % P, (x2 - z2) % P
        aa, bb = a * a % P, b * b % P
        e = (aa - bb) % P
        da, cb = (x3 - z3) * a % P, (x3 + z3) * b % P
        x3, z3 = pow(da + cb, 2, P), u * pow(da - cb, 2, P) % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def public(seed):
    return x25519(seed, (9).to_bytes(32, "little"))


def rounds(state):  # RFC 8439 section 2.3
    s = list(state)

    def quarter(a, b, c, d):
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = s[x] + s[y] & 0xFFFFFFFF
            v = s[z] ^ s[x]
            s[z] = (v << n | v >> 32 - n) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return s


SIGMA = struct.unpack("<4I", b"expand 32-byte k")


def chacha20(key, nonce, counter, data):
    out = bytearray()
    for i in range(0, len(data), 64):
        state = SIGMA + struct.unpack("<8I", key) + (counter + i // 64,) + struct.unpack("<3I", nonce)
        block = struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(state, rounds(state))))
        out += bytes(a ^ b for a, b in zip(data[i : i + 64], block))
    return bytes(out)


def poly1305(key, data):  # RFC 8439 section 2.5
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(data), 16):
        total = (total + int.from_bytes(data[i : i + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def xchacha20_poly1305(key, nonce, plain, associated):  # draft-irtf-cfrg-xchacha
    s = rounds(SIGMA + struct.unpack("<8I", key) + struct.unpack("<4I", nonce[:16]))
    subkey, short = struct.pack("<8I", *(s[:4] + s[12:])), bytes(4) + nonce[16:]
    cipher = chacha20(subkey, short, 1, plain)

    def pad(x):
        return x + bytes(-len(x) % 16)

    mac = poly1305(
        chacha20(subkey, short, 0, bytes(32)),
        pad(associated) + pad(cipher) + struct.pack("<QQ", len(associated), len(cipher)),
    )
    return cipher, mac


def hkdf(salt, secret, info, size):  # RFC 5869
    prk = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    out, block = b"", b""
    while len(out) < size:
        block = hmac.new(prk, block + info + bytes([len(out) // 32 + 1]), hashlib.sha256).digest()
        out += block
    return out[:size]


def H(domain, *parts):
    return hashlib.sha256(domain.encode() + b"\0" + b"".join(parts)).digest()


def seal(key, nonce, plain, associated):
    okm = hkdf(nonce, key, b"chasqui aead v1", 64)
    return okm[32:] + b"".join(xchacha20_poly1305(okm[:32], nonce, plain, associated))


def unseal(key, nonce, box, associated):
    okm = hkdf(nonce, key, b"chasqui aead v1", 64)
    plain = xchacha20_poly1305(okm[:32], nonce, box[32:-16], associated)[0]
    assert seal(key, nonce, plain, associated) == box, "a box does not open"
    return plain


def bundle_field(bundle, key):
    """A field of a Signed bundle's body, which is a map of fixed layout."""
    body = bundle[4:-67] if bundle[2] == 0x59 else None
    at = {"signed_key": body.index(b"\x06\x58\x20") + 3}[key]
    return body[at : at + 32]


class Run:
    def __init__(self, path):
        self.lines = [line.rstrip("\n").split(" = ", 1) for line in open(path)]
        self.at = 0
        self.checked = 0

    def peek(self):
        return self.lines[self.at][0] if self.at < len(self.lines) else None

    def take(self, name):
        assert self.peek() == name, f"line {self.at + 1}: {self.peek()} where {name} was expected"
        self.at += 1
        return self.lines[self.at - 1][1]

    def raw(self, name):
        return bytes.fromhex(self.take(name))

    def same(self, what, computed, given):
        assert computed == given, f"{what} differs"
        self.checked += 1

    def party(self, name):
        assert self.take("party") == name
        p = {k: self.raw(k) for k in ("account_id", "signing_seed", "signing_key", "identity_seed")}
        p["id"] = int(self.take("signed_prekey_id"))
        p.update({k: self.raw(k) for k in ("signed_prekey_seed", "kem_prekey_seed", "bundle")})
        p["identity_key"] = public(p["identity_seed"])
        p["device_id"] = H("chasqui device v1", p["signing_key"])[:16]
        p["signed_key"] = public(p["signed_prekey_seed"])
        self.same("signed prekey", bundle_field(p["bundle"], "signed_key"), p["signed_key"])
        return p

    def start(self):
        self.a, self.b = self.party("initiator"), self.party("responder")
        self.one_time_id, self.one_time_seed = 0, None
        if self.peek() == "one_time_prekey_id":
            self.one_time_id = int(self.take("one_time_prekey_id"))
            self.one_time_seed = self.raw("one_time_prekey_seed")
            if self.peek() == "one_time_kem_seed":
                self.take("one_time_kem_seed")
            self.take("one_time_prekey")
        self.started = int(self.take("start_s"))
        self.ephemeral = self.raw("random")
        self.take("random")  # X-Wing's
        self.own = self.raw("random")  # the initiator's first ratchet key
        self.transcript = self.raw("transcript")

    def derive(self, handshake, kem_key, kem_secret):
        """Section 3.3, from both sides' secrets."""
        a, b, fields = self.a, self.b, b""
        source = handshake[140]

        def field(tag, value):
            return struct.pack(">BI", tag, len(value)) + value

        def party(tag, p):
            values = (p["account_id"], p["device_id"], p["signing_key"], p["identity_key"])
            return b"".join(field(tag + i, v) for i, v in enumerate(values))

        suite = b"chasqui/1 X25519 X-Wing Ed25519 SHA-256 HKDF XChaCha20-Poly1305-commit"
        fields = field(1, suite) + party(2, a) + party(6, b) + field(10, public(self.ephemeral))
        fields += field(11, struct.pack(">I", b["id"]) + b["signed_key"])
        if self.one_time_seed:
            fields += field(12, struct.pack(">I", self.one_time_id) + public(self.one_time_seed))
        kem_id = self.b["id"] if source == 1 else self.one_time_id
        fields += field(12 + source, struct.pack(">I", kem_id) + kem_key)
        fields += field(15, handshake[141:]) + field(16, struct.pack(">Q", self.started))
        self.same("transcript", H("chasqui handshake v1", fields), self.transcript)
        expected = a["account_id"] + a["signing_key"] + a["identity_key"] + public(self.ephemeral)
        expected += struct.pack(">QIB", self.started, self.one_time_id, source)
        self.same("handshake", handshake[:141], expected)
        secrets = b"\xff" * 32 + b"\1" + x25519(a["identity_seed"], b["signed_key"])
        secrets += b"\2" + x25519(b["identity_seed"], public(self.ephemeral))
        secrets += b"\3" + x25519(self.ephemeral, b["signed_key"])
        if self.one_time_seed:
            secrets += b"\4" + x25519(self.one_time_seed, public(self.ephemeral))
        okm = hkdf(self.transcript, secrets + b"\5" + kem_secret, b"chasqui session v1", 128)
        self.root, self.export_key = okm[:32], okm[96:]
        self.next_header = {"initiator": okm[32:64], "responder": okm[64:96]}
        self.ratchet = {"responder": b["signed_prekey_seed"], "initiator": self.own}
        self.header_key, self.chain, self.sent, self.previous = {}, {}, {}, {"initiator": 0, "responder": 0}
        self.begin_chain("initiator", None, None, None)

    def begin_chain(self, who, kem_key, kem_ciphertext, kem_secret):
        """Section 3.4: the sending root step of `who`, whose own ratchet secret is already in place."""
        other = "responder" if who == "initiator" else "initiator"
        shared = x25519(self.ratchet[who], public(self.ratchet[other]))
        keys = public(self.ratchet[who]) + public(self.ratchet[other])
        if kem_secret:
            info = H("chasqui root step X25519+X-Wing v1", keys, kem_key, kem_ciphertext)
            okm = hkdf(self.root, shared + kem_secret, info, 96)
        else:
            okm = hkdf(self.root, shared, H("chasqui root step X25519 v1", keys), 96)
        if who in self.sent:
            self.previous[who] = self.sent[who]
        self.sent[who] = 0
        self.header_key[who] = self.next_header[who]
        self.root, self.chain[who], self.next_header[who] = okm[:32], okm[32:64], okm[64:]

    def message(self, who, block, text):
        """Build the message that `block` must be, and return its extension."""
        nonce, head, T = block[:24], self.header_key[who], self.transcript
        header = unseal(head, nonce, block[24:113], T)
        expected = public(self.ratchet[who]) + struct.pack(">II", self.previous[who], self.sent[who])
        self.same("header", header[1:], expected)
        size = {0: 0, 1: 1216, 2: 1120, 3: 2336}[header[0]]
        extension, at = b"", 113
        if size:
            second = nonce[:23] + bytes([nonce[23] ^ 1])
            extension, at = unseal(head, second, block[113 : 161 + size], T), 161 + size
        key = H("chasqui key v1", self.chain[who])
        self.chain[who] = H("chasqui chain v1", self.chain[who])
        self.sent[who] += 1
        body = struct.pack(">H", len(text)) + text
        body += bytes(len(block) - at - 48 - len(body))
        self.same("body", seal(key, nonce, body, H("chasqui message v1", T, block[:at])), block[at:])
        kem_key = extension[:1216] if header[0] & 1 else None
        return kem_key, extension[-1120:] if header[0] & 2 else None

    def initial(self, envelope):
        a, b = self.a, self.b
        kem_prekey, seal_secret = self.raw("kem_prekey"), self.raw("seal_kem_secret")
        handshake, session_id = self.raw("handshake"), self.raw("session_id")
        kem_key, kem_secret = self.raw("handshake_kem_key"), self.raw("handshake_kem_secret")
        prefix = envelope[:1126]
        self.same("prefix", prefix[:6], struct.pack(">BBI", 1, 1, b["id"]))
        info = H("chasqui seal v1", b["account_id"], b["signing_key"], b["identity_key"], kem_prekey, prefix)
        block = unseal(hkdf(b"", seal_secret, info, 32), bytes(24), envelope[1126:], prefix)
        self.same("sealed handshake", block[:1261], handshake)
        self.same("session id", H("chasqui session id v1", handshake, b["signing_key"])[:16], session_id)
        if not hasattr(self, "root"):
            self.derive(handshake, kem_key, kem_secret)
        return block[1261:]

    def rekey_secret(self):
        """It stands behind the answer, because only then both sides have it."""
        return bytes.fromhex(next(v for k, v in self.lines[self.at :] if k == "rekey_kem_secret"))

    def ciphertext_of_answer(self, who):
        """The answer's ciphertext is under the new chain's header key, which is known before the root step."""
        envelope = bytes.fromhex(next(v for k, v in self.lines[self.at :] if k == "envelope"))
        block = envelope[2:]
        second = block[:23] + bytes([block[23] ^ 1])
        return unseal(self.next_header[who], second, block[113 : 161 + 1120], self.transcript)

    def check(self):
        self.start()
        turn = "initiator"
        while self.peek() == "message_from":
            who = self.take("message_from")
            self.take("now_s")
            text = self.take("plaintext").encode()
            while self.peek() == "random":
                self.take("random")
            envelope = self.raw("envelope")
            assert len(envelope) in (256, 1024, 4096, 16384)
            if envelope[1] == 1:
                block = self.initial(envelope)
            else:
                self.same("prefix", envelope[:2], b"\1\2")
                block = envelope[2:]
            offered, _ = self.message(who, block, text)
            delivered = self.take("delivered") == "yes"
            draws = []
            while self.peek() == "random":
                draws.append(self.raw("random"))
            if self.peek() == "rekey_kem_secret":
                self.take("rekey_kem_secret")
            if delivered and who == turn:  # the first of its chain to arrive: the other begins a chain
                turn = "responder" if who == "initiator" else "initiator"
                self.ratchet[turn] = draws[0]
                if offered:
                    self.begin_chain(turn, offered, self.ciphertext_of_answer(turn), self.rekey_secret())
                else:
                    self.begin_chain(turn, None, None, None)
        info = H("chasqui export v1", self.take("export_label").encode())
        self.same("export", hkdf(b"", self.export_key, info, 32), self.raw("export"))
        assert self.peek() is None, "lines are left over"


def main():
    paths = sorted(p for p in glob.glob(sys.argv[1] + "/*.txt") if not p.endswith("CMakeLists.txt"))
    assert paths, "no vectors found"
    for path in paths:
        run = Run(path)
        run.check()
        print(f"{path}: {run.checked} values agree")


main()
