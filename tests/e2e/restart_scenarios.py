# SPDX-License-Identifier: ISC
"""Restarts of the daemon under calls and TURN allocations: nothing ends, and what was lost is
counted. Nobody's clock is measured: how long it took is in the figures, not in the verdict.
"""

from lab.call import require
from lab.succession import SuccessionLab, TurnSuccessionLab
from lab.turn import PEER4, PEER_PORT, Endpoint
from scenarios import AUDIO, BOTH, carry, ends

SCENARIOS = {}
RESTARTS = ("restart", "take_over")  # of the daemon: by its manager, and by its successor


def scenario(**options):
    """Registers a function as a scenario; options are those of the lab."""
    def register(function):
        SCENARIOS["restart-" + function.__name__.replace("_", "-")] = (function, options)
        return function
    return register


def run(name, daemon, logs=None):
    function, options = SCENARIOS[name]
    lab_class = options.get("lab", SuccessionLab)
    options = {key: value for key, value in options.items() if key != "lab"}
    with lab_class(daemon, logs=logs, **options) as lab:
        figures = function(lab)
        status = lab.daemon.stop()
        require(status == 0, f"the daemon ended with status {status}")
        return figures


def restart_figures(lab):
    """What the running daemon says of the restart that it began with."""
    metrics = lab.daemon.metrics()
    return {"restarts": int(metrics["restarts_total"]),
            "deaf_ms": int(metrics["restart_deaf_milliseconds"]),
            "calls_kept": int(metrics['restart_calls{result="kept"}']),
            "calls_lost": int(metrics['restart_calls{result="lost"}']),
            "allocations_kept": int(metrics['restart_allocations{result="kept"}']),
            "allocations_lost": int(metrics['restart_allocations{result="lost"}'])}


def lost(call):
    """Packets of media lost so far, all clients and kinds together."""
    return sum(stats["in"].get(kind, {}).get("lost", 0)
               for stats in call.stats() for kind in call.kinds)


def goes_on(lab, call, how):
    """Restarts the daemon under a call; requires that it is the same call still, and carried."""
    before, missing = call.relay(), lost(call)
    getattr(lab.daemon, how)()
    call.keep_flowing(3)
    for client, stats in zip(call.both, call.stats()):
        require(not stats["ended"], f"the call ended for {client.user}: {stats['ended']}")
    after, figures = call.carried(), restart_figures(lab)
    require(after["id"] == before["id"], f"the call {before['id']} became {after['id']}")
    ports = [[path[side]["ports"] for side in ("initiator", "responder")]
             for view in (before, after) for path in view["paths"]]
    half = len(ports) // 2
    require(ports[:half] == ports[half:], f"ports before and after: {ports}")
    require(figures["calls_kept"] == 1 and figures["calls_lost"] == 0, f"restarted: {figures}")
    return {**figures, "packets_lost": lost(call) - missing}


@scenario(ice_ports="dedicated")
def idle(lab):
    """Nobody calls: the sockets alone. A successor that cannot start takes nothing away."""
    lab.daemon.restart()
    lab.daemon.take_over()
    return restart_figures(lab)


def _under_a_call(lab, a, b, kinds):
    call, figures = carry(lab, a, b, kinds)
    return call, {**figures, **{how: goes_on(lab, call, how) for how in RESTARTS}}


@scenario(ice_ports="dedicated")
def under_a_call(lab):
    """A bundle on ports of its own. After two restarts ICE restarts as ever, the call ends as ever,
    and there is a next one."""
    call, figures = _under_a_call(lab, "chromium", "wrtc", BOTH)
    call.alice.ask("restart")
    call.keep_flowing(3)
    ends(call, figures)
    call.close()
    return ends(carry(lab, "chromium", "wrtc", BOTH)[0], figures)


@scenario()
def under_a_call_on_the_shared_port(lab):
    """And a successor that cannot start takes nothing away, neither from a daemon that runs nor from
    what the manager keeps."""
    call, figures = _under_a_call(lab, "wrtc", "aiortc", AUDIO)
    figures["restart_fails"] = goes_on(lab, call, "restart_fails")
    lab.daemon.take_over_fails()
    call.keep_flowing(3)
    require(call.carried(), "the call is not carried by the old daemon")
    return ends(call, figures)


