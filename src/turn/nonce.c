// SPDX-License-Identifier: ISC
// Nonces that need no memory (RFC 8489 section 9.2): their expiry, and an HMAC over expiry and
// client address under a key that all workers share. Every byte is paid for in each challenge to
// whoever spoofs a victim's address, so they are short:
//
//     "obMatJos2" and four characters of feature bits      13, if RFC 8489 is offered
//     base64 of 16 bits of expiry and 48 bits of HMAC       11
//
// 48 bits are enough, because guessing them proves nothing but an address: whoever did must still
// know a password. The expiry that is signed is the whole one; of the 16 bits in the nonce, which
// wrap after three days, the one nearest to now is meant.
//
// A stream has proved its address by itself, and a data connection of RFC 6062 comes from another
// port than the connection from which its client knows the nonce. So the nonce of one stream is
// good for all of that host: the port is only in the last bytes, which keep "the same NONCE for two
// requests unless they have the same source IP address and port" from being chosen.
#include "internal.h"

#include <openssl/crypto.h>
#include <string.h>

#define TICK       (4 * USEC_PER_SEC)
#define COOKIE     "obMatJos2"
#define COOKIE_LEN 13
#define MAC_LEN    6
#define PORT_LEN   2 // bytes of it that a stream is not asked for
#define TEXT_LEN   11
#define BIT_ALGO   0x80 // of the first byte: bit 0, RFC 8489 section 18.1
#define BIT_ANONYM 0x40

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static uint8_t features(const struct turn_config *config)
{
    // The names behind the hashes of TURN REST cannot be known, so anonymity is offered only where
    // all users are.
    return BIT_ALGO | (config->users > 0 && config->secrets == 0 ? BIT_ANONYM : 0);
}

static void cookie_write(const struct turn_config *config, char *text)
{
    uint8_t bits = features(config);
    memcpy(text, COOKIE, COOKIE_LEN - 4);
    text[COOKIE_LEN - 4] = base64[bits >> 2];
    text[COOKIE_LEN - 3] = base64[(bits & 3) << 4];
    text[COOKIE_LEN - 2] = 'A';
    text[COOKIE_LEN - 1] = 'A';
}

static bool is_stream(const struct turn_client *client)
{
    return client->transport == TURN_TCP || client->transport == TURN_TLS;
}

static bool sign_port(struct turn *turn, const struct turn_client *client, uint16_t port,
                      uint64_t expiry, uint8_t ret_mac[MAC_LEN])
{
    uint8_t text[40], mac[SHA256_LEN];
    struct writer w = writer_over(text, sizeof text);
    write_bytes(&w, "nonce", 5);
    write_u64(&w, expiry);
    write_u8(&w, (uint8_t)client->transport);
    write_u8(&w, client->remote.family);
    write_u16(&w, port);
    write_bytes(&w, client->remote.ip, sizeof client->remote.ip);
    const struct hmac_part part = {text, writer_used(&w)};
    const struct turn_config *config = turn->config;
    if (hmac_sum(HMAC_SHA256, config->nonce_key, sizeof config->nonce_key, &part, 1, mac) < 0)
        return false;
    memcpy(ret_mac, mac, MAC_LEN);
    return true;
}

static bool sign(struct turn *turn, const struct turn_client *client, uint64_t expiry,
                 uint8_t ret_mac[MAC_LEN])
{
    uint8_t host[MAC_LEN];
    if (!sign_port(turn, client, client->remote.port, expiry, ret_mac))
        return false;
    if (!is_stream(client))
        return true;
    if (!sign_port(turn, client, 0, expiry, host))
        return false;
    memcpy(ret_mac, host, MAC_LEN - PORT_LEN);
    return true;
}

// Eight bytes as eleven characters, and back; the last two of 66 bits are zero.
static void text_write(uint64_t value, char *text)
{
    for (unsigned i = 0; i < TEXT_LEN; i++) {
        unsigned shift = i < TEXT_LEN - 1 ? 58 - 6 * i : 0;
        uint64_t six = i < TEXT_LEN - 1 ? value >> shift & 63 : (value & 15) << 2;
        text[i] = base64[six];
    }
}

static bool text_read(const uint8_t *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < TEXT_LEN; i++) {
        const char *at = text[i] ? strchr(base64, text[i]) : NULL;
        uint64_t six = at ? (uint64_t)(at - base64) : 0;
        if (!at || (i == TEXT_LEN - 1 && (six & 3)))
            return false;
        value = i < TEXT_LEN - 1 ? value << 6 | six : value << 4 | six >> 2;
    }
    *ret_value = value;
    return true;
}

static size_t nonce_len(const struct turn_config *config)
{
    return (config->modern ? COOKIE_LEN : 0) + TEXT_LEN;
}

size_t nonce_write(struct turn *turn, const struct turn_client *client, usec_t now,
                   char ret_nonce[NONCE_MAX])
{
    uint64_t expiry = (now + turn->config->nonce_lifetime) / TICK + 1;
    uint8_t mac[MAC_LEN] = {0};
    sign(turn, client, expiry, mac); // if it fails the nonce is one that nobody accepts
    uint64_t value = (expiry & 0xffff) << 48;
    for (unsigned i = 0; i < MAC_LEN; i++)
        value |= (uint64_t)mac[i] << (40 - 8 * i);
    char *text = ret_nonce;
    if (turn->config->modern) {
        cookie_write(turn->config, text);
        text += COOKIE_LEN;
    }
    text_write(value, text);
    return nonce_len(turn->config);
}

static uint64_t nearest(uint64_t low, uint64_t current)
{
    uint64_t expiry = (current & ~(uint64_t)0xffff) | low;
    if (expiry + 0x8000 < current)
        return expiry + 0x10000;
    return expiry > current + 0x8000 && expiry >= 0x10000 ? expiry - 0x10000 : expiry;
}

bool nonce_valid(struct turn *turn, const struct turn_client *client, const struct stun_view *nonce,
                 usec_t now)
{
    uint64_t value, current = now / TICK;
    uint8_t want[MAC_LEN], mac[MAC_LEN];
    char cookie[COOKIE_LEN];
    if (nonce->len != nonce_len(turn->config))
        return false;
    const uint8_t *text = nonce->data;
    if (turn->config->modern) {
        cookie_write(turn->config, cookie);
        if (memcmp(text, cookie, COOKIE_LEN) != 0)
            return false;
        text += COOKIE_LEN;
    }
    if (!text_read(text, &value))
        return false;
    uint64_t expiry = nearest(value >> 48, current);
    if (expiry <= current || expiry > current + turn->config->nonce_lifetime / TICK + 2)
        return false;
    for (unsigned i = 0; i < MAC_LEN; i++)
        mac[i] = (uint8_t)(value >> (40 - 8 * i));
    size_t len = is_stream(client) ? MAC_LEN - PORT_LEN : MAC_LEN;
    return sign(turn, client, expiry, want) && CRYPTO_memcmp(mac, want, len) == 0;
}

bool nonce_offers_algorithms(const struct stun_view *nonce)
{
    if (nonce->len < COOKIE_LEN || memcmp(nonce->data, COOKIE, COOKIE_LEN - 4) != 0)
        return false;
    uint8_t first = nonce->data[COOKIE_LEN - 4];
    const char *at = first ? strchr(base64, first) : NULL;
    return at && ((at - base64) & 0x20); // the highest of six bits
}
