// SPDX-License-Identifier: ISC
// Where one message on a stream ends and the next begins. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Looks at data[0..len), len > 0, where a message begins. Returns the bytes it takes on the stream
// and in *ret_len those that are the message (without the padding of ChannelData); 0 when more must
// come; -EBADMSG when this is neither STUN nor ChannelData, or takes more than 'max'.
ssize_t stream_frame_cut(const uint8_t *data, size_t len, size_t max, size_t *ret_len);

// ChannelData and indications carry media, which is better lost than late; requests and responses
// do not.
bool stream_frame_is_media(const uint8_t *data, size_t len);
