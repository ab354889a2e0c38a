// SPDX-License-Identifier: ISC
// Certificates for tests, made on the spot: P-256, self-signed, for "relay.example".
#pragma once

#include <stdint.h>

enum certificate_flaw {
    CERTIFICATE_GOOD,
    CERTIFICATE_EXPIRED,
    CERTIFICATE_FUTURE,
    CERTIFICATE_OTHER_KEY,      // the key of another certificate
    CERTIFICATE_OTHER_KIND,     // a key that is not even P-256
    CERTIFICATE_PASSPHRASE,     // on the key
    CERTIFICATE_NO_CERTIFICATE, // but words
    CERTIFICATE_NO_KEY,
};

struct certificate_files {
    char directory[64], certificate[96], key[96];
};

// Writes the two files into a new directory, or over those that were there.
void certificate_make(struct certificate_files *files, enum certificate_flaw flaw, int64_t serial);
// Removes them.
void certificate_remove(struct certificate_files *files);
