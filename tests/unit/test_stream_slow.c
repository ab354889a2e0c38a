// SPDX-License-Identifier: ISC
// Clients of streams that read more slowly than they are sent to, or not at all: what they lose,
// what they must not lose, and what they cost meanwhile.
#include "lib_memory.h"
#include "lib_stream.h"

#include "../../src/platform/stream_private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const uint8_t binding[20] = {0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42, 1};
// The answer: a success response.
static const uint8_t success[20] = {0x01, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42};

// Whose connection is f->last.
static int slow_client(struct fixture *f)
{
    int fd = client_connect_slow(f);
    client_put(fd, binding, sizeof binding);
    pump(f, &f->messages, f->messages + 1);
    return fd;
}

static int trusted_slow_client(struct fixture *f)
{
    int fd = slow_client(f);
    stream_trusted(f->last);
    return fd;
}

// Fills the way to a client that does not read until something has to wait, with media numbered
// from 0. Returns how many were taken.
static uint32_t fill(struct fixture *f, struct stream_conn *conn, size_t len)
{
    static uint8_t data[2048] = {0x40, 0x00};
    uint64_t dropped = count_of(f, COUNTER_DROP_SLOW_READER);
    uint32_t n = 0;
    data[2] = (uint8_t)((len - 4) >> 8), data[3] = (uint8_t)(len - 4);
    for (; n < 100000 && count_of(f, COUNTER_DROP_SLOW_READER) == dropped; n++) {
        memcpy(data + 4, &n, sizeof n);
        assert_int_equal(stream_send(conn, data, len), 0);
    }
    assert_true(n < 100000);
    return n;
}

// Reads whole ChannelData of 'len' bytes until 'last'. Returns how many were left out; each that
// comes is whole and later than the one before.
static uint32_t read_media(struct fixture *f, int fd, size_t len, uint32_t last, bool *ret_reply)
{
    uint8_t data[2048];
    uint32_t next = 0, left_out = 0, number = 0;
    *ret_reply = false;
    do {
        client_get(f, fd, data, 4);
        if (data[0] == 0x01) {
            client_get(f, fd, data + 4, sizeof success - 4);
            assert_memory_equal(data, success, sizeof success);
            *ret_reply = true;
            continue;
        }
        assert_int_equal(data[0], 0x40);
        client_get(f, fd, data + 4, len - 4);
        memcpy(&number, data + 4, sizeof number);
        assert_true(number >= next);
        left_out += number - next;
        next = number + 1;
    } while (number != last);
    return left_out;
}

static void a_slow_reader_loses_the_oldest_media_and_no_reply(void **state)
{
    struct fixture *f = *state;
    enum { LEN = 1204 };
    bool reply;
    int fd = trusted_slow_client(f);
    uint32_t count = fill(f, f->last, LEN);
    // What waits is bounded in bytes; the kernel holds little.
    assert_true(count * LEN < QUEUE_BYTES + (1 << 17));
    assert_int_equal(stream_send(f->last, success, sizeof success), 0);
    count += fill_more(f, f->last, LEN, count, 10);
    uint64_t dropped = count_of(f, COUNTER_DROP_SLOW_READER);
    assert_true(dropped >= 10);
    assert_int_equal(read_media(f, fd, LEN, count - 1, &reply), dropped);
    assert_true(reply);
    assert_int_equal(count_of(f, COUNTER_DROP_SLOW_READER), dropped);
    close(fd);
}

static void media_that_waited_too_long_is_dropped(void **state)
{
    struct fixture *f = *state;
    enum { LEN = 1204 };
    bool reply;
    f->config.queue_time = SHORT_TIME;
    stream_restart(f, "127.0.0.1");
    int fd = trusted_slow_client(f);
    uint32_t count = fill(f, f->last, LEN);
    assert_int_equal(stream_send(f->last, success, sizeof success), 0);
    usleep(SHORT_TIME + 50000);
    // All that waited is too old now but the reply, and what was begun.
    count += fill_more(f, f->last, LEN, count, 1);
    assert_true(count_of(f, COUNTER_DROP_SLOW_READER) >= QUEUE_BYTES / (LEN + 64) - 2);
    uint32_t left_out = read_media(f, fd, LEN, count - 1, &reply);
    assert_int_equal(left_out, count_of(f, COUNTER_DROP_SLOW_READER));
    assert_true(reply);
    close(fd);
}

// The socket takes a part of a message, and then, though it was said to be ready, nothing: the rest
// must follow all the same, however old it is.
static void what_was_begun_is_sent_to_its_end(void **state)
{
    struct fixture *f = *state;
    enum { LEN = 1204 };
    bool reply;
    f->config.queue_time = SHORT_TIME;
    stream_restart(f, "127.0.0.1");
    int fd = trusted_slow_client(f);
    uint32_t count = fill(f, f->last, LEN);
    const struct stream_waiting *first = TAILQ_FIRST(&f->last->queue);
    assert_true(first->begun && first->sent > 0);
    size_t sent = first->sent;
    event_active(f->last->writable, EV_WRITE, 0);
    turn_loop(f);
    assert_ptr_equal(first, TAILQ_FIRST(&f->last->queue));
    assert_int_equal(first->sent, sent);
    usleep(SHORT_TIME + 50000);
    count += fill_more(f, f->last, LEN, count, 1);
    uint32_t left_out = read_media(f, fd, LEN, count - 1, &reply);
    assert_int_equal(left_out, count_of(f, COUNTER_DROP_SLOW_READER));
    close(fd);
}

// The shortest answers, of which the memory is mostly what keeps them; and of who is not known even
// that must be little, as there may be many of them.
static void what_waits_is_bounded_in_memory(void **state)
{
    struct fixture *f = *state;
    for (unsigned trusted = 0; trusted < 2; trusted++) {
        size_t limit = trusted ? QUEUE_BYTES : STREAM_STRANGER_QUEUE;
        int fd = trusted ? trusted_slow_client(f) : slow_client(f), r = 0;
        size_t before = live_bytes(), most = before;
        for (int i = 0; i < 100000 && r == 0; i++) {
            size_t now = live_bytes();
            most = now > most ? now : most;
            r = stream_send(f->last, success, sizeof success);
        }
        assert_int_equal(r, -EPIPE);
        print_message("%zu bytes wait at most, of %zu\n", most - before, limit);
        assert_in_range(most - before, limit / 2, limit + limit / 2);
        pump(f, &f->gone, trusted + 1);
        close(fd);
    }
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_DEAF), 2);
}

static void a_client_that_reads_no_replies_is_left(void **state)
{
    struct fixture *f = *state;
    int fd = trusted_slow_client(f), r = 0;
    for (int i = 0; i < 100000 && r == 0; i++)
        r = stream_send(f->last, success, sizeof success);
    assert_int_equal(r, -EPIPE);
    pump(f, &f->gone, 1);
    assert_int_equal(count_of(f, COUNTER_CONN_CLOSED_DEAF), 1);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stream_setup, stream_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_slow_reader_loses_the_oldest_media_and_no_reply),
        TEST(media_that_waited_too_long_is_dropped),
        TEST(what_was_begun_is_sent_to_its_end),
        TEST(what_waits_is_bounded_in_memory),
        TEST(a_client_that_reads_no_replies_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
