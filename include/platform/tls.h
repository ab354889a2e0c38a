// SPDX-License-Identifier: ISC
// A certificate and its key, as TLS and DTLS servers use them: loaded from PEM files, watched, and
// exchanged for handshakes to come while the sessions there are go on with what they have.
//
// TLS 1.2 and DTLS 1.2 at least, no renegotiation, no compression. One struct tls serves all
// threads.
#pragma once

#include <event2/event.h>
#include <stdint.h>

struct tls;

#define TLS_ERROR_MAX 512

// The certificate file holds the server's certificate first, then those that lead to its root.
// Returns 0 or -errno: what opening a file gave, -EBADMSG (not what it should be), -EKEYREJECTED
// (the key is not the certificate's, or has a passphrase), -EKEYEXPIRED (or not valid yet),
// -ENOMEM. 'error' then says what is wrong with which file, for whoever runs the daemon.
int tls_new(const char *certificate_file, const char *key_file, struct tls **ret_tls,
            char error[TLS_ERROR_MAX]);
// After the servers that use it. Sessions may outlive it.
void tls_free(struct tls *tls);

// Reads both files again. When they are no good the old certificate stays in use; returns and says
// as tls_new() does. Any thread.
int tls_reload(struct tls *tls, char error[TLS_ERROR_MAX]);

// Other files from now on; when they are no good everything stays as it is. As tls_reload(), but
// from the thread of tls_watch().
int tls_set_files(struct tls *tls, const char *certificate_file, const char *key_file,
                  char error[TLS_ERROR_MAX]);

// Looks every 'seconds' whether a file is another (device, inode, size, mtime), reloads then, and
// logs either way. Returns 0 or -ENOMEM. From the thread of 'base', which outlives 'tls'.
int tls_watch(struct tls *tls, struct event_base *base, unsigned seconds);

// When the certificate in use expires, in seconds since 1970.
int64_t tls_expires(struct tls *tls);
