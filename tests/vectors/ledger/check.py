# SPDX-License-Identifier: Apache-2.0
"""usage: check.py chain.txt [PROGRAM]: derive the state root, proofs, ids and header hashes of chain.txt again, from
docs/protocol.md sections 1 and 5 alone. With PROGRAM, its output must be chain.txt, line by line."""
import hashlib
import subprocess
import sys


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def domain_hash(domain, *parts):
    return sha(domain.encode(), b"\0", *parts)


# ---- deterministic CBOR, the subset of the protocol ----
def put_head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    size = next(s for s in (1, 2, 4, 8) if n < 1 << 8 * s)
    return bytes([major << 5 | 24 + (size.bit_length() - 1)]) + n.to_bytes(size, "big")


def put(x):
    if isinstance(x, int):
        return put_head(0, x) if x >= 0 else put_head(1, -1 - x)
    if isinstance(x, bytes):
        return put_head(2, len(x)) + x
    if isinstance(x, str):
        return put_head(3, len(x.encode())) + x.encode()
    if isinstance(x, list):
        return put_head(4, len(x)) + b"".join(map(put, x))
    return put_head(5, len(x)) + b"".join(put(k) + put(v) for k, v in sorted(x.items()))


def get(data, at=0):
    major, n = data[at] >> 5, data[at] & 31
    at += 1
    if n >= 24:
        size = 1 << n - 24
        n, at = int.from_bytes(data[at:at + size], "big"), at + size
    if major in (0, 1):
        return (n if major == 0 else -1 - n), at
    if major in (2, 3):
        piece = data[at:at + n]
        return (piece if major == 2 else piece.decode()), at + n
    items = []
    for _ in range(n * (2 if major == 5 else 1)):
        item, at = get(data, at)
        items.append(item)
    return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at


def read(data):
    value, at = get(data)
    assert at == len(data) and put(value) == data, "not deterministic CBOR"
    return value


# ---- trees ----
def list_root(items):
    if not items:
        return sha()
    if len(items) == 1:
        return sha(b"\0", items[0])
    k = 1
    while k * 2 < len(items):
        k *= 2
    return sha(b"\1", list_root(items[:k]), list_root(items[k:]))


def bit(key, depth):
    return key[depth // 8] >> 7 - depth % 8 & 1


def sparse_root(records, depth=0):
    if not records:
        return bytes(32)
    if len(records) == 1:
        [(key, value)] = records.items()
        return sha(b"\0", key, sha(value))
    sides = [{k: v for k, v in records.items() if bit(k, depth) == side} for side in (0, 1)]
    return sha(b"\1", sparse_root(sides[0], depth + 1), sparse_root(sides[1], depth + 1))


def climb(proof, kind, key, value):
    """The state root that a proof leads to; value None: absence."""
    depth, bitmap, siblings = proof[1], proof[2], proof[3]
    siblings = [siblings[i:i + 32] for i in range(0, len(siblings), 32)]
    if value is not None:
        node = sha(b"\0", key, sha(value))
    elif 4 in proof:
        assert proof[4] != key and all(bit(proof[4], d) == bit(key, d) for d in range(depth))
        node = sha(b"\0", proof[4], proof[5])
    else:
        node = bytes(32)
    for d in reversed(range(depth)):
        sibling = siblings.pop(0) if bit(bitmap, d) else bytes(32)
        node = sha(b"\1", sibling, node) if bit(key, d) else sha(b"\1", node, sibling)
    assert not siblings
    path, node = [proof[6][i:i + 32] for i in range(0, len(proof[6]), 32)], sha(b"\0", node)
    turns, at, n = [], kind, 6
    while n > 1:
        k = 1
        while k * 2 < n:
            k *= 2
        turns.append(at >= k)
        at, n = (at - k, n - k) if at >= k else (at, k)
    assert len(turns) == len(path)
    for right, sibling in zip(reversed(turns), path):
        node = sha(b"\1", sibling, node) if right else sha(b"\1", node, sibling)
    return node


# ---- CometBFT's header ----
def varint(n):
    out = b""
    while n >= 0x80:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value, always=False):
    if isinstance(value, int):
        return bytes([number << 3]) + varint(value) if value else b""
    return bytes([number << 3 | 2]) + varint(len(value)) + value if value or always else b""


