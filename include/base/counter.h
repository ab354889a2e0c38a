// SPDX-License-Identifier: ISC
// Every number that the daemon counts: one row in the table below, from which the Prometheus text,
// the JSON, the HELP lines and docs/METRICS.md follow.
//
// A slab of counters has one writing thread; any thread may read it. Values are monotonic for
// COUNTER rows and free for GAUGE rows.
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

// X(identifier, COUNTER|GAUGE, metric name without the "jingle_relay_" prefix, labels, help)
// Rows of one metric stand together; the help of its first row counts.
#define COUNTER_TABLE(X)                                                                           \
    X(PACKETS_IN, COUNTER, "packets_received_total", "", "Datagrams received on relay ports")      \
    X(BYTES_IN, COUNTER, "bytes_received_total", "", "Payload bytes received on relay ports")      \
    X(PACKETS_OUT, COUNTER, "packets_sent_total", "", "Datagrams sent from relay ports")           \
    X(BYTES_OUT, COUNTER, "bytes_sent_total", "", "Payload bytes sent from relay ports")           \
    X(JOINED_IN, COUNTER, "packets_joined_total", "direction=\"in\"",                              \
      "Datagrams that the kernel handed over, or took, as trains of one sender and one size")      \
    X(JOINED_OUT, COUNTER, "packets_joined_total", "direction=\"out\"", "")                        \
    X(DROP_UNPROVED, COUNTER, "drops_total", "reason=\"unproved_source\"",                         \
      "Datagrams not forwarded, by reason")                                                        \
    X(DROP_NOT_SELECTED, COUNTER, "drops_total", "reason=\"not_selected\"", "")                    \
    X(DROP_BAD_INTEGRITY, COUNTER, "drops_total", "reason=\"bad_integrity\"", "")                  \
    X(DROP_BAD_USERNAME, COUNTER, "drops_total", "reason=\"bad_username\"", "")                    \
    X(DROP_REPLAY, COUNTER, "drops_total", "reason=\"replayed_check\"", "")                        \
    X(DROP_NO_CREDENTIALS, COUNTER, "drops_total", "reason=\"no_credentials_yet\"", "")            \
    X(DROP_UNMATCHED, COUNTER, "drops_total", "reason=\"unmatched_response\"", "")                 \
    X(DROP_MALFORMED, COUNTER, "drops_total", "reason=\"malformed\"", "")                          \
    X(DROP_PEER_UNKNOWN, COUNTER, "drops_total", "reason=\"peer_not_proved\"", "")                 \
    X(DROP_BANDWIDTH, COUNTER, "drops_total", "reason=\"bandwidth\"", "")                          \
    X(DROP_SEND_ERROR, COUNTER, "drops_total", "reason=\"send_error\"", "")                        \
    X(DROP_INCONSISTENT, COUNTER, "drops_total", "reason=\"learning\"", "")                        \
    X(DROP_TOO_MANY_SOURCES, COUNTER, "drops_total", "reason=\"too_many_sources\"", "")            \
    X(DROP_OVERFLOW, COUNTER, "drops_total", "reason=\"receive_queue\"", "")                       \
    X(DROP_TRUNCATED, COUNTER, "drops_total", "reason=\"too_long\"", "")                           \
    X(DROP_SLOW_READER, COUNTER, "drops_total", "reason=\"slow_reader\"", "")                      \
    X(CHECKS_SENT, COUNTER, "checks_sent_total", "",                                               \
      "Connectivity checks of the relay's own, sent before a path moves to another source")        \
    X(LATCHES, COUNTER, "latches_total", "result=\"selected\"", "Sources selected or refused")     \
    X(LATCHES_MOVED, COUNTER, "latches_total", "result=\"moved\"", "")                             \
    X(LATCHES_REFUSED, COUNTER, "latches_total", "result=\"refused\"", "")                         \
    X(PATHS_OPENED, COUNTER, "paths_opened_total", "", "Paths opened")                             \
    X(PATHS_FAILED, COUNTER, "paths_failed_total", "", "Paths that could not be opened")           \
    X(PATHS_OPEN, GAUGE, "paths", "", "Paths open now")                                            \
    X(PORTS_USED, GAUGE, "ports", "state=\"used\"", "Relay ports, by state")                       \
    X(PORTS_FREE, GAUGE, "ports", "state=\"free\"", "")                                            \
    X(PORTS_QUARANTINED, GAUGE, "ports", "state=\"quarantined\"", "")                              \
    X(FASTPATH_ON, GAUGE, "fastpath", "", "1 while the kernel may forward (relay.fastpath)")       \
    X(FASTPATH_INTERFACES, GAUGE, "fastpath_interfaces", "",                                       \
      "Interfaces on which the kernel forwards")                                                   \
    X(FASTPATH_PACKETS, COUNTER, "fastpath_packets_total", "",                                     \
      "Datagrams forwarded by the kernel; packets_received_total and its like do not count them, " \
      "turn_packets_total does, up to a minute late")                                              \
    X(FASTPATH_BYTES, COUNTER, "fastpath_bytes_total", "",                                         \
      "Payload bytes forwarded by the kernel")                                                     \
    X(FASTPATH_LIMITED, COUNTER, "fastpath_limited_total", "",                                     \
      "Datagrams that the kernel dropped for a bandwidth limit; the reason bandwidth of "          \
      "drops_total and turn_drops_total has them, too, once the daemon has asked")                 \
    X(FASTPATH_KIND, COUNTER, "fastpath_passed_total", "reason=\"kind\"",                          \
      "Datagrams of flows in the kernel that it left to the daemon, by reason")                    \
    X(FASTPATH_FRAGMENT, COUNTER, "fastpath_passed_total", "reason=\"fragment\"", "")              \
    X(FASTPATH_LENGTH, COUNTER, "fastpath_passed_total", "reason=\"length\"", "")                  \
    X(FASTPATH_MTU, COUNTER, "fastpath_passed_total", "reason=\"mtu\"", "")                        \
    X(FASTPATH_CHECKSUM, COUNTER, "fastpath_passed_total", "reason=\"checksum\"", "")              \
    X(FASTPATH_TRAIN, COUNTER, "fastpath_passed_total", "reason=\"train\"", "")                    \
    X(FASTPATH_EXPIRED, COUNTER, "fastpath_passed_total", "reason=\"expired\"", "")                \
    X(FASTPATH_ROUTE, COUNTER, "fastpath_passed_total", "reason=\"route\"", "")                    \
    X(FASTPATH_BUSY, COUNTER, "fastpath_passed_total", "reason=\"busy\"", "")                      \
    X(OFFLOADED_PATHS, GAUGE, "fastpath_flows", "of=\"call\"",                                     \
      "Flows that the kernel forwards now: two for a path of a call, two for a TURN channel")      \
    X(OFFLOADED_TURN, GAUGE, "fastpath_flows", "of=\"turn\"", "")                                  \
    X(OFFLOAD_REFUSED_PATHS, COUNTER, "fastpath_refused_total", "of=\"call\"",                     \
      "Times that the kernel would not take a flow")                                               \
    X(OFFLOAD_REFUSED_TURN, COUNTER, "fastpath_refused_total", "of=\"turn\"", "")                  \
    X(CALLS_OPENED, COUNTER, "calls_opened_total", "door=\"addressed\"", "Calls opened, by door")  \
    X(CHANNELS_OPENED, COUNTER, "calls_opened_total", "door=\"channel\"", "")                      \
    X(DIVERTED_OPENED, COUNTER, "calls_opened_total", "door=\"diverted\"", "")                     \
    X(CALLS_REFUSED_TOTAL, COUNTER, "calls_refused_total", "limit=\"calls\"",                      \
      "Calls refused, by the limit that was met")                                                  \
    X(CALLS_REFUSED_PER_JID, COUNTER, "calls_refused_total", "limit=\"calls_per_user\"", "")       \
    X(CALLS_REFUSED_RATE, COUNTER, "calls_refused_total", "limit=\"new_calls_per_minute\"", "")    \
    X(CALLS_REFUSED_PORTS, COUNTER, "calls_refused_total", "limit=\"ports\"", "")                  \
    X(CALLS_REFUSED_MEMORY, COUNTER, "calls_refused_total", "limit=\"memory\"", "")                \
    X(CALLS_REFUSED_DRAIN, COUNTER, "calls_refused_total", "limit=\"draining\"", "")               \
    X(CALLS_REFUSED_LOAD, COUNTER, "calls_refused_total", "limit=\"load\"", "")                    \
    X(CALLS_REFUSED_BANDWIDTH, COUNTER, "calls_refused_total", "limit=\"bandwidth\"", "")          \
    X(CALLS_REFUSED_DESCRIPTORS, COUNTER, "calls_refused_total", "limit=\"descriptors\"", "")      \
    X(CALLS_SETUP, GAUGE, "calls", "door=\"addressed\",state=\"setup\"", "Calls now, by state")    \
    X(CALLS_RINGING, GAUGE, "calls", "door=\"addressed\",state=\"ringing\"", "")                   \
    X(CALLS_ACTIVE, GAUGE, "calls", "door=\"addressed\",state=\"active\"", "")                     \
    X(CHANNELS_SETUP, GAUGE, "calls", "door=\"channel\",state=\"setup\"", "")                      \
    X(CHANNELS_RINGING, GAUGE, "calls", "door=\"channel\",state=\"ringing\"", "")                  \
    X(CHANNELS_ACTIVE, GAUGE, "calls", "door=\"channel\",state=\"active\"", "")                    \
    X(DIVERTED_SETUP, GAUGE, "calls", "door=\"diverted\",state=\"setup\"", "")                     \
    X(DIVERTED_RINGING, GAUGE, "calls", "door=\"diverted\",state=\"ringing\"", "")                 \
    X(DIVERTED_ACTIVE, GAUGE, "calls", "door=\"diverted\",state=\"active\"", "")                   \
    X(CALLS_MEASURED, GAUGE, "calls_measured", "",                                                 \
      "Calls now that have begun to carry media, or have shown that they need no relay")           \
    X(ROOM_CALLS, GAUGE, "calls_room_least", "",                                                   \
      "So many more calls are taken: the least of jingle_relay_calls_room")                        \
    X(ROOM_CALLS_NUMBER, GAUGE, "calls_room", "bound=\"number\"",                                  \
      "Room for so many more calls, by what bounds it; 1000000: nothing does")                     \
    X(ROOM_CALLS_LOAD, GAUGE, "calls_room", "bound=\"load\"", "")                                  \
    X(ROOM_CALLS_BANDWIDTH, GAUGE, "calls_room", "bound=\"bandwidth\"", "")                        \
    X(ROOM_CALLS_PORTS, GAUGE, "calls_room", "bound=\"ports\"", "")                                \
    X(ROOM_CALLS_DESCRIPTORS, GAUGE, "calls_room", "bound=\"descriptors\"", "")                    \
    X(ROOM_TURN, GAUGE, "turn_allocations_room_least", "",                                         \
      "So many more TURN allocations are taken")                                                   \
    X(ROOM_TURN_NUMBER, GAUGE, "turn_allocations_room", "bound=\"number\"",                        \
      "Room for so many more TURN allocations, by what bounds it; 1000000: nothing does")          \
    X(ROOM_TURN_LOAD, GAUGE, "turn_allocations_room", "bound=\"load\"", "")                        \
    X(ROOM_TURN_BANDWIDTH, GAUGE, "turn_allocations_room", "bound=\"bandwidth\"", "")              \
    X(ROOM_TURN_PORTS, GAUGE, "turn_allocations_room", "bound=\"ports\"", "")                      \
    X(ROOM_TURN_DESCRIPTORS, GAUGE, "turn_allocations_room", "bound=\"descriptors\"", "")          \
    X(LOAD_PERCENT, GAUGE, "load_percent", "",                                                     \
      "Load of the busiest worker or core, as limits.load has it")                                 \
    X(BANDWIDTH, GAUGE, "bandwidth_bits_per_second", "",                                           \
      "Payload sent, as limits.bandwidth has it")                                                  \
    X(STANZAS_IQ, COUNTER, "stanzas_received_total", "kind=\"iq\"", "Stanzas received, by kind")   \
    X(STANZAS_MESSAGE, COUNTER, "stanzas_received_total", "kind=\"message\"", "")                  \
    X(STANZAS_PRESENCE, COUNTER, "stanzas_received_total", "kind=\"presence\"", "")                \
    X(STANZAS_SENT, COUNTER, "stanzas_sent_total", "", "Stanzas sent")                             \
    X(STANZAS_REFUSED, COUNTER, "stanza_errors_total", "cause=\"refused\"",                        \
      "Stanzas answered with an error or dropped, by cause")                                       \
    X(STANZAS_MALFORMED, COUNTER, "stanza_errors_total", "cause=\"malformed\"", "")                \
    X(STANZAS_UNKNOWN, COUNTER, "stanza_errors_total", "cause=\"unknown_request\"", "")            \
    X(STANZAS_LATE, COUNTER, "stanza_errors_total", "cause=\"late_answer\"", "")                   \
    X(STANZAS_TIMEOUT, COUNTER, "stanza_errors_total", "cause=\"no_answer\"", "")                  \
    X(DIVERT_SENT_ON, COUNTER, "diverted_stanzas_total", "result=\"sent_on\",reason=\"\"",         \
      "Stanzas that servers have diverted, by what became of them and why they were not changed")  \
    X(DIVERT_ANSWERED, COUNTER, "diverted_stanzas_total", "result=\"answered\",reason=\"\"", "")   \
    X(DIVERT_PASSED_NOTHING_TO_ADD, COUNTER, "diverted_stanzas_total",                             \
      "result=\"passed\",reason=\"nothing_to_add\"", "")                                           \
    X(DIVERT_PASSED_UNKNOWN_SESSION, COUNTER, "diverted_stanzas_total",                            \
      "result=\"passed\",reason=\"unknown_session\"", "")                                          \
    X(DIVERT_PASSED_TRANSPORT, COUNTER, "diverted_stanzas_total",                                  \
      "result=\"passed\",reason=\"transport\"", "")                                                \
    X(DIVERT_PASSED_LIMIT, COUNTER, "diverted_stanzas_total",                                      \
      "result=\"passed\",reason=\"limit\"", "")                                                    \
    X(DIVERT_PASSED_PORTS, COUNTER, "diverted_stanzas_total",                                      \
      "result=\"passed\",reason=\"ports\"", "")                                                    \
    X(DIVERT_PASSED_MEMORY, COUNTER, "diverted_stanzas_total",                                     \
      "result=\"passed\",reason=\"memory\"", "")                                                   \
    X(DIVERT_PASSED_MALFORMED, COUNTER, "diverted_stanzas_total",                                  \
      "result=\"passed\",reason=\"malformed\"", "")                                                \
    X(DIVERT_PASSED_OUT_OF_ORDER, COUNTER, "diverted_stanzas_total",                               \
      "result=\"passed\",reason=\"out_of_order\"", "")                                             \
    X(DIVERT_PASSED_LATE, COUNTER, "diverted_stanzas_total", "result=\"passed\",reason=\"late\"",  \
      "")                                                                                          \
    X(DIVERT_PASSED_SESSION_ENDED, COUNTER, "diverted_stanzas_total",                              \
      "result=\"passed\",reason=\"session_ended\"", "")                                            \
    X(DIVERT_FORBIDDEN, COUNTER, "diverted_requests_refused_total", "",                            \
      "Requests to divert from who is no served domain, or about users of another")                \
    X(CONN_TCP, GAUGE, "connections", "transport=\"tcp\"",                                         \
      "Connections of TURN clients now, by transport")                                             \
    X(CONN_TLS, GAUGE, "connections", "transport=\"tls\"", "")                                     \
    X(CONN_DTLS, GAUGE, "connections", "transport=\"dtls\"", "")                                   \
    X(CONN_BYTES_OUT, COUNTER, "connections_sent_bytes_total", "",                                 \
      "Bytes sent to TURN clients over TCP and TLS")                                               \
    X(CONN_OPENED, COUNTER, "connections_opened_total", "",                                        \
      "Connections of TURN clients accepted (DTLS: after the cookie)")                             \
    X(CONN_CLOSED_PEER, COUNTER, "connections_closed_total", "cause=\"peer\"",                     \
      "Connections of TURN clients ended or refused, by cause")                                    \
    X(CONN_CLOSED_ERROR, COUNTER, "connections_closed_total", "cause=\"network_error\"", "")       \
    X(CONN_CLOSED_SELF, COUNTER, "connections_closed_total", "cause=\"server\"", "")               \
    X(CONN_CLOSED_LIMIT, COUNTER, "connections_closed_total", "cause=\"connections\"", "")         \
    X(CONN_CLOSED_SOURCE, COUNTER, "connections_closed_total", "cause=\"per_source\"", "")         \
    X(CONN_CLOSED_HALF_OPEN, COUNTER, "connections_closed_total", "cause=\"half_open\"", "")       \
    X(CONN_CLOSED_UNPROVED, COUNTER, "connections_closed_total", "cause=\"not_authenticated\"",    \
      "")                                                                                          \
    X(CONN_CLOSED_IDLE, COUNTER, "connections_closed_total", "cause=\"idle\"", "")                 \
    X(CONN_CLOSED_SLOW, COUNTER, "connections_closed_total", "cause=\"slow_frame\"", "")           \
    X(CONN_CLOSED_DEAF, COUNTER, "connections_closed_total", "cause=\"not_reading\"", "")          \
    X(CONN_CLOSED_PROXY, COUNTER, "connections_closed_total", "cause=\"proxy_header\"", "")        \
    X(CONN_CLOSED_TLS, COUNTER, "connections_closed_total", "cause=\"tls\"", "")                   \
    X(CONN_CLOSED_FRAMING, COUNTER, "connections_closed_total", "cause=\"not_turn\"", "")          \
    X(CONN_CLOSED_MEMORY, COUNTER, "connections_closed_total", "cause=\"memory\"", "")             \
    X(TURN_ALLOCATIONS, GAUGE, "turn_allocations", "", "TURN allocations now")                     \
    X(TURN_ENDED_CLIENT, COUNTER, "turn_allocations_ended_total", "cause=\"client\"",              \
      "TURN allocations ended, by cause")                                                          \
    X(TURN_ENDED_EXPIRED, COUNTER, "turn_allocations_ended_total", "cause=\"expired\"", "")        \
    X(TURN_ENDED_GONE, COUNTER, "turn_allocations_ended_total", "cause=\"connection_gone\"", "")   \
    X(TURN_ENDED_SERVER, COUNTER, "turn_allocations_ended_total", "cause=\"server\"", "")          \
    X(TURN_BINDING, COUNTER, "turn_requests_total", "method=\"binding\"",                          \
      "STUN and TURN requests received, by method")                                                \
    X(TURN_BINDING_OLD, COUNTER, "turn_requests_total", "method=\"binding_rfc3489\"", "")          \
    X(TURN_ALLOCATE, COUNTER, "turn_requests_total", "method=\"allocate\"", "")                    \
    X(TURN_REFRESH, COUNTER, "turn_requests_total", "method=\"refresh\"", "")                      \
    X(TURN_CREATE_PERMISSION, COUNTER, "turn_requests_total", "method=\"create_permission\"", "")  \
    X(TURN_CHANNEL_BIND, COUNTER, "turn_requests_total", "method=\"channel_bind\"", "")            \
    X(TURN_CONNECT, COUNTER, "turn_requests_total", "method=\"connect\"", "")                      \
    X(TURN_CONNECTION_BIND, COUNTER, "turn_requests_total", "method=\"connection_bind\"", "")      \
    X(TURN_SUCCESS, COUNTER, "turn_responses_total", "code=\"success\"",                           \
      "STUN and TURN requests answered, by result")                                                \
    X(TURN_400, COUNTER, "turn_responses_total", "code=\"400\"", "")                               \
    X(TURN_401, COUNTER, "turn_responses_total", "code=\"401\"", "")                               \
    X(TURN_403, COUNTER, "turn_responses_total", "code=\"403\"", "")                               \
    X(TURN_405, COUNTER, "turn_responses_total", "code=\"405\"", "")                               \
    X(TURN_420, COUNTER, "turn_responses_total", "code=\"420\"", "")                               \
    X(TURN_437, COUNTER, "turn_responses_total", "code=\"437\"", "")                               \
    X(TURN_438, COUNTER, "turn_responses_total", "code=\"438\"", "")                               \
    X(TURN_440, COUNTER, "turn_responses_total", "code=\"440\"", "")                               \
    X(TURN_441, COUNTER, "turn_responses_total", "code=\"441\"", "")                               \
    X(TURN_442, COUNTER, "turn_responses_total", "code=\"442\"", "")                               \
    X(TURN_443, COUNTER, "turn_responses_total", "code=\"443\"", "")                               \
    X(TURN_446, COUNTER, "turn_responses_total", "code=\"446\"", "")                               \
    X(TURN_447, COUNTER, "turn_responses_total", "code=\"447\"", "")                               \
    X(TURN_486, COUNTER, "turn_responses_total", "code=\"486\"", "")                               \
    X(TURN_500, COUNTER, "turn_responses_total", "code=\"500\"", "")                               \
    X(TURN_508, COUNTER, "turn_responses_total", "code=\"508\"", "")                               \
    X(TURN_AUTH_NONE, COUNTER, "turn_auth_failures_total", "reason=\"no_credentials\"",            \
      "TURN requests not authenticated, by reason; the first of every client has no credentials")  \
    X(TURN_AUTH_INCOMPLETE, COUNTER, "turn_auth_failures_total", "reason=\"incomplete\"", "")      \
    X(TURN_AUTH_ALGORITHM, COUNTER, "turn_auth_failures_total", "reason=\"password_algorithm\"",   \
      "")                                                                                          \
    X(TURN_AUTH_USER, COUNTER, "turn_auth_failures_total", "reason=\"unknown_user\"", "")          \
    X(TURN_AUTH_EXPIRED, COUNTER, "turn_auth_failures_total", "reason=\"expired\"", "")            \
    X(TURN_AUTH_INTEGRITY, COUNTER, "turn_auth_failures_total", "reason=\"wrong_password\"", "")   \
    X(TURN_AUTH_NONCE, COUNTER, "turn_auth_failures_total", "reason=\"stale_nonce\"", "")          \
    X(TURN_TO_PEER_PACKETS, COUNTER, "turn_packets_total", "direction=\"to_peer\"",                \
      "Datagrams relayed by TURN, by direction")                                                   \
    X(TURN_TO_CLIENT_PACKETS, COUNTER, "turn_packets_total", "direction=\"to_client\"", "")        \
    X(TURN_TO_PEER_BYTES, COUNTER, "turn_bytes_total", "direction=\"to_peer\"",                    \
      "Payload bytes relayed by TURN, by direction")                                               \
    X(TURN_TO_CLIENT_BYTES, COUNTER, "turn_bytes_total", "direction=\"to_client\"", "")            \
    X(TURN_BY_KERNEL_PACKETS, COUNTER, "turn_packets_by_kernel_total", "",                         \
      "Of turn_packets_total, those that the kernel forwarded; up to a minute late")               \
    X(TURN_PEER_CONNECTIONS, GAUGE, "turn_peer_connections", "",                                   \
      "TCP connections between TURN clients and peers now, joined or not (RFC 6062)")              \
    X(TURN_PEER_CONNECTIONS_REFUSED, COUNTER, "turn_peer_connections_refused_total", "",           \
      "Connections of peers that were closed at once: no permission, or too many")                 \
    X(TURN_STREAM_TO_PEER_BYTES, COUNTER, "turn_stream_bytes_total", "direction=\"to_peer\"",      \
      "Bytes relayed between TCP connections, by direction")                                       \
    X(TURN_STREAM_TO_CLIENT_BYTES, COUNTER, "turn_stream_bytes_total", "direction=\"to_client\"",  \
      "")                                                                                          \
    X(TURN_DROP_MALFORMED, COUNTER, "turn_drops_total", "reason=\"malformed\"",                    \
      "Messages and datagrams that TURN did not answer or relay, by reason")                       \
    X(TURN_DROP_UNEXPECTED, COUNTER, "turn_drops_total", "reason=\"unexpected\"", "")              \
    X(TURN_DROP_UNANSWERED, COUNTER, "turn_drops_total", "reason=\"answers_limit\"", "")           \
    X(TURN_DROP_AMPLIFIER, COUNTER, "turn_drops_total", "reason=\"amplifier\"", "")                \
    X(TURN_DROP_NO_ALLOCATION, COUNTER, "turn_drops_total", "reason=\"no_allocation\"", "")        \
    X(TURN_DROP_NO_CHANNEL, COUNTER, "turn_drops_total", "reason=\"no_channel\"", "")              \
    X(TURN_DROP_NO_PERMISSION, COUNTER, "turn_drops_total", "reason=\"no_permission\"", "")        \
    X(TURN_DROP_FORBIDDEN, COUNTER, "turn_drops_total", "reason=\"forbidden_peer\"", "")           \
    X(TURN_DROP_BANDWIDTH, COUNTER, "turn_drops_total", "reason=\"bandwidth\"", "")                \
    X(TURN_DROP_AWAY, COUNTER, "turn_drops_total", "reason=\"client_away\"", "")                   \
    X(TURN_DROP_TOO_LONG, COUNTER, "turn_drops_total", "reason=\"too_long\"", "")                  \
    X(TURN_DROP_BUSY, COUNTER, "turn_drops_total", "reason=\"worker_busy\"", "")                   \
    X(TURN_DROP_SEND_ERROR, COUNTER, "turn_drops_total", "reason=\"send_error\"", "")              \
    X(CREDENTIALS_COMPONENT, COUNTER, "credentials_given_total", "door=\"component\"",             \
      "TURN credentials given to clients that asked, or were due for new ones, by door")           \
    X(CREDENTIALS_DELEGATED, COUNTER, "credentials_given_total", "door=\"delegated\"", "")         \
    X(CREDENTIALS_PUSHED, COUNTER, "credentials_given_total", "door=\"push\"", "")                 \
    X(CREDENTIALS_STRANGER, COUNTER, "credentials_refused_total", "reason=\"not_served\"",         \
      "Questions for TURN services refused, by reason")                                            \
    X(CREDENTIALS_UNTRUSTED, COUNTER, "credentials_refused_total", "reason=\"not_delegated\"", "") \
    X(PUSH_LISTENERS, GAUGE, "credential_listeners", "",                                           \
      "Clients of which presence or a question is known, for pushes of new credentials")           \
    X(PUSH_FAILED, COUNTER, "credential_pushes_failed_total", "reason=\"refused\"",                \
      "Pushes of new credentials that failed or had no room in the list of listeners")             \
    X(PUSH_NO_ROOM, COUNTER, "credential_pushes_failed_total", "reason=\"no_room\"", "")           \
    X(DELEGATIONS, COUNTER, "delegations_total", "",                                               \
      "Namespaces that a server has said it delegates to the component")                           \
    X(COMPONENT_UP, GAUGE, "component_connected", "", "1 while joined to the XMPP server")         \
    X(COMPONENT_CONNECTS, COUNTER, "component_connects_total", "", "Times joined the XMPP server") \
    X(RESTARTS, COUNTER, "restarts_total", "",                                                     \
      "Restarts that handed over calls and allocations, since the last cold start")                \
    X(RESTART_CALLS_KEPT, GAUGE, "restart_calls", "result=\"kept\"",                               \
      "Calls that the last restart found running, by what became of them")                         \
    X(RESTART_CALLS_LOST, GAUGE, "restart_calls", "result=\"lost\"", "")                           \
    X(RESTART_ALLOCATIONS_KEPT, GAUGE, "restart_allocations", "result=\"kept\"",                   \
      "TURN allocations that the last restart found running, by what became of them")              \
    X(RESTART_ALLOCATIONS_LOST, GAUGE, "restart_allocations", "result=\"lost\"", "")               \
    X(RESTART_DEAF_MS, GAUGE, "restart_deaf_milliseconds", "",                                     \
      "For how long packets waited at the last restart, since nobody listened")                    \
    X(CONTROL_REQUESTS, COUNTER, "control_requests_total", "", "Requests at the control socket")   \
    X(CONTROL_REFUSED, COUNTER, "control_errors_total", "",                                        \
      "Of them, and of connections there, those that were answered with an error")                 \
    X(ECHO_CALLS, GAUGE, "echo_calls", "", "Calls to the test partner now")                        \
    X(ECHO_TAKEN, COUNTER, "echo_calls_total", "result=\"taken\"",                                 \
      "Calls to the test partner, by whether they were taken")                                     \
    X(ECHO_TURNED_AWAY, COUNTER, "echo_calls_total", "result=\"refused\"", "")                     \
    X(ECHO_PACKETS, COUNTER, "echo_packets_total", "",                                             \
      "RTP packets that the test partner has returned")                                            \
    X(ECHO_DTLS, COUNTER, "echo_handshakes_total", "",                                             \
      "DTLS handshakes of the test partner that gave keys")                                        \
    X(ECHO_REFUSED, COUNTER, "echo_drops_total", "reason=\"not_proved\"",                          \
      "Datagrams to the test partner that were not taken, by reason")                              \
    X(ECHO_LIMITED, COUNTER, "echo_drops_total", "reason=\"bandwidth\"", "")                       \
    X(LOG_SUPPRESSED, GAUGE, "log_suppressed", "",                                                 \
      "Log records not written since the start, for there were too many of their kind")            \
    X(SELFTEST_RUNS, COUNTER, "selftest_runs_total", "", "Times the daemon has tested itself")     \
    X(SELFTEST_OK, GAUGE, "selftest_ok", "",                                                       \
      "1 if the last self-test found nothing wrong; of no meaning before the first")               \
    X(SELFTEST_WRONG, GAUGE, "selftest_findings", "",                                              \
      "What the last self-test found wrong: jingle-relayctl doctor says more")                     \
    X(RELOADS, COUNTER, "reloads_total", "result=\"applied\"",                                     \
      "Times the configuration was read again, by what came of it")                                \
    X(RELOADS_FAILED, COUNTER, "reloads_total", "result=\"failed\"", "")                           \
    X(DRAINING, GAUGE, "draining", "", "1 while no new calls are taken")                           \
    X(WATCHERS, GAUGE, "watchers", "", "Pages that are told how the daemon does, now")             \
    X(WATCHERS_REFUSED, COUNTER, "watchers_refused_total", "",                                     \
      "Pages that were not, because there were too many")                                          \
    X(ADMIN_DONE, COUNTER, "admin_commands_total", "result=\"done\"",                              \
      "Commands of administrators over XMPP (XEP-0050), by what came of them")                     \
    X(ADMIN_FAILED, COUNTER, "admin_commands_total", "result=\"failed\"", "")                      \
    X(ADMIN_FORBIDDEN, COUNTER, "admin_commands_total", "result=\"forbidden\"", "")                \
    X(ADMIN_LIMIT, COUNTER, "admin_commands_total", "result=\"limit\"", "")                        \
    X(RECORDS_WRITTEN, COUNTER, "records_total", "result=\"written\"",                             \
      "Records of calls and allocations that are over (log.records), by what came of them")        \
    X(RECORDS_LOST, COUNTER, "records_total", "result=\"lost\"", "")                               \
    X(WORKER_BUSY_USEC, COUNTER, "worker_busy_microseconds_total", "",                             \
      "Time that workers spent on packets and orders")                                             \
    X(WORKER_WAKEUPS, COUNTER, "worker_wakeups_total", "", "Bursts handled by workers")

#define X(id, type, name, labels, help) COUNTER_##id,
enum counter { COUNTER_TABLE(X) COUNTER_COUNT };
#undef X

enum counter_type { COUNTER_TYPE_COUNTER, COUNTER_TYPE_GAUGE };

struct counter_row {
    const char *name;   // metric name, without the prefix
    const char *labels; // Prometheus label list without braces, or ""
    const char *help;   // "" on the later rows of a metric
    enum counter_type type;
};

extern const struct counter_row counter_rows[COUNTER_COUNT];

struct counters {
    _Atomic uint64_t value[COUNTER_COUNT];
};

static inline void counter_add(struct counters *c, enum counter id, uint64_t n)
{
    uint64_t v = atomic_load_explicit(&c->value[id], memory_order_relaxed);
    atomic_store_explicit(&c->value[id], v + n, memory_order_relaxed);
}

static inline void counter_set(struct counters *c, enum counter id, uint64_t v)
{
    atomic_store_explicit(&c->value[id], v, memory_order_relaxed);
}

static inline uint64_t counter_get(const struct counters *c, enum counter id)
{
    return atomic_load_explicit(&c->value[id], memory_order_relaxed);
}
