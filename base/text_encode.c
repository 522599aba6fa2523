/* Bytes as text and back: hexadecimal, base64, percent-encoding, UUIDs. The decoders take text from
 * outside: they refuse whatever the encoder would not have written, letter case apart, and leave the
 * buffer as it was then. */
#include "base/text.h"

static const char lower_digits[] = "0123456789abcdef";
static const char upper_digits[] = "0123456789ABCDEF";
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

/* The byte of two digits, -1 if they are none. */
static int hex_byte(const uint8_t *digits)
{
    int high = hex_value(digits[0]), low = hex_value(digits[1]);

    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Four bytes at once: each half byte into a byte of its own, then to its digit. */
static uint64_t hex_of_four(const uint8_t *at)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t x = dbk_load_u32(at);
    x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
    x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x >> 4 & UINT64_C(0x000f000f000f000f)) | (x & UINT64_C(0x000f000f000f000f)) << 8;
    uint64_t letters = (x + 6 * ones) >> 4 & ones;
    return x + '0' * ones + letters * ('a' - '0' - 10);
}

void dbk_hex_encode(dbk_slice data, char *out)
{
    size_t i = 0;
    for (; i + 4 <= data.size; i += 4, out += 8) {
        uint8_t digits[8];
        dbk_store_u64(digits, hex_of_four(data.data + i));
        memcpy(out, digits, 8);
    }
    for (; i < data.size; i++) {
        *out++ = lower_digits[data.data[i] >> 4];
        *out++ = lower_digits[data.data[i] & 15];
    }
    *out = '\0';
}

bool dbk_hex_decode(dbk_slice text, uint8_t *out, size_t size)
{
    if (text.size % 2 != 0 || text.size / 2 != size) return false;
    for (size_t i = 0; i < size; i++) {
        int byte = hex_byte(text.data + 2 * i);
        if (byte < 0) return false;
        out[i] = (uint8_t)byte;
    }
    return true;
}

void dbk_base64_encode(dbk_buffer *out, dbk_slice data)
{
    const uint8_t *in = data.data;
    size_t groups = data.size / 3, rest = data.size % 3;
    uint8_t *to;

    if (data.size > SIZE_MAX / 4) {
        out->failed = true;
        return;
    }
    to = dbk_buffer_extend(out, (groups + (rest != 0)) * 4);
    if (!to) return;
    for (size_t i = 0; i < groups; i++, in += 3, to += 4) {
        uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        for (int k = 0; k < 4; k++) to[k] = (uint8_t)base64_digits[bits >> (18 - 6 * k) & 63];
    }
    if (rest) {
        uint32_t bits = (uint32_t)in[0] << 16 | (rest == 2 ? (uint32_t)in[1] << 8 : 0);
        to[0] = (uint8_t)base64_digits[bits >> 18];
        to[1] = (uint8_t)base64_digits[bits >> 12 & 63];
        to[2] = rest == 2 ? (uint8_t)base64_digits[bits >> 6 & 63] : '=';
        to[3] = '=';
    }
}

/* The six bits of a digit; anything else has bit 31 set, which survives the joining of a group. */
static uint32_t base64_value(uint8_t digit)
{
    if (digit >= 'A' && digit <= 'Z') return (uint32_t)(digit - 'A');
    if (digit >= 'a' && digit <= 'z') return (uint32_t)(digit - 'a' + 26);
    if (digit >= '0' && digit <= '9') return (uint32_t)(digit - '0' + 52);
    if (digit == '+') return 62;
    if (digit == '/') return 63;
    return 0x80000000u;
}

/* The last group, of one or two bytes: the bits that no byte uses must be zero, or two texts would
 * stand for the same bytes. */
static bool base64_last(const uint8_t *in, uint8_t *to, size_t size)
{
    uint32_t first = base64_value(in[0]), second = base64_value(in[1]);
    uint32_t third = size == 2 ? base64_value(in[2]) : 0;
    uint32_t unused = size == 2 ? third & 3 : second & 15;

    if (((first | second | third) & 0x80000000u) || unused) return false;
    to[0] = (uint8_t)(first << 2 | second >> 4);
    if (size == 2) to[1] = (uint8_t)(second << 4 | third >> 2);
    return true;
}