def header_hash(h):
    time = field(1, h[5]) + field(2, h[6])
    last = field(1, h[7]) + field(2, field(1, h[8]) + field(2, h[9]), True)
    leaves = [field(1, h[1]) + field(2, h[2]), field(1, h[3].encode()), field(1, h[4]), time, last]
    return list_root(leaves + [field(1, h[i]) for i in range(10, 19)])


def main():
    lines = open(sys.argv[1], encoding="ascii").read().splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    if len(sys.argv) > 2:
        made = subprocess.run([sys.argv[2]], capture_output=True, text=True, check=True).stdout.splitlines()
        assert made == lines, "the program prints other vectors than chain.txt"
    kinds, totals, proofs, headers, hashes, channels, batches = {k: {} for k in range(1, 6)}, 0, [], [], [], [], []
    for line in lines:
        name, *words = line.split()
        if name == "record":
            kinds[int(words[0])][bytes.fromhex(words[1])] = bytes.fromhex(words[2])
        elif name == "proof":
            proofs.append((int(words[0]), bytes.fromhex(words[1]), words[2] == "1", read(bytes.fromhex(words[3]))))
        elif name == "totals":
            totals = int(words[0])
        else:
            value = bytes.fromhex(words[0])
            {"genesis": channels, "header": headers, "header_hash": hashes, "batch": batches}.get(name, []).append(value)
            if name == "root":
                root = value
            if name == "validator":
                validator = value
    genesis = read(channels[0])
    check_state(genesis, kinds, totals, root)
    for kind, key, present, proof in proofs:
        assert present == (key in kinds[kind])
        assert climb(proof, kind, key, kinds[kind].get(key)) == root, "a proof leads elsewhere"
    check_batches(batches, genesis, kinds)
    check_headers(headers, hashes, root, validator)
    print(f"{sum(map(len, kinds.values()))} records, {len(proofs)} proofs, {len(batches)} batches, {len(headers)} headers "
          "derived again from the protocol")


def check_state(genesis, kinds, totals, root):
    issuer = domain_hash("chasqui account v1", genesis[4])
    chain = put({1: genesis[2], 2: issuer, 3: genesis[6], 4: genesis[7], 5: totals})
    assert list_root([chain] + [sparse_root(kinds[k]) for k in range(1, 6)]) == root, "another state root"
    accounts = {k: read(v) for k, v in kinds[1].items()}
    assert issuer in accounts
    open_channels = [read(v) for v in kinds[5].values()]
    assert totals == sum(a[4] for a in accounts.values()) + sum(c[4] - c[6] * c[8] for c in open_channels)
    for key, value in kinds[3].items():
        owner = accounts[read(value)[1]]
        assert key == domain_hash("chasqui handle v1", owner[5].encode())


def check_batches(batches, genesis, kinds):
    for raw in batches:
        body = read(read(raw)[1])
        assert body[1] == genesis[2]
        for index, op in enumerate(body[4]):
            if op[0] == 1:
                assert body[2] == domain_hash("chasqui account v1", op[1])
            if op[0] == 8:
                numbers = body[3].to_bytes(8, "big") + index.to_bytes(4, "big")
                channel = domain_hash("chasqui channel v1", body[1].encode(), body[2], numbers)
                assert read(kinds[5][channel])[4] == op[2], "another channel id"


def check_headers(headers, hashes, root, validator):
    first, second = (read(h) for h in headers)
    assert [header_hash(first[1]), header_hash(second[1])] == hashes, "another header hash"
    assert first[1][15] == root and second[1][7] == hashes[0]
    assert first[1][11] == list_root([sha(b"one"), sha(b"three")]) and second[1][11] == sha()
    assert second[1][16] == list_root([b"", b""])
    vote = first[5][0]
    signature = field(1, 2) + field(2, vote[1]) + field(3, field(1, vote[2]) + field(2, vote[3]), True) + field(4, vote[4])
    assert second[1][10] == list_root([signature]), "another last commit hash"
    assert first[1][12] == list_root([field(1, field(1, validator), True) + field(2, 1)])
    assert vote[1] == sha(validator)[:20] == first[1][18]


main()
