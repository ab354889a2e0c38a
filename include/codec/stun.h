// SPDX-License-Identifier: ISC
// STUN messages (RFC 8489): bytes to views and structs to bytes. No allocation, no state.
//
// A decoded message is a set of views into the datagram and lives as long as it. Attributes after
// MESSAGE-INTEGRITY are ignored, except MESSAGE-INTEGRITY-SHA256 and FINGERPRINT (RFC 8489
// section 14.5); of attributes that appear twice the first counts (section 14).
#pragma once

#include "base/addr.h"
#include "base/cursor.h"

#include <stdbool.h>

#define STUN_MAGIC      0x2112A442u
#define STUN_HEADER_LEN 20
#define STUN_TXID_LEN   12

enum stun_class { STUN_REQUEST = 0, STUN_INDICATION = 1, STUN_SUCCESS = 2, STUN_ERROR = 3 };

enum stun_method { STUN_BINDING = 0x001 };

enum stun_value {    // how an attribute's bytes are to be read
    STUN_VALUE_NONE, // a flag: no bytes
    STUN_VALUE_U32,
    STUN_VALUE_U64,
    STUN_VALUE_ADDR,     // as it stands
    STUN_VALUE_XOR_ADDR, // RFC 8489 section 14.2
    STUN_VALUE_TEXT,     // UTF-8
    STUN_VALUE_BYTES,
    STUN_VALUE_ERROR,    // code and reason, section 14.8
    STUN_VALUE_U16_LIST, // UNKNOWN-ATTRIBUTES
};

// X(identifier, type, "NAME", enum stun_value, shortest length, longest length)
#define STUN_ATTR_TABLE(X)                                                                         \
    X(MAPPED_ADDRESS, 0x0001, "MAPPED-ADDRESS", STUN_VALUE_ADDR, 8, 20)                            \
    X(USERNAME, 0x0006, "USERNAME", STUN_VALUE_TEXT, 0, 513)                                       \
    X(MESSAGE_INTEGRITY, 0x0008, "MESSAGE-INTEGRITY", STUN_VALUE_BYTES, 20, 20)                    \
    X(ERROR_CODE, 0x0009, "ERROR-CODE", STUN_VALUE_ERROR, 4, 767)                                  \
    X(UNKNOWN_ATTRIBUTES, 0x000A, "UNKNOWN-ATTRIBUTES", STUN_VALUE_U16_LIST, 0, 512)               \
    X(XOR_MAPPED_ADDRESS, 0x0020, "XOR-MAPPED-ADDRESS", STUN_VALUE_XOR_ADDR, 8, 20)                \
    X(PRIORITY, 0x0024, "PRIORITY", STUN_VALUE_U32, 4, 4)                                          \
    X(USE_CANDIDATE, 0x0025, "USE-CANDIDATE", STUN_VALUE_NONE, 0, 0)                               \
    X(SOFTWARE, 0x8022, "SOFTWARE", STUN_VALUE_TEXT, 0, 763)                                       \
    X(FINGERPRINT, 0x8028, "FINGERPRINT", STUN_VALUE_U32, 4, 4)                                    \
    X(ICE_CONTROLLED, 0x8029, "ICE-CONTROLLED", STUN_VALUE_U64, 8, 8)                              \
    X(ICE_CONTROLLING, 0x802A, "ICE-CONTROLLING", STUN_VALUE_U64, 8, 8)

#define X(id, type, name, value, min, max) STUN_##id,
enum stun_attr { STUN_ATTR_TABLE(X) STUN_ATTR_COUNT };
#undef X

struct stun_attr_row {
    uint16_t type;
    const char *name;
    enum stun_value value;
    uint16_t min;
    uint16_t max;
};

extern const struct stun_attr_row stun_attr_rows[STUN_ATTR_COUNT];

struct stun_view {
    const uint8_t *data; // NULL: the attribute is absent
    uint16_t len;        // without padding
};

struct stun_msg {
    const uint8_t *data; // the datagram
    size_t len;          // header and attributes, as the header says
    enum stun_class class;
    uint16_t method;
    const uint8_t *txid; // STUN_TXID_LEN bytes
    struct stun_view attr[STUN_ATTR_COUNT];
    size_t integrity_at;   // offset of the MESSAGE-INTEGRITY attribute, 0 if absent
    size_t fingerprint_at; // offset of the FINGERPRINT attribute, 0 if absent
    uint16_t unknown[8];   // comprehension-required types that we do not know
    unsigned unknown_count;
};

// Returns 0, or -EBADMSG for anything that RFC 8489 section 6.3 says to discard: wrong cookie,
// length not a multiple of four or beyond the datagram, an attribute beyond its message or outside
// its length bounds, FINGERPRINT not last or wrong.
int stun_decode(const void *data, size_t len, struct stun_msg *ret_msg);

bool stun_has(const struct stun_msg *msg, enum stun_attr attr);
uint32_t stun_u32(const struct stun_msg *msg, enum stun_attr attr); // 0 if absent
uint64_t stun_u64(const struct stun_msg *msg, enum stun_attr attr); // 0 if absent
// Plain or XOR addresses. Returns 0, -ENOENT if absent, -EBADMSG if malformed.
int stun_addr(const struct stun_msg *msg, enum stun_attr attr, struct addr *ret_addr);
unsigned stun_error_code(const struct stun_msg *msg); // 300 to 699; 0 if absent or malformed

// HMAC-SHA1 over the message up to MESSAGE-INTEGRITY with the length field as section 14.5 says,
// compared in constant time. False if the attribute is absent, and for an empty key.
bool stun_check_integrity(const struct stun_msg *msg, const void *key, size_t key_len);

// Writing: begin, attributes in order, then stun_finish(), which writes MESSAGE-INTEGRITY when a
// key is given, FINGERPRINT when asked for, and the length. Errors are sticky in the writer.
struct writer stun_begin(void *buf, size_t size, enum stun_class class, uint16_t method,
                         const uint8_t txid[STUN_TXID_LEN]);
void stun_put_bytes(struct writer *w, enum stun_attr attr, const void *data, size_t len);
void stun_put_flag(struct writer *w, enum stun_attr attr);
void stun_put_u32(struct writer *w, enum stun_attr attr, uint32_t value);
void stun_put_u64(struct writer *w, enum stun_attr attr, uint64_t value);
void stun_put_addr(struct writer *w, enum stun_attr attr,
                   const struct addr *addr); // XOR by the row
void stun_put_error(struct writer *w, unsigned code, const char *reason);
// Returns the length of the message, or -ENOSPC.
int stun_finish(struct writer *w, const void *key, size_t key_len, bool fingerprint);