bool dbk_base64_decode(dbk_buffer *out, dbk_slice text)
{
    size_t before = out->size, groups = text.size / 4, padding = 0;
    const uint8_t *in = text.data;
    uint8_t *to;

    if (text.size % 4 != 0) return false;
    if (text.size == 0) return true;
    if (in[text.size - 1] == '=') padding = in[text.size - 2] == '=' ? 2 : 1;
    to = dbk_buffer_extend(out, groups * 3 - padding);
    if (!to) return true;
    if (padding) groups--;
    for (size_t i = 0; i < groups; i++, in += 4, to += 3) {
        uint32_t a = base64_value(in[0]), b = base64_value(in[1]);
        uint32_t c = base64_value(in[2]), d = base64_value(in[3]);
        if ((a | b | c | d) & 0x80000000u) goto bad;
        to[0] = (uint8_t)(a << 2 | b >> 4);
        to[1] = (uint8_t)(b << 4 | c >> 2);
        to[2] = (uint8_t)(c << 6 | d);
    }
    if (padding && !base64_last(in, to, 3 - padding)) goto bad;
    return true;
bad:
    out->size = before;
    return false;
}

static bool stays_itself(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '_' || byte == '.' || byte == '-' || byte == '~';
}

void dbk_percent_encode(dbk_buffer *out, dbk_slice part)
{
    size_t plain = 0;

    while (plain < part.size && stays_itself(part.data[plain])) plain++;
    dbk_buffer_put(out, part.data, plain);
    for (size_t i = plain; i < part.size; i++) {
        uint8_t byte = part.data[i];
        if (stays_itself(byte)) {
            dbk_buffer_put_u8(out, byte);
        } else {
            char coded[3] = {'%', upper_digits[byte >> 4], upper_digits[byte & 15]};
            dbk_buffer_put(out, coded, sizeof(coded));
        }
    }
}

bool dbk_percent_is_canonical(dbk_slice part)
{
    for (size_t i = 0; i < part.size; i++) {
        if (stays_itself(part.data[i])) continue;
        int byte = part.data[i] == '%' && part.size - i > 2 ? hex_byte(part.data + i + 1) : -1;
        if (byte <= 0 || stays_itself((uint8_t)byte)) return false;
        if (part.data[i + 1] != (uint8_t)upper_digits[byte >> 4] ||
            part.data[i + 2] != (uint8_t)upper_digits[byte & 15])
            return false;
        i += 2;
    }
    return true;
}

bool dbk_percent_decode(dbk_buffer *out, dbk_slice part)
{
    size_t before = out->size, plain = 0;

    while (plain < part.size && part.data[plain] != '%' && part.data[plain] != 0) plain++;
    dbk_buffer_put(out, part.data, plain);
    for (size_t i = plain; i < part.size; i++) {
        int byte = part.data[i];
        if (byte == '%') {
            byte = part.size - i > 2 ? hex_byte(part.data + i + 1) : -1;
            i += 2;
        }
        if (byte <= 0) {
            if (!out->failed) out->size = before;
            return false;
        }
        dbk_buffer_put_u8(out, (uint8_t)byte);
    }
    return true;
}

static bool dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void dbk_uuid_text(const uint8_t uuid[16], char out[DBK_UUID_TEXT_SIZE])
{
    for (size_t i = 0; i < 16; i++) {
        if (dash_before(i)) *out++ = '-';
        *out++ = lower_digits[uuid[i] >> 4];
        *out++ = lower_digits[uuid[i] & 15];
    }
    *out = '\0';
}

bool dbk_uuid_parse(dbk_slice text, uint8_t out[16])
{
    const uint8_t *at = text.data;

    if (text.size != DBK_UUID_TEXT_SIZE - 1) return false;
    for (size_t i = 0; i < 16; i++) {
        if (dash_before(i) && *at++ != '-') return false;
        int byte = hex_byte(at);
        if (byte < 0) return false;
        out[i] = (uint8_t)byte;
        at += 2;
    }
    return true;
}
