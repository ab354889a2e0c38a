// SPDX-License-Identifier: ISC
// See component_expat.h. One component lives in a process, and its thread is the only one that
// parses with libstrophe's parser. What tells whether all this still does its work is
// tests/unit/test_component_stanzas.c.
#include "component_expat.h"

#include "component_stanza.h"

#include <ctype.h>
#include <dlfcn.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>

// Older versions of expat have no such function, and need none.
XML_Bool XML_SetReparseDeferralEnabled(XML_Parser parser, XML_Bool enabled) __attribute__((weak));

static struct {
    XML_StartElementHandler start;
    XML_EndElementHandler end;
    unsigned depth;    // of open elements; the outermost is the stream
    unsigned elements; // of the stanza so far
    unsigned skipped;  // of 'depth', those that libstrophe knows nothing of
    size_t pieces;
    size_t kept; // of these, what expat keeps for other streams: open tags of one that was cut, say
} strophe;

void component_expat_begin(void)
{
    strophe.depth = strophe.elements = strophe.skipped = 0;
}

// ---- memory

static void *count_malloc(size_t size)
{
    void *p = malloc(size);
    strophe.pieces += p != NULL;
    return p;
}

static void *count_realloc(void *p, size_t size)
{
    void *grown = realloc(p, size);
    strophe.pieces += !p && grown;
    return grown;
}

static void count_free(void *p)
{
    strophe.pieces -= p != NULL;
    free(p);
}

size_t component_expat_pieces(void)
{
    return strophe.pieces > strophe.kept ? strophe.pieces - strophe.kept : 0;
}

// ---- elements

// Between namespace and name expat puts what libstrophe has asked for: some byte that is in no
// name.
static bool has_namespace(const XML_Char *attribute)
{
    for (const XML_Char *p = attribute; *p; p++) {
        unsigned char byte = (unsigned char)*p;
        if (byte < 0x80 ? !isalnum(byte) && !strchr("-._", byte) : byte == 0xff)
            return true;
    }
    return false;
}

static bool is_lang(const XML_Char *attribute)
{
    size_t len = strlen(XML_NS_XML);

    return strncmp(attribute, XML_NS_XML, len) == 0 && attribute[len] != '\0' &&
           strcmp(attribute + len + 1, "lang") == 0;
}

// Here, too, one more than may be is left.
static void leave_out_attributes(const XML_Char **attribute)
{
    const XML_Char **to = attribute;
    unsigned count = 0;

    for (; attribute[0] && count <= COMPONENT_ATTRIBUTES_MAX; attribute += 2) {
        if (has_namespace(attribute[0]) && !is_lang(attribute[0]))
            continue;
        to[0] = attribute[0];
        to[1] = attribute[1];
        to += 2;
        count++;
    }
    *to = NULL;
}

static void on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    strophe.depth++;
    if (strophe.depth <= 2) // the stream, or a stanza
        strophe.elements = 0;
    // One more than may be gets through, so that it shows.
    if (strophe.skipped > 0 || strophe.elements > COMPONENT_ELEMENTS_MAX) {
        strophe.skipped++;
        return;
    }
    strophe.elements++;
    leave_out_attributes(attributes);
    strophe.start(ctx, name, attributes);
}

static void on_end(void *ctx, const XML_Char *name)
{
    if (strophe.depth > 0)
        strophe.depth--;
    if (strophe.skipped > 0)
        strophe.skipped--;
    else
        strophe.end(ctx, name);
}

void XML_SetElementHandler(XML_Parser parser, XML_StartElementHandler start,
                           XML_EndElementHandler end)
{
    strophe.start = start;
    strophe.end = end;
    XML_SetStartElementHandler(parser, start ? on_start : NULL);
    XML_SetEndElementHandler(parser, end ? on_end : NULL);
}

// ---- tags that are cut

static XML_Parser without_deferral(XML_Parser parser)
{
    if (parser && XML_SetReparseDeferralEnabled)
        XML_SetReparseDeferralEnabled(parser, XML_FALSE);
    return parser;
}

// libstrophe gives no memory suite to any parser but its first.
XML_Parser XML_ParserCreate_MM(const XML_Char *encoding, const XML_Memory_Handling_Suite *suite,
                               const XML_Char *separator)
{
    static const XML_Memory_Handling_Suite counting = {count_malloc, count_realloc, count_free};
    XML_Parser (*create)(const XML_Char *, const XML_Memory_Handling_Suite *, const XML_Char *);
    *(void **)&create = dlsym(RTLD_NEXT, "XML_ParserCreate_MM");
    (void)suite;
    strophe.kept = 0;
    return create ? without_deferral(create(encoding, &counting, separator)) : NULL;
}

// libstrophe resets its parser for every connection, and expat its default with it.
XML_Bool XML_ParserReset(XML_Parser parser, const XML_Char *encoding)
{
    XML_Bool (*reset)(XML_Parser, const XML_Char *);
    *(void **)&reset = dlsym(RTLD_NEXT, "XML_ParserReset");
    if (!reset || !reset(parser, encoding))
        return XML_FALSE;
    without_deferral(parser);
    strophe.kept = strophe.pieces;
    return XML_TRUE;
}
