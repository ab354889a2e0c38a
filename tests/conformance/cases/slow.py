# SPDX-License-Identifier: ISC
"""What takes minutes: lifetimes of permissions and channels. Not run unless asked for."""

import time

import stun
from client import require, show
import suite

from .channels import bound
from .data import ready

case = suite.group("slow", "Lifetimes (minutes)")

PERMISSION, CHANNEL = 300, 600  # seconds
EARLY, LATE = 15, 20            # for servers that look at the clock now and then


def until(start, seconds):
    time.sleep(max(0, start + seconds - time.monotonic()))


def lets_in(bench, client, peer):
    peer.send(b"anybody?", client.relayed[0])
    return client.receive_data(2 * bench.timing.quiet) is not None


def lets_out(bench, client, peer):
    client.send(peer.address, b"anybody?")
    return peer.receive(2 * bench.timing.quiet)[0] is not None


def expired(bench, client, peer, start):
    until(start, PERMISSION + LATE)
    require(not lets_in(bench, client, peer), f"a datagram came in after {PERMISSION + LATE} s")
    require(not lets_out(bench, client, peer), f"a datagram went out after {PERMISSION + LATE} s")


@case("8656-9-10", "MUST", "A permission lasts 300 seconds: it is there before, and not "
      "after.", slow=True)
def permission(bench):
    client, peer = ready(bench)
    start = time.monotonic()
    until(start, PERMISSION - EARLY)
    require(lets_in(bench, client, peer), f"gone after {PERMISSION - EARLY} s")
    expired(bench, client, peer, start)


@case("8656-9-11", "RULE", "CreatePermission starts the 300 seconds of a permission "
      "anew.", slow=True)
def renewed(bench):
    client, peer = ready(bench)
    start = time.monotonic()
    until(start, 200)
    client.permit(peer.address)
    until(start, 200 + PERMISSION - EARLY)
    require(lets_in(bench, client, peer), f"gone {PERMISSION - EARLY} s after it was renewed")


@case("8656-9-12", "RULE", "ChannelBind starts the 300 seconds of a permission anew.", slow=True)
def renewed_by_channel(bench):
    client, peer = ready(bench)
    start = time.monotonic()
    until(start, 200)
    client.bind(0x4000, peer.address)
    until(start, 200 + PERMISSION - EARLY)
    require(lets_in(bench, client, peer), f"gone {PERMISSION - EARLY} s after ChannelBind")


@case("8656-11.2-20", "RULE", "Send indications do not refresh a permission.", slow=True)
def send_does_not(bench):
    client, peer = ready(bench)
    start = time.monotonic()
    for at in range(20, PERMISSION, 20):
        until(start, at)
        client.send(peer.address, b"%d" % at)
        bench.arrives(peer, b"%d" % at)
    expired(bench, client, peer, start)


@case("8656-12.6-20", "MUST", "ChannelData does not refresh a permission.", slow=True)
def channel_data_does_not(bench):
    client, peer = bound(bench)
    start = time.monotonic()
    for at in range(20, PERMISSION, 20):
        until(start, at)
        client.channel(0x4000, b"%d" % at)
        bench.arrives(peer, b"%d" % at)
    expired(bench, client, peer, start)


@case("8656-12.6-21", "MUST", "ChannelData does not refresh a channel: it lasts 600 "
      "seconds.", slow=True)
def channel_expires(bench):
    client, peer = bound(bench)
    client.refresh(900)
    start = time.monotonic()
    for at in range(30, CHANNEL + LATE, 30):
        until(start, at)
        client.permit(peer.address)
        client.channel(0x4000, b"%d" % at)
        if at < CHANNEL - EARLY:
            bench.arrives(peer, b"%d" % at)
    until(start, CHANNEL + LATE)
    while peer.receive(bench.timing.quiet)[0] is not None:
        pass
    client.channel(0x4000, b"too late")
    bench.nothing_at(peer, f"ChannelData after {CHANNEL + LATE} s")
    peer.send(b"by indication", client.relayed[0])
    bench.comes_back(client, b"by indication", "after the channel's end, a peer's datagram")


@case("8656-12-10", "RULE", "An expired number and address may be bound anew.", slow=True)
def bound_anew(bench):
    client, peer = bound(bench)
    client.refresh(1500)
    until(time.monotonic(), CHANNEL + PERMISSION + LATE)
    bench.applicable(client.refresh().ok,
                     "the allocation has ended meanwhile: lifetimes are short here")
    client.bind(0x4001, peer.address)
    client.bind(0x4000, bench.peer().address)


@case("8656-6-20", "RULE", "An allocation that is not refreshed ends after its LIFETIME, however "
      "much data it carries.", slow=True)
def allocation_expires(bench):
    client, peer = ready(bench)
    start, lifetime = time.monotonic(), client.lifetime
    bench.applicable(lifetime <= 600, f"the lifetime is {lifetime} s")
    for at in range(50, lifetime - EARLY, 50):
        until(start, at)
        client.permit(peer.address)
        bench.exchange(client, peer, b"%d" % at)
    until(start, lifetime + LATE)
    response = client.request(stun.M.REFRESH)
    client.relayed = []
    require(response.code == 437, f"{show(response)} {LATE} s after the end of the allocation")
