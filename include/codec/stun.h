// SPDX-License-Identifier: ISC
// STUN messages (RFC 8489): bytes to views and structs to bytes. No allocation, no state.
//
// A decoded message is a set of views into the datagram and lives as long as it. Attributes after
// MESSAGE-INTEGRITY are ignored, except MESSAGE-INTEGRITY-SHA256 and FINGERPRINT (RFC 8489
// section 14.5); of attributes that appear twice the first counts (section 14), unless their method
// knows lists: see stun_next().
#pragma once

#include "base/addr.h"
#include "base/cursor.h"

#include <stdbool.h>

#define STUN_MAGIC      0x2112A442u
#define STUN_HEADER_LEN 20
#define STUN_TXID_LEN   12

enum stun_class { STUN_REQUEST = 0, STUN_INDICATION = 1, STUN_SUCCESS = 2, STUN_ERROR = 3 };

enum stun_method { // RFC 8489 section 18.2, RFC 8656 section 17, RFC 6062 section 6.1
    STUN_BINDING = 0x001,
    STUN_ALLOCATE = 0x003,
    STUN_REFRESH = 0x004,
    STUN_SEND_INDICATION = 0x006,
    STUN_DATA_INDICATION = 0x007,
    STUN_CREATE_PERMISSION = 0x008,
    STUN_CHANNEL_BIND = 0x009,
    STUN_CONNECT = 0x00a,
    STUN_CONNECTION_BIND = 0x00b,
    STUN_CONNECTION_ATTEMPT = 0x00c,
};

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
// Types are 0x0000 to 0x003F or 0x8000 to 0x803F; the compiler refuses others.
#define STUN_ATTR_TABLE(X)                                                                         \
    X(MAPPED_ADDRESS, 0x0001, "MAPPED-ADDRESS", STUN_VALUE_ADDR, 8, 20)                            \
    X(USERNAME, 0x0006, "USERNAME", STUN_VALUE_TEXT, 0, 763)                                       \
    X(MESSAGE_INTEGRITY, 0x0008, "MESSAGE-INTEGRITY", STUN_VALUE_BYTES, 20, 20)                    \
    X(ERROR_CODE, 0x0009, "ERROR-CODE", STUN_VALUE_ERROR, 4, 767)                                  \
    X(UNKNOWN_ATTRIBUTES, 0x000A, "UNKNOWN-ATTRIBUTES", STUN_VALUE_U16_LIST, 0, 512)               \
    X(CHANNEL_NUMBER, 0x000C, "CHANNEL-NUMBER", STUN_VALUE_U32, 4, 4)                              \
    X(LIFETIME, 0x000D, "LIFETIME", STUN_VALUE_U32, 4, 4)                                          \
    X(XOR_PEER_ADDRESS, 0x0012, "XOR-PEER-ADDRESS", STUN_VALUE_XOR_ADDR, 8, 20)                    \
    X(DATA, 0x0013, "DATA", STUN_VALUE_BYTES, 0, 65516)                                            \
    X(REALM, 0x0014, "REALM", STUN_VALUE_TEXT, 0, 763)                                             \
    X(NONCE, 0x0015, "NONCE", STUN_VALUE_TEXT, 0, 763)                                             \
    X(XOR_RELAYED_ADDRESS, 0x0016, "XOR-RELAYED-ADDRESS", STUN_VALUE_XOR_ADDR, 8, 20)              \
    X(REQUESTED_ADDRESS_FAMILY, 0x0017, "REQUESTED-ADDRESS-FAMILY", STUN_VALUE_U32, 4, 4)          \
    X(EVEN_PORT, 0x0018, "EVEN-PORT", STUN_VALUE_BYTES, 1, 1)                                      \
    X(REQUESTED_TRANSPORT, 0x0019, "REQUESTED-TRANSPORT", STUN_VALUE_U32, 4, 4)                    \
    X(DONT_FRAGMENT, 0x001A, "DONT-FRAGMENT", STUN_VALUE_NONE, 0, 0)                               \
    X(INTEGRITY_SHA256, 0x001C, "MESSAGE-INTEGRITY-SHA256", STUN_VALUE_BYTES, 16, 32)              \
    X(PASSWORD_ALGORITHM, 0x001D, "PASSWORD-ALGORITHM", STUN_VALUE_BYTES, 4, 256)                  \
    X(USERHASH, 0x001E, "USERHASH", STUN_VALUE_BYTES, 32, 32)                                      \
    X(XOR_MAPPED_ADDRESS, 0x0020, "XOR-MAPPED-ADDRESS", STUN_VALUE_XOR_ADDR, 8, 20)                \
    X(RESERVATION_TOKEN, 0x0022, "RESERVATION-TOKEN", STUN_VALUE_U64, 8, 8)                        \
    X(PRIORITY, 0x0024, "PRIORITY", STUN_VALUE_U32, 4, 4)                                          \
    X(USE_CANDIDATE, 0x0025, "USE-CANDIDATE", STUN_VALUE_NONE, 0, 0)                               \
    X(CONNECTION_ID, 0x002A, "CONNECTION-ID", STUN_VALUE_U32, 4, 4)                                \
    X(ADDITIONAL_ADDRESS_FAMILY, 0x8000, "ADDITIONAL-ADDRESS-FAMILY", STUN_VALUE_U32, 4, 4)        \
    X(ADDRESS_ERROR_CODE, 0x8001, "ADDRESS-ERROR-CODE", STUN_VALUE_BYTES, 4, 767)                  \
    X(PASSWORD_ALGORITHMS, 0x8002, "PASSWORD-ALGORITHMS", STUN_VALUE_BYTES, 4, 256)                \
    X(ALTERNATE_DOMAIN, 0x8003, "ALTERNATE-DOMAIN", STUN_VALUE_TEXT, 0, 255)                       \
    X(ICMP, 0x8004, "ICMP", STUN_VALUE_U64, 8, 8)                                                  \
    X(SOFTWARE, 0x8022, "SOFTWARE", STUN_VALUE_TEXT, 0, 763)                                       \
    X(ALTERNATE_SERVER, 0x8023, "ALTERNATE-SERVER", STUN_VALUE_ADDR, 8, 20)                        \
    X(FINGERPRINT, 0x8028, "FINGERPRINT", STUN_VALUE_U32, 4, 4)                                    \
    X(ICE_CONTROLLED, 0x8029, "ICE-CONTROLLED", STUN_VALUE_U64, 8, 8)                              \
    X(ICE_CONTROLLING, 0x802A, "ICE-CONTROLLING", STUN_VALUE_U64, 8, 8)                            \
    X(MOBILITY_TICKET, 0x8030, "MOBILITY-TICKET", STUN_VALUE_BYTES, 0, 512)

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
    size_t sha256_at;      // the same of MESSAGE-INTEGRITY-SHA256
    size_t fingerprint_at; // offset of the FINGERPRINT attribute, 0 if absent
    uint16_t unknown[8];   // comprehension-required types that we do not know
    unsigned unknown_count;
    bool malformed; // an attribute outside its length bounds was left out; only by stun_parse()
};