@scenario(ice_ports="dedicated")
def with_other_workers(lab):
    """A call lives on its worker: there are as many as before until nobody calls."""
    figures = {}
    for before, after in ((2, 1), (1, 2)):
        lab.daemon.set_workers(before)
        lab.daemon.restart()
        require(lab.daemon.workers() == before, f"{lab.daemon.workers()} workers, not {before}")
        call, _ = carry(lab, "wrtc", "aiortc", AUDIO)
        lab.daemon.set_workers(after)
        for how in RESTARTS:
            figures[f"{before}-{after}-{how}"] = goes_on(lab, call, how)
            require(lab.daemon.workers() == before, f"{lab.daemon.workers()} workers under a call")
        ends(call, figures)
        call.close()
        lab.daemon.restart()
        require(lab.daemon.workers() == after, f"{lab.daemon.workers()} workers, not {after}")
    return figures


@scenario(lab=TurnSuccessionLab)
def to_an_older_release(lab):
    """What the daemon before has left is of a version that is too new: the start is a cold one, the
    log says why, and what is kept is not tried again."""
    alice = Endpoint(lab)
    require("error" not in alice.allocate("before"), "no allocation")
    lab.daemon.restart_of_a_newer_version()
    metrics = lab.daemon.metrics()
    require(metrics["restarts_total"] == 0, f"{metrics['restarts_total']} restarts")
    require("of a version that this daemon does not know; this is a cold start"
            in lab.log(), "the log does not say why")
    answer = alice.ask("refresh", name="before")
    require("error" in answer, f"refresh: {answer}")
    require("error" not in alice.allocate("after"), "no allocation afterwards")
    echoed = alice.echo("after")
    lab.daemon.restart()
    figures = restart_figures(lab)
    require(figures["allocations_kept"] == 1 and figures["restarts"] == 1, f"restarted: {figures}")
    return {**figures, "echoed": echoed + alice.echo("after")}


@scenario(lab=TurnSuccessionLab)
def under_allocations(lab):
    """Allocations of UDP clients go on: while packets are on their way, afterwards, and when they are
    refreshed with the nonce of the daemon before. Those of TCP clients end. Starts that fail in between
    change nothing, and tell of no end."""
    alice, names = Endpoint(lab), [f"udp{i}" for i in range(4)]
    for name in names:
        answer = alice.allocate(name)
        require("error" not in answer, f"{name}: {answer}")
    require("error" not in alice.allocate("tcp", transport="tcp"), "no allocation over TCP")
    alice.echo(*names, "tcp")
    restarts = {}
    for how in (*RESTARTS, "restart_fails"):
        before = {name: alice.ask("received", name=name)["count"] for name in names}
        sending = [alice.client.post("send", name=name, peer=(PEER4, PEER_PORT), count=200,
                                     pause=0.01) for name in names]
        getattr(lab.daemon, how)()
        for number in sending:
            alice.client.take(number)
        echoed = alice.echo(*names)
        lost = {name: 240 + before[name] - alice.ask("received", name=name)["count"]
                for name in names}
        restarts[how] = {**restart_figures(lab), "packets_lost": lost}
        require(restarts[how]["allocations_kept"] == len(names), f"{how}: {restarts[how]}")
        for name in names:
            answer = alice.ask("refresh", name=name)
            require(answer.get("lifetime"), f"refresh of {name}: {answer}")
    with open(f"{lab.directory}/jingle-relayd-wrong.log", encoding="utf-8") as file:
        require("allocation ended" not in file.read(), "a start that failed has told of ends")
    with open(f"{lab.directory}/jingle-relayd.log", encoding="utf-8") as file:
        ended = [line for line in file if "allocation ended" in line]
    require(len(ended) <= 1, f"not only that over TCP is said to have ended: {ended}")
    require("error" not in alice.allocate("next"), "no allocation after the restarts")
    return {**restarts, "echoed": echoed + alice.echo("next")}
