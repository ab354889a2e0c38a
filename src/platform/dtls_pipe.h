// SPDX-License-Identifier: ISC
// The two ends of OpenSSL's datagrams: a BIO that reads the one datagram that is there, and writes
// by a function.
#pragma once

#include "base/addr.h"

#include <openssl/bio.h>
#include <stddef.h>
#include <stdint.h>

struct dtls_pipe {
    const uint8_t *in; // NULL: nothing is there
    size_t in_len;
    size_t out_max; // longer datagrams are not sent
    void (*send)(void *ctx, void *link, const struct addr *to, const uint8_t *data, size_t len);
    void *ctx, *link;
    struct addr remote;
};

BIO_METHOD *dtls_pipe_method(void); // NULL without memory; BIO_meth_free()
// NULL without memory. 'pipe' is borrowed.
BIO *dtls_pipe_bio(const BIO_METHOD *method, struct dtls_pipe *pipe);
