// SPDX-License-Identifier: ISC
// What the daemon's test of itself makes of its facts, when it runs, and what it asks the XMPP
// server.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "selftest.h"

#include <event2/thread.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1000000.0

static json_t *json(const char *text)
{
    json_t *parsed = json_loads(text, 0, NULL);

    assert_non_null(parsed);
    return parsed;
}

// The one thing that is wrong; "": nothing is.
static void judged(const char *facts_text, const char *answers_text, const char *wrong)
{
    json_t *facts = json(facts_text), *answers = json(answers_text), *findings = json_array();
    const char *found = "";

    selftest_judge(facts, answers, NOW, findings);
    assert_true(json_array_size(findings) >= 2);
    for (size_t i = 0; i < json_array_size(findings); i++) {
        const json_t *finding = json_array_get(findings, i);

        if (!json_is_true(json_object_get(finding, "ok")))
            found = json_string_value(json_object_get(finding, "text"));
    }
    if (*wrong)
        assert_non_null(strstr(found, wrong));
    else
        assert_string_equal(found, "");
    json_decref(facts);
    json_decref(answers);
    json_decref(findings);
}

#define WELL "\"connected\":true,\"descriptors\":{\"limit\":10,\"needed\":10}"

static void judgements(void **state)
{
    (void)state;
    judged("{" WELL "}", "{}", "");
    judged("{\"connected\":false,\"descriptors\":{\"limit\":1,\"needed\":1}}", "{}", "not joined");
    judged("{\"connected\":true,\"descriptors\":{\"limit\":9,\"needed\":10}}", "{}",
           "9 descriptors are allowed");
    judged("{" WELL ",\"turn\":{\"expires\":4000000}}", "{}", "");
    judged("{" WELL ",\"turn\":{\"expires\":1172800}}", "{}", "expires in 2 days");
    judged("{" WELL ",\"turn\":{\"expires\":827200}}", "{}", "expired 2 days ago");
    judged("{" WELL "}", "{\"example.org\":{\"time\":100,\"answered\":120}}", "");
    judged("{" WELL "}", "{\"example.org\":{\"time\":3700,\"answered\":100}}", "3600 s off");
    judged("{" WELL "}", "{\"example.org\":{\"services\":[{\"type\":\"stun\"}]}}", "");
    judged("{" WELL "}", "{\"example.org\":{\"services\":[{\"type\":\"turns\"}]}}",
           "without username");
    judged("{" WELL "}",
           "{\"example.org\":{\"services\":[{\"type\":\"turn\",\"username\":\"u\"}]}}", "");
}

// ---- questions

struct fixture {
    struct event_base *base;
    struct config config;
    char *served[1];
    struct questions *questions;
    struct xml *sent[8];
    unsigned count;
    json_t *answers;
    unsigned answered;
};

static int on_send(void *ctx, const struct xml *stanza)
{
    struct fixture *f = ctx;

    assert_true(f->count < 8);
    f->sent[f->count++] = xml_clone(stanza);
    return 0;
}

static void on_answers(void *ctx, json_t *answers)
{
    struct fixture *f = ctx;

    json_decref(f->answers);
    f->answers = answers;
    f->answered++;
}

static int start(void **state)
{
    static char domain[] = "relay.example.org", served[] = "example.org";
    struct fixture *f = calloc(1, sizeof *f);
    struct questions_world world;

    assert_non_null(f);
    assert_int_equal(evthread_use_pthreads(), 0);
    f->base = event_base_new();
    f->config.xmpp.domain = domain;
    f->served[0] = served;
    f->config.xmpp.served_domains = (struct config_list){f->served, 1};
    world = (struct questions_world){f->base, &f->config, f, on_send};
    assert_int_equal(questions_new(&world, &f->questions), 0);
    *state = f;
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;

    questions_free(f->questions);
    for (unsigned i = 0; i < f->count; i++)
        xml_free(f->sent[i]);
    json_decref(f->answers);
    event_base_free(f->base);
    free(f);
    return 0;
}

// The server says this to that question; whether it was taken for an answer.
static bool answer(struct fixture *f, unsigned number, const char *from, const char *content)
{
    static const struct xml_limits limits = {4096, 16, 64};
    char text[1024];
    struct xml *iq;
    bool taken;

    snprintf(text, sizeof text,
             "<iq xmlns='jabber:client' type='result' id='%s' from='%s' to='relay.example.org'>%s"
             "</iq>",
             xml_attr(f->sent[number], "id"), from, content);
    assert_int_equal(xml_parse(text, strlen(text), &limits, &iq), 0);
    taken = questions_stanza(f->questions, iq);
    xml_free(iq);
    return taken;
}

