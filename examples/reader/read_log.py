#!/usr/bin/env python3
"""Reads a Daybook log without Daybook, and checks proofs. Written from docs/format/ alone.

usage: read_log.py [LOG_FOLDER] [PROOF_FILE…]

Of a folder (STORE/log) every checksum, link and head is checked up to the end of the log, and the head is
printed. Of each proof (docs/format/proof.md) it is checked that it holds, and, with a folder, that it is
about this log. Packed segments are read by packed.py. Exit status 1 when anything is wrong."""
import base64, hashlib, json, os, packed, struct, sys

M64, TWIST = (1 << 64) - 1, 0x9E3779B97F4A7C15
SECRET = bytes.fromhex(  # XXH3's default secret (xxHash specification)
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364ea"
    "c5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")
P1, P2, P3, P4, P5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
Q1, Q2, Q3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D

def u64(data, at=0): return struct.unpack_from("<Q", data, at)[0]

def u32(data, at=0): return struct.unpack_from("<I", data, at)[0]

def fold(a, b):
    product = a * b
    return (product & M64) ^ (product >> 64)

def avalanche(h):
    h = (h ^ (h >> 37)) * 0x165667919E3779F9 & M64
    return h ^ (h >> 32)

def xxh3(data, seed):
    n = len(data)  # 17 to 128, or more than 240 bytes: what a log has
    if n <= 128:
        h = n * P1 & M64
        def mix(at, s): return fold(u64(data, at) ^ (u64(SECRET, s) + seed & M64), u64(data, at + 8) ^ (u64(SECRET, s + 8) - seed & M64))
        for i in reversed(range((n - 1) // 32 + 1)):
            h += mix(16 * i, 32 * i) + mix(n - 16 * (i + 1), 32 * i + 16)
        return avalanche(h & M64)
    secret = b"".join(struct.pack("<QQ", u64(SECRET, i) + seed & M64, u64(SECRET, i + 8) - seed & M64) for i in range(0, 192, 16))
    acc = [Q3, P1, P2, P3, P4, Q2, P5, Q1]
    keys = [struct.unpack_from("<8Q", secret, 8 * i) for i in range(16)] + [struct.unpack_from("<8Q", secret, 128)]
    last = struct.unpack_from("<8Q", secret, 121)
    stripes = (n - 1) // 64
    def add(at, key):
        lanes = struct.unpack_from("<8Q", data, at)
        for i in range(8):
            k = lanes[i] ^ key[i]
            acc[i ^ 1] = acc[i ^ 1] + lanes[i] & M64
            acc[i] = acc[i] + (k & 0xFFFFFFFF) * (k >> 32) & M64
    for i in range(stripes):
        add(64 * i, keys[i % 16])
        if i % 16 == 15:
            acc[:] = [((a ^ a >> 47) ^ k) * Q1 & M64 for a, k in zip(acc, keys[16])]
    add(n - 64, last)
    h = n * P1 & M64
    for i in range(4):
        h += fold(acc[2 * i] ^ u64(secret, 11 + 16 * i), acc[2 * i + 1] ^ u64(secret, 19 + 16 * i))
    return avalanche(h & M64)

def digest(purpose, *parts):
    return hashlib.blake2b(b"".join(parts), digest_size=32, person=purpose).digest()

class Range:
    """A Merkle mountain range: count of leaves, peaks with the highest first."""
    def __init__(self, count=0, peaks=()): self.count, self.peaks = count, list(peaks)
    def add(self, node, height=0):
        for bit in range(height, 64):
            if not self.count >> bit & 1: break
            node = digest(b"daybook.node", self.peaks.pop(), node)
        self.peaks.append(node)
        self.count += 1 << height
    def head(self): return digest(b"daybook.head", struct.pack("<Q", self.count), *self.peaks)

def want(condition, text):
    if not condition: raise ValueError(text)

class Log:
    def __init__(self, folder):
        self.range, self.leaves, self.heads, self.previous = Range(), [], {}, 0
        names = sorted(name for name in os.listdir(folder) if name.endswith(".seg"))
        for number, name in enumerate(names, 1):
            with open(os.path.join(folder, name), "rb") as file:
                self.segment(name, number, file.read())
    def segment(self, name, number, data):
        head = next((data[at:at + 128] for at in (0, 4096) if data[at:at + 8] == b"DBookSEG" and
                     xxh3(data[at:at + 120], u64(b"DBookSEG")) == u64(data, at + 120)), None)
        want(head, f"{name}: no sound header")
        want(u32(head, 8) == 1, f"{name}: a later format")
        if u32(head, 12): data = packed.Packed(name, data, Range, lambda origin: digest(b"daybook.leaf", origin)).plain()
        want(u64(head, 48) == number and u64(head, 64) == len(data), f"{name}: number or size is wrong")
        store, salt, unit, at, self.store = head[16:32], u64(head, 56), u32(head, 72), 8192, head[16:32]
        while at < len(data) and any(data[at:at + 128]):
            kind, first, count, size = u32(data, at + 4), u64(data, at + 8), u32(data, at + 16), u32(data, at + 20)
            spot, bytes_ = f"{name} at {at}", -(-(144 + size) // unit) * unit
            seed = xxh3(store + struct.pack("<4Q", number, salt, at, first), 0xDBB00C52)
            want(data[at:at + 4] == bytes.fromhex("520cb0db") and xxh3(data[at:at + 120], seed) == u64(data, at + 120), f"{spot}: header")
            want(u64(data, at + 32) == self.previous, f"{spot}: follows another record")
            want(first == self.range.count + 1, f"{spot}: position")
            want(xxh3(data[at + 128:at + bytes_ - 16], seed ^ TWIST) == u64(data, at + 80), f"{spot}: payload")
            want(data[at + bytes_ - 16:at + bytes_] == b"DBookEND" + data[at + 120:at + 128], f"{spot}: trailer")
            payload, place = data[at + 128:at + 128 + size], 0
            for _ in range(count):
                length = u32(payload, place)
                self.leaves.append(digest(b"daybook.leaf", payload[place + 4:place + 4 + length]))
                self.range.add(self.leaves[-1])
                place += 4 + length
            want(kind != 2 or place == size, f"{spot}: entries do not fill the payload")
            want(self.range.head() == data[at + 48:at + 80], f"{spot}: head")
            self.previous, at = u64(data, at + 120), at + bytes_
            self.heads[self.range.count] = self.range.head()

def check_proof(proof, log):
    node_of = bytes.fromhex
    end = Range(proof["count"], map(node_of, proof["peaks"]))
    want(len(end.peaks) == bin(end.count).count("1") and end.head() == node_of(proof["head"]), "peaks and head differ")
    if log:
        want(log.store.hex() == proof["store"].replace("-", ""), "it is of another store")
        want(log.heads.get(end.count, end.head()) == end.head() and end.count <= len(log.leaves), "its head is not this log's")
    if proof["proof"] == "inclusion":
        leaf, node = proof["position"] - 1, node_of(proof["leaf"])
        want(0 <= leaf < end.count, "there is no such position")
        want("origin" not in proof or digest(b"daybook.leaf", base64.b64decode(proof["origin"])) == node, "the entry has another leaf")
        want(not log or log.leaves[leaf] == node, "the log has another leaf there")
        height = next(h for h in reversed(range(64)) if end.count >> h & 1 and leaf >> h < end.count >> h)
        first, peak = end.count >> height + 1 << height + 1, bin(end.count >> height).count("1") - 1
        want(len(proof["path"]) == height, "the path has not the length of its peak")
        for bit, other in enumerate(map(node_of, proof["path"])):
            node = digest(b"daybook.node", *((other, node) if leaf - first >> bit & 1 else (node, other)))
        want(node == end.peaks[peak], "the path does not lead to its peak")
    if proof["proof"] == "extension":
        old = Range(proof["old_count"], map(node_of, proof["old_peaks"]))
        want(len(old.peaks) == bin(old.count).count("1") and old.head() == node_of(proof["old_head"]), "old peaks and head differ")
        for tree in map(node_of, proof["trees"]):
            height = next(h for h in reversed(range(64)) if old.count % (1 << h) == 0 and old.count + (1 << h) <= end.count)
            old.add(tree, height)
        want((old.count, old.peaks) == (end.count, end.peaks), "the old head does not grow into the new one")

def main(words):
    log, words = (Log(words[0]), words[1:]) if words and os.path.isdir(words[0]) else (None, words)
    if log: print(f"entries {log.range.count}\nhead {log.range.head().hex()}")
    for name in words:
        with open(name, encoding="utf-8") as file:
            check_proof(json.load(file), log)
        print(f"{name}: holds")

if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, ValueError, KeyError, StopIteration, struct.error) as failure:
        sys.exit(f"read_log: {failure}")
