// SPDX-License-Identifier: ISC
// PROXY headers, read as a connection reads them, and behind them the framing of a stream: whatever
// comes, both end, inside what is there.
#include "../../src/platform/proxy_header.h"
#include "../../src/platform/stream_frame.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t skip_header(const uint8_t *data, size_t size)
{
    struct proxy_header header;
    size_t len = 0, want = 0;
    while (proxy_header_parse(data, len, &header, &want) == -EAGAIN) {
        if (want == 0 || len + want > PROXY_HEADER_MAX)
            abort();
        if (want > size - len)
            return size;
        len += want;
    }
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at = skip_header(data, size), message;
    while (at < size) {
        ssize_t n = stream_frame_cut(data + at, size - at, 2048, &message);
        if (n <= 0)
            break;
        if ((size_t)n > size - at || message > (size_t)n || (size_t)n > message + 3)
            abort();
        (void)stream_frame_is_media(data + at, message);
        at += (size_t)n;
    }
    return 0;
}