#define SERVICES                                                                                   \
    "<services xmlns='urn:xmpp:extdisco:2'><service type='turn' host='h' port='1' username='u' "   \
    "password='p'/></services>"
#define SOFTWARE                                                                                   \
    "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='pubsub' "            \
    "type='pep'/>"                                                                                 \
    "<identity category='server' type='im' name='ejabberd'/></query>"
#define TIME "<time xmlns='urn:xmpp:time'><utc>1970-01-01T00:01:40.5Z</utc></time>"

static void the_server_is_asked(void **state)
{
    struct fixture *f = *state;
    const json_t *told;

    assert_int_equal(questions_ask(f->questions, on_answers, f), 0);
    assert_int_equal(f->count, 3);
    assert_string_equal(xml_attr(f->sent[0], "from"), "relay.example.org");
    assert_string_equal(xml_attr(f->sent[0], "to"), "example.org");
    assert_false(answer(f, 0, "evil.example.net", SERVICES)); // somebody else
    assert_true(answer(f, 0, "example.org", SERVICES));
    assert_false(answer(f, 0, "example.org", SERVICES)); // twice
    assert_int_equal(f->answered, 0);
    assert_true(answer(f, 1, "example.org", TIME));
    assert_true(answer(f, 2, "example.org", SOFTWARE));
    assert_int_equal(f->answered, 1);
    told = json_object_get(f->answers, "example.org");
    assert_true(json_number_value(json_object_get(told, "time")) == 100);
    assert_int_equal(json_array_size(json_object_get(told, "services")), 1);
    assert_true(json_is_false(json_object_get(told, "module")));
    assert_string_equal(json_string_value(json_object_get(told, "software")), "ejabberd");
}

static void a_silent_server_is_not_waited_for(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(questions_ask(f->questions, on_answers, f), 0);
    assert_int_equal(questions_ask(f->questions, on_answers, f), 0); // of the same round
    assert_int_equal(f->count, 3);
    while (f->answered < 2)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    assert_non_null(json_object_get(f->answers, "example.org"));
}

static void who_does_not_wait_any_more(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(questions_ask(f->questions, on_answers, f), 0);
    questions_cancel(f->questions, on_answers);
    assert_true(answer(f, 0, "example.org", SERVICES));
    assert_true(answer(f, 1, "example.org", TIME));
    assert_int_equal(f->answered, 0);
}

static void the_module_shows_itself(void **state)
{
    static const char disco[] =
        "<iq xmlns='jabber:client' type='get' id='1' from='example.org' to='relay.example.org'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
    static const struct xml_limits limits = {4096, 16, 64};
    static const char delegation[] =
        "<message xmlns='jabber:client' from='example.org' to='relay.example.org'>"
        "<delegation xmlns='urn:xmpp:delegation:2'><delegated namespace='x'/>"
        "<delegated namespace='urn:xmpp:extdisco:2'/></delegation></message>";
    struct fixture *f = *state;
    struct xml *iq;
    const json_t *told;

    assert_int_equal(xml_parse(delegation, strlen(delegation), &limits, &iq), 0);
    assert_false(questions_stanza(f->questions, iq));
    xml_free(iq);
    assert_int_equal(xml_parse(disco, strlen(disco), &limits, &iq), 0);
    assert_false(questions_stanza(f->questions, iq)); // it is to be answered
    xml_free(iq);
    assert_int_equal(questions_ask(f->questions, on_answers, f), 0);
    assert_true(answer(f, 0, "example.org", SERVICES));
    assert_true(answer(f, 1, "example.org", TIME));
    assert_true(answer(f, 2, "example.org", "<query xmlns='jabber:iq:version'/>"));
    told = json_object_get(f->answers, "example.org");
    assert_true(json_is_true(json_object_get(told, "module")));
    assert_true(json_is_true(json_object_get(told, "delegated")));
    questions_connected(f->questions);
    assert_int_equal(questions_ask(f->questions, on_answers, f), 0);
    for (unsigned i = 3; i < 6; i++)
        assert_true(answer(f, i, "example.org", ""));
    assert_int_equal(f->answered, 2);
    told = json_object_get(f->answers, "example.org");
    assert_false(json_is_true(json_object_get(told, "module")));
    assert_false(json_is_true(json_object_get(told, "delegated")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judgements),
        TEST(the_server_is_asked),
        TEST(a_silent_server_is_not_waited_for),
        TEST(who_does_not_wait_any_more),
        TEST(the_module_shows_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
