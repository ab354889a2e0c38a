# SPDX-License-Identifier: ISC
"""Candidates of libnice 0.1 with their user names, which its Python bindings read from the wrong
place: NiceAddress is a union of socket addresses, and they take it for a smaller one.
"""

import ctypes

NICE = ctypes.CDLL("libnice.so.10")
GLIB = ctypes.CDLL("libglib-2.0.so.0")


class Candidate(ctypes.Structure):
    """The public part of NiceCandidate (candidate.h)."""
    _fields_ = [("type", ctypes.c_int), ("transport", ctypes.c_int),
                ("addr", ctypes.c_uint32 * 7), ("base_addr", ctypes.c_uint32 * 7),
                ("priority", ctypes.c_uint32), ("stream_id", ctypes.c_uint),
                ("component_id", ctypes.c_uint), ("foundation", ctypes.c_char * 33),
                ("username", ctypes.c_void_p), ("password", ctypes.c_void_p)]


class List(ctypes.Structure):
    """GSList."""


List._fields_ = [("data", ctypes.POINTER(Candidate)), ("next", ctypes.POINTER(List))]

NICE.nice_candidate_new.restype = ctypes.POINTER(Candidate)
NICE.nice_agent_get_local_candidates.restype = ctypes.POINTER(List)
NICE.nice_address_dup_string.restype = ctypes.c_void_p
NICE.nice_address_get_port.restype = ctypes.c_uint
GLIB.g_strdup.restype = ctypes.c_void_p
GLIB.g_slist_append.restype = ctypes.POINTER(List)


def _pointer(agent):
    return ctypes.c_void_p(hash(agent))  # of a GObject that is its address


def _text(pointer):
    return ctypes.string_at(pointer).decode() if pointer else ""


def local_candidates(agent, stream, component):
    """[(address, port, username)]."""
    item = NICE.nice_agent_get_local_candidates(_pointer(agent), stream, component)
    result = []
    while item:
        candidate = item.contents.data.contents
        address = ctypes.byref(candidate.addr)
        result.append((_text(NICE.nice_address_dup_string(address)),
                       NICE.nice_address_get_port(address), _text(candidate.username)))
        item = item.contents.next
    return result  # the list is never freed: there are few


def add_remote_candidate(agent, stream, component, kind, address, port, username, priority):
    new = NICE.nice_candidate_new(int(kind))
    candidate = new.contents
    candidate.transport, candidate.priority = 0, priority  # UDP
    candidate.stream_id, candidate.component_id = stream, component
    NICE.nice_address_set_from_string(ctypes.byref(candidate.addr), address.encode())
    NICE.nice_address_set_port(ctypes.byref(candidate.addr), port)
    candidate.base_addr = candidate.addr
    candidate.username = GLIB.g_strdup(username.encode())
    NICE.nice_agent_set_remote_candidates(_pointer(agent), stream, component,
                                          GLIB.g_slist_append(None, new))
