// SPDX-License-Identifier: ISC
// A BIO for datagrams; see dtls_pipe.h. OpenSSL's memory BIO does not keep datagrams apart, and its
// datagram BIO wants a socket.
#include "dtls_pipe.h"

#include <string.h>

static int on_read(BIO *bio, char *data, int size)
{
    struct dtls_pipe *pipe = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!pipe->in || size <= 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t len = pipe->in_len < (size_t)size ? pipe->in_len : (size_t)size;
    memcpy(data, pipe->in, len);
    pipe->in = NULL;
    return (int)len;
}

// A datagram that cannot be sent is lost, as others are.
static int on_write(BIO *bio, const char *data, int len)
{
    struct dtls_pipe *pipe = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len > 0 && (size_t)len <= pipe->out_max)
        pipe->send(pipe->ctx, pipe->link, &pipe->remote, (const uint8_t *)data, (size_t)len);
    return len;
}

static long on_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    // Nothing is ever left to flush; all else (MTU, peers, timeouts) is not known here.
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *dtls_pipe_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "datagrams");
    if (method && BIO_meth_set_read(method, on_read) && BIO_meth_set_write(method, on_write) &&
        BIO_meth_set_ctrl(method, on_ctrl))
        return method;
    BIO_meth_free(method);
    return NULL;
}

BIO *dtls_pipe_bio(const BIO_METHOD *method, struct dtls_pipe *pipe)
{
    BIO *bio = BIO_new(method);
    if (!bio)
        return NULL;
    BIO_set_data(bio, pipe);
    BIO_set_init(bio, 1);
    return bio;
}
