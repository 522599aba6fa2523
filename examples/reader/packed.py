"""The plain form of a packed segment, for read_log.py. Written from docs/format/log.md alone.

zstd and XXH3 are the system's libraries, libzstd.so.1 and libxxhash.so.0. Each checksum on the way is looked at."""
import ctypes, struct

def u64(data, at=0): return struct.unpack_from("<Q", data, at)[0]

def u32(data, at=0): return struct.unpack_from("<I", data, at)[0]

def want(condition, text):
    if not condition: raise ValueError(text)

def libraries():
    zstd, xxhash = ctypes.CDLL("libzstd.so.1"), ctypes.CDLL("libxxhash.so.0")
    size, text = ctypes.c_size_t, ctypes.c_char_p
    zstd.ZSTD_createDCtx.restype = ctypes.c_void_p
    zstd.ZSTD_decompress_usingDict.argtypes = [ctypes.c_void_p, text, size, text, size, text, size]
    zstd.ZSTD_decompress_usingDict.restype = size
    xxhash.XXH3_64bits_withSeed.argtypes, xxhash.XXH3_64bits_withSeed.restype = [text, size, ctypes.c_uint64], ctypes.c_uint64
    return zstd, xxhash

class Packed:
    def __init__(self, name, data, range_of, leaf_of):
        self.zstd, self.xxhash = libraries()
        self.context = self.zstd.ZSTD_createDCtx()
        self.name, self.data, self.range_of, self.leaf_of = name, data, range_of, leaf_of
        head = next((head for head in (data[:512], data[-512:]) if self.sum(head[:504], 0x5041434B48454144) == u64(head, 504)), None)
        want(head, f"{name}: no sound head of a packed segment")
        self.features, self.store, self.number, self.salt, self.unit = u32(head, 12), head[16:32], u64(head, 48), u64(head, 56), u32(head, 72)
        self.size, self.end, self.first, self.table = u64(head, 64), u64(head, 128), u64(head, 152), u64(head, 208)
        self.blocks, roots, types, length = u32(head, 312), u32(head, 316), u32(head, 320), u32(head, 324)
        table = data[self.table:self.table + self.blocks * 40 + roots * 32 + types * (8 + (self.blocks + 7) // 8)]
        want(self.sum(table, self.salt ^ 0x5041434B5441424C) == u64(head, 216), f"{name}: table")
        want(self.features in (1, 3), f"{name}: with a feature that is not read here")
        copies = (data[512:512 + length], data[self.table - length:self.table])
        self.dictionary = next((copy for copy in copies if not length or self.sum(copy, 0x5041434B44494354) == u64(head, 328)), None)
        want(self.dictionary is not None, f"{name}: dictionary")

    def sum(self, data, seed):
        return self.xxhash.XXH3_64bits_withSeed(bytes(data), len(data), seed & (1 << 64) - 1)

    def decompress(self, frame, size, dictionary=b""):
        out = ctypes.create_string_buffer(size + 1)
        got = self.zstd.ZSTD_decompress_usingDict(self.context, out, size, frame, len(frame), dictionary, len(dictionary))
        want(got == size, f"{self.name}: a frame does not decompress")
        return out.raw[:size]

    def plain(self):
        out, offset, at = bytearray(self.size), 8192, 512 + len(self.dictionary)
        for index in range(self.blocks):
            size, length, delta, continued, received, checksum, plain = struct.unpack_from("<4Iq2Q", self.data, self.table + 40 * index)
            block = self.data[at:at + size]
            covered = block[:u32(block, 4)] if self.features & 2 else block
            want(self.sum(covered, self.salt + index) == checksum, f"{self.name}: block {index}")
            body = Block(self, block, covered, offset, delta, received).body if self.features & 2 else self.decompress(block, length)
            want(len(body) == length and self.sum(body, (self.salt ^ 0x5041434B504C4149) + index) == plain, f"{self.name}: content of block {index}")
            out[offset:offset + length] = body
            offset, at = offset + length, at + size
        want(offset == self.end, f"{self.name}: the blocks are not all of it")
        return bytes(out)

class Block:
    """A block with cells: a front, then cells."""
    def __init__(self, segment, block, front, offset, delta, received):
        self.s, self.front, self.at, self.offset, self.received = segment, front, 41, offset, received
        want(front[:4] == bytes.fromhex("bb4d0cf7"), f"{segment.name}: magic of a front")
        want(segment.sum(front[40:], segment.sum(front[:32], segment.salt ^ 0x43454C4C46524F4E)) == u64(front, 32), f"{segment.name}: front")
        self.flags, self.position = front[40], segment.first + delta
        self.entries = self.cells(block)
        self.range = None
        if self.flags & 2:
            peaks = bin(self.position - 1).count("1")
            self.range = segment.range_of(self.position - 1, [self.take(32) for _ in range(peaks)])
        self.body, self.previous = bytearray(), None
        if self.flags & 4: self.rest()
        while self.at < len(front): self.record()

    def take(self, size):
        self.at += size
        return self.front[self.at - size:self.at]

    def number(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value, shift = value | (byte & 127) << shift, shift + 7
            if byte < 128: return value

    def difference(self):
        value = self.number()
        return value >> 1 ^ -(value & 1)

    def cells(self, block):
        rows = [(self.number(), self.number(), self.number(), u32(self.take(4)), u32(self.take(4))) for _ in range(self.number())]
        at, entries = len(self.front), []
        for index, (size, length, count, stored_sum, content_sum) in enumerate(rows):
            stored, place, at = block[at:at + size], self.offset << 32 | index, at + size
            want(self.s.sum(stored, (self.s.salt ^ 0x43454C4C53544F52) + place) & 0xFFFFFFFF == stored_sum, f"{self.s.name}: a cell")
            apart = 32 * count if self.flags & 1 else 0
            content = self.s.decompress(b"\x28\xb5\x2f\xfd" + stored[:size - apart], length, self.s.dictionary)
            want(self.s.sum(content, (self.s.salt ^ 0x43454C4C434F4E54) + place) & 0xFFFFFFFF == content_sum, f"{self.s.name}: content of a cell")
            hashes, begin = stored[size - apart:], 0
            for i in range(count):
                end = begin + 4 + u32(content, begin) - (32 if apart else 0)
                entry = content[begin:end]
                entries.append(entry[:89] + hashes[32 * i:32 * i + 32] + entry[89:] if apart else entry)
                begin = end
            want(begin == length, f"{self.s.name}: entries of a cell")
        want(at == len(block), f"{self.s.name}: cells do not fill their block")
        return entries

    def payload(self, count):
        taken, self.entries, self.position = self.entries[:count], self.entries[count:], self.position + count
        for entry in taken if self.range else (): self.range.add(self.s.leaf_of(entry[4:]))
        return b"".join(taken)

    def close(self, checksum):
        whole = -(-(self.offset + len(self.body) + 16) // self.s.unit) * self.s.unit - self.offset
        self.body += bytes(whole - 16 - len(self.body)) + b"DBookEND" + struct.pack("<Q", checksum)
        self.previous = checksum

    def rest(self):
        count, ends = self.number(), self.take(1)[0]
        self.body += self.payload(count)
        if ends: self.close(u64(self.take(8)))

    def record(self):
        s, kind, first, begin = self.s, self.take(1)[0], self.position, len(self.body)
        durable = first - self.difference()
        self.received += self.difference()
        previous = u64(self.take(8)) if self.previous is None else self.previous
        head = None if self.range else self.take(32)
        count = checksum = 0
        if kind & 15 == 2:
            count = self.number()
            here, size, checksum = (self.number(), self.number(), u64(self.take(8))) if kind & 16 else (count, None, 0)
            payload = self.payload(here)
            size = len(payload) if size is None else size
        else:
            size = self.number()
            payload = self.take(size)
        at = self.offset + begin
        seed = s.sum(s.store + struct.pack("<4Q", s.number, s.salt, at, first), 0xDBB00C52)
        if not kind & 16:
            zeros = bytes(-(-(144 + size) // s.unit) * s.unit - 144 - size)
            checksum = s.sum(payload + zeros, seed ^ 0x9E3779B97F4A7C15)
        header = struct.pack("<4sIQIIQQq32sQQQQQ", bytes.fromhex("520cb0db"), kind & 15, first, count, size, durable, previous, self.received,
                             head or self.range.head(), checksum, s.number, s.salt, at, 0)
        own = s.sum(header, seed)
        self.body += header + struct.pack("<Q", own) + payload
        self.previous = own
        if not kind & 16: self.close(own)