// Returns 0, or -EBADMSG for anything that RFC 8489 section 6.3 says to discard: wrong cookie,
// length not a multiple of four or beyond the datagram, an attribute beyond its message or outside
// its length bounds, FINGERPRINT not last or wrong.
int stun_decode(const void *data, size_t len, struct stun_msg *ret_msg);

// The same for those who answer 400 to an attribute outside its length bounds, as RFC 8656 wants:
// it counts as absent, and 'malformed' is set.
int stun_parse(const void *data, size_t len, struct stun_msg *ret_msg);

bool stun_has(const struct stun_msg *msg, enum stun_attr attr);
uint32_t stun_u32(const struct stun_msg *msg, enum stun_attr attr); // 0 if absent
uint64_t stun_u64(const struct stun_msg *msg, enum stun_attr attr); // 0 if absent
// Plain or XOR addresses. Returns 0, -ENOENT if absent, -EBADMSG if malformed.
int stun_addr(const struct stun_msg *msg, enum stun_attr attr, struct addr *ret_addr);
// All attributes of one type, in their order: start with NULL, then with what was returned last.
// A view without data says that there are no more. Only what the integrity covers is found, and no
// bounds are checked.
struct stun_view stun_next(const struct stun_msg *msg, enum stun_attr attr, const uint8_t *after);
// One of them as an address. Returns 0 or -EBADMSG.
int stun_view_addr(const struct stun_msg *msg, enum stun_attr attr, const struct stun_view *view,
                   struct addr *ret_addr);
unsigned stun_error_code(const struct stun_msg *msg); // 300 to 699; 0 if absent or malformed

// HMAC-SHA1 over the message up to MESSAGE-INTEGRITY with the length field as section 14.5 says,
// compared in constant time. False if the attribute is absent, and for an empty key.
bool stun_check_integrity(const struct stun_msg *msg, const void *key, size_t key_len);

// The same with MESSAGE-INTEGRITY-SHA256 in its full length of 32 bytes (section 14.6).
bool stun_check_sha256(const struct stun_msg *msg, const void *key, size_t key_len);

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
// MESSAGE-INTEGRITY-SHA256 over what has been written; only FINGERPRINT may follow.
void stun_put_sha256(struct writer *w, const void *key, size_t key_len);
// Returns the length of the message, or -ENOSPC.
int stun_finish(struct writer *w, const void *key, size_t key_len, bool fingerprint);
