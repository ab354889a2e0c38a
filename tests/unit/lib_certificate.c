// SPDX-License-Identifier: ISC
// Certificates for tests; see lib_certificate.h.
#include "lib_certificate.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void need(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "certificate: %s failed\n", what);
    abort();
}

static X509 *sign(EVP_PKEY *key, enum certificate_flaw flaw, int64_t serial)
{
    enum { DAY = 24 * 3600 };
    X509 *x509 = X509_new();
    need(x509 != NULL, "X509_new");
    X509_NAME *name = X509_get_subject_name(x509);
    need(X509_set_version(x509, 2), "version");
    need(ASN1_INTEGER_set_int64(X509_get_serialNumber(x509), serial), "serial");
    X509_gmtime_adj(X509_getm_notBefore(x509), flaw == CERTIFICATE_FUTURE ? DAY : -30 * DAY);
    X509_gmtime_adj(X509_getm_notAfter(x509), flaw == CERTIFICATE_EXPIRED ? -DAY : 30 * DAY);
    need(X509_set_pubkey(x509, key), "public key");
    need(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                    (const unsigned char *)"relay.example", -1, -1, 0),
         "name");
    need(X509_set_issuer_name(x509, name), "issuer");
    need(X509_sign(x509, key, EVP_sha256()) > 0, "signature");
    return x509;
}

static EVP_PKEY *key_to_write(EVP_PKEY *own, enum certificate_flaw flaw)
{
    if (flaw == CERTIFICATE_OTHER_KEY)
        return EVP_EC_gen("P-256");
    if (flaw == CERTIFICATE_OTHER_KIND)
        return EVP_RSA_gen(2048);
    EVP_PKEY_up_ref(own);
    return own;
}

// Each file is put in place whole, as those who renew certificates do it.
static FILE *create(const char *path, char temporary[128])
{
    snprintf(temporary, 128, "%s.new", path);
    FILE *file = fopen(temporary, "w");
    need(file != NULL, temporary);
    return file;
}

static void put_in_place(FILE *file, const char *temporary, const char *path)
{
    need(fclose(file) == 0 && rename(temporary, path) == 0, path);
}

static void write_key(const struct certificate_files *files, EVP_PKEY *key,
                      enum certificate_flaw flaw)
{
    char temporary[128];
    FILE *file = create(files->key, temporary);
    EVP_PKEY *written = key_to_write(key, flaw);
    const EVP_CIPHER *cipher = flaw == CERTIFICATE_PASSPHRASE ? EVP_aes_128_cbc() : NULL;
    if (flaw == CERTIFICATE_NO_KEY)
        fputs("a key, perhaps\n", file);
    else
        need(PEM_write_PrivateKey(file, written, cipher, (const unsigned char *)"word",
                                  cipher ? 4 : 0, NULL, NULL),
             "key");
    EVP_PKEY_free(written);
    put_in_place(file, temporary, files->key);
}

void certificate_make(struct certificate_files *files, enum certificate_flaw flaw, int64_t serial)
{
    char temporary[128];
    if (!files->directory[0]) {
        strcpy(files->directory, "/tmp/relayd-test-XXXXXX");
        need(mkdtemp(files->directory) != NULL, "mkdtemp");
        snprintf(files->certificate, sizeof files->certificate, "%s/cert.pem", files->directory);
        snprintf(files->key, sizeof files->key, "%s/key.pem", files->directory);
    }
    EVP_PKEY *key = EVP_EC_gen("P-256");
    need(key != NULL, "EVP_EC_gen");
    X509 *x509 = sign(key, flaw, serial);
    write_key(files, key, flaw);
    FILE *file = create(files->certificate, temporary);
    if (flaw == CERTIFICATE_NO_CERTIFICATE)
        fputs("a certificate, perhaps\n", file);
    else
        need(PEM_write_X509(file, x509), "certificate");
    put_in_place(file, temporary, files->certificate);
    X509_free(x509);
    EVP_PKEY_free(key);
}

void certificate_remove(struct certificate_files *files)
{
    if (!files->directory[0])
        return;
    unlink(files->certificate);
    unlink(files->key);
    rmdir(files->directory);
    memset(files, 0, sizeof *files);
}
