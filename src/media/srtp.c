// SPDX-License-Identifier: ISC
// SRTP and SRTCP (RFC 3711) by libsrtp: one context for each direction of a component.
#include "internal.h"

#include <errno.h>
#include <string.h>

#define REPLAY_WINDOW 128

static int create(srtp_t *context, enum media_suite suite, srtp_ssrc_type_t direction,
                  const uint8_t key[MEDIA_KEY_LEN])
{
    uint8_t copy[MEDIA_KEY_LEN]; // libsrtp's pointer is not const
    srtp_policy_t policy;

    memset(&policy, 0, sizeof policy);
    memcpy(copy, key, sizeof copy);
    if (suite == MEDIA_AES_CM_32)
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&policy.rtp);
    else
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtp);
    // RFC 4568 section 6.2: SRTCP has 80 bits with either suite.
    srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtcp);
    policy.ssrc.type = direction;
    policy.key = copy;
    policy.window_size = REPLAY_WINDOW;
    return srtp_create(context, &policy) == srtp_err_status_ok ? 0 : -ENOMEM;
}

int protection_open(struct component *component, enum media_suite suite,
                    const uint8_t ours[MEDIA_KEY_LEN], const uint8_t theirs[MEDIA_KEY_LEN])
{
    int r = create(&component->srtp_out, suite, ssrc_any_outbound, ours);

    if (r == 0)
        r = create(&component->srtp_in, suite, ssrc_any_inbound, theirs);
    component->keyed = r == 0;
    return r;
}

void protection_close(struct component *component)
{
    if (component->srtp_in)
        srtp_dealloc(component->srtp_in);
    if (component->srtp_out)
        srtp_dealloc(component->srtp_out);
    component->srtp_in = component->srtp_out = NULL;
}

static bool sender_of(bool rtcp, const uint8_t *data, size_t len, uint32_t *ret_ssrc)
{
    struct rtp_header header;

    if (rtcp)
        return rtcp_sender(data, len, ret_ssrc) >= 0;
    if (rtp_decode(data, len, &header) < 0)
        return false;
    *ret_ssrc = header.ssrc;
    return true;
}

static bool knows_sender(const struct component *component, uint32_t ssrc)
{
    for (unsigned i = 0; i < component->ssrcs; i++)
        if (component->ssrc[i] == ssrc)
            return true;
    return false;
}

static bool unprotect(struct component *component, bool rtcp, uint8_t *data, size_t *len)
{
    int length = (int)*len;
    srtp_err_status_t status;

    if (!component->srtp_in)
        return true;
    status = rtcp ? srtp_unprotect_rtcp(component->srtp_in, data, &length)
                  : srtp_unprotect(component->srtp_in, data, &length);
    if (status != srtp_err_status_ok || length < 0)
        return false;
    *len = (size_t)length;
    return true;
}

// A state is kept for each sender, so there is a bound to them; whose packets are not authentic is
// none.
bool protection_remove(struct component *component, bool rtcp, uint8_t *data, size_t *len)
{
    uint32_t ssrc;
    bool known;

    if (!component->keyed || !sender_of(rtcp, data, *len, &ssrc))
        return false;
    known = knows_sender(component, ssrc);
    if ((!known && component->ssrcs == SSRCS_MAX) || !unprotect(component, rtcp, data, len))
        return false;
    if (!known)
        component->ssrc[component->ssrcs++] = ssrc;
    return true;
}

bool protection_add(struct component *component, bool rtcp, uint8_t *data, size_t *len)
{
    int length = (int)*len;
    srtp_err_status_t status;

    if (!component->keyed)
        return false;
    if (!component->srtp_out)
        return true;
    status = rtcp ? srtp_protect_rtcp(component->srtp_out, data, &length)
                  : srtp_protect(component->srtp_out, data, &length);
    if (status != srtp_err_status_ok)
        return false;
    *len = (size_t)length;
    return true;
}
