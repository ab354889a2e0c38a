// SPDX-License-Identifier: ISC
// What the servers of this layer take from a struct tls.
#pragma once

#include "platform/tls.h"

#include <openssl/ssl.h>

enum tls_kind { TLS_STREAM, TLS_DATAGRAM, TLS_KINDS };

// A server's session under the certificate of now, or NULL. Any thread.
SSL *tls_session(struct tls *tls, enum tls_kind kind);
// Counts the certificates there were, so that a session made in advance can be known to be old.
unsigned tls_generation(struct tls *tls);
