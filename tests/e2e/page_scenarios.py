# SPDX-License-Identifier: ISC
"""The live page in a real browser, before, during and after a real call: what it shows, that it can
be used by keyboard and read by everybody, that it asks nobody else for anything, and that names in
calls stay text. Screenshots are left beside the daemon, in screenshots/.
"""

import json
import os
import re
import socket
import time

from lab.call import Call, require
from lab.client import Client
from lab.daemon import STATS_PORT
from lab.lab import SERVER4, Lab
from lab.network import wait_for
from lab.scenarios import Scenarios

SCENARIOS = Scenarios(Lab)
scenario, run = SCENARIOS.add, SCENARIOS.run
URL = f"http://127.0.0.1:{STATS_PORT}/"
WATCHERS_MAX = 16  # src/app/watch.h
EVIL = "<img src=x onerror=document.title='evil'>"
SIZES = {"desktop": (1280, 900, False), "desktop-dark": (1280, 900, True),
         "phone": (360, 780, False), "phone-dark": (360, 780, True)}


class Viewer(Client):
    """Somebody before the page."""

    def __init__(self, lab):
        super().__init__(lab.network, "srv", "viewer")
        self.directory = os.path.join(os.path.dirname(lab.daemon.program), "screenshots")
        os.makedirs(self.directory, exist_ok=True)

    def text(self, of):
        return self.ask("text", of=of)

    def evaluate(self, script):
        return self.ask("evaluate", script=script)

    def wait(self, what, of, *words):
        """Waits until all the words stand there; returns the text."""
        last = {}

        def there():
            last["text"] = self.text(of)
            return all(word in last["text"] for word in words)

        try:
            wait_for(what, there, 20)
        except TimeoutError as error:
            raise TimeoutError(f"{what}: {last.get('text')!r}") from error
        return last["text"]

    def fits(self, name):
        """In every size and colour: nothing sticks out, everything can be read; leaves pictures."""
        for look, (width, height, dark) in SIZES.items():
            self.ask("size", width=width, height=height, dark=dark)
            time.sleep(1.5)  # drawings follow with the next event
            self.ask("look", path=f"{self.directory}/{name}-{look}.png")
            wide = self.evaluate("document.scrollingElement.scrollWidth")
            require(wide <= width, f"{name} is {wide} wide on a {look} of {width}")
            for complaint in ("unreadable", "nameless"):
                found = self.ask(complaint)
                require(not found, f"{name} on a {look}: {complaint}: {found}")
        self.ask("size", width=1280, height=900, dark=False)

    def reaches_everything(self):
        """Tab leads to all that can be used, and shows where it is."""
        self.evaluate("document.activeElement.blur()")
        count = self.ask("focus")[0]
        reached = set()
        for _ in range(count + 2):
            self.ask("press", keys=["Tab"])
            _, number, seen = self.ask("focus")
            require(number < 0 or seen, f"the focus on {number} is not visible")
            reached.add(number)
        reached.discard(-1)
        require(len(reached) == count, f"Tab reaches {len(reached)} of {count}")
        return count

    def nothing_wrong(self):
        problems = self.ask("problems")
        require(not problems, f"the page: {problems}")


def _moves(viewer, of):
    """Waits until what stands there changes."""
    before = viewer.text(of)
    wait_for(f"{of} moves on from {before!r}", lambda: viewer.text(of) != before, 10)


def _table(viewer):
    """Sorting and filtering by keyboard."""
    viewer.evaluate("document.querySelector('th.mos button').focus()")
    viewer.ask("press", keys=["Enter"])
    order = viewer.evaluate("document.querySelector('th.mos').ariaSort")
    require(order == "ascending", f"sorted: {order}")
    viewer.evaluate("document.getElementById('filter').focus()")
    viewer.ask("type", text="nobody like this")
    viewer.wait("an empty list", "#empty", "No call fits")
    viewer.ask("press", keys=["Control+a", "Delete"])
    viewer.wait("the call again", "#rows", "alice@example.test")


def _whole(viewer, call, view):
    """What the page of a running call shows is what the daemon says."""
    text = viewer.wait("the call's page", "#call", "Carried", "session-initiate", "session-accept",
                       "first check", "media", "Jitter", "MOS")
    for content in view["contents"]:
        for side in content["candidates_offered"].values():
            for candidate in side:
                require(candidate["address"] in text, f"{candidate} is not shown")
    for path in view["paths"]:
        for side in ("initiator", "responder"):
            selected = [s["address"] for s in path[side]["sources"] if s["selected"]]
            require(selected and selected[0] in text, f"{selected} is not shown")
    require(EVIL in text, f"the responder's resource is not shown as it is: {text[:200]}")
    require(viewer.evaluate("!document.querySelector('img')"), "a name became an element")
    viewer.evaluate("document.querySelector('#call details').open = true")
    steps = viewer.evaluate("document.querySelectorAll('#steps-table tbody tr').length")
    require(steps == len(call.relay()["steps"]), f"{steps} steps are in the table")
    focus = viewer.evaluate("document.activeElement.tagName")
    require(focus == "H1", f"the focus is on {focus}, not on the heading")


def _paths_move_on(viewer):
    """Where the packets go, while somebody reads there by keyboard."""
    viewer.evaluate("document.querySelector('#call .way + details summary').focus()")
    viewer.ask("press", keys=["Enter"])
    _moves(viewer, "#call .way + details dl")
    kept = "document.activeElement.matches('#call .way + details[open] summary')"
    require(viewer.evaluate(kept), "the focus is lost, or what was unfolded is folded")


@scenario(ice_ports="dedicated")
def live_page(lab):
    """A call from its first to its last stanza, on the page."""
    viewer = Viewer(lab)
    viewer.ask("open", url=URL)
    viewer.wait("the overview", "#overview", "Ready, and nobody is calling", "No calls yet", "100")
    call = Call(lab, "wrtc", "aiortc", ["audio", "video"])
    lab.connect(call.alice)
    call.bob.connect(SERVER4, resource=EVIL)
    call.place()
    viewer.wait("the call in the list", "#rows", "alice@example.test", "active")
    viewer.wait("the headline", "#headline", "One call is running")
    wait_for("the call is found to be well",
             lambda: viewer.evaluate("!!document.querySelector('#rows .chip.good')"), 10)
    _moves(viewer, "#pps")
    _moves(viewer, "#rows td.length:nth-of-type(4)")
    tabs = viewer.reaches_everything()
    _table(viewer)
    viewer.fits("overview")
    view = call.carried()
    viewer.evaluate(f"location.hash = '#/call/{view['id']}'")
    _whole(viewer, call, view)
    _paths_move_on(viewer)
    _moves(viewer, "#call .facts span:nth-of-type(3)")
    tabs += viewer.reaches_everything()
    viewer.fits("call")
    call.hangup()
    viewer.wait("the end on the page", "#call", "ended at", "session-terminate", "Carried")
    viewer.evaluate("history.back()")
    viewer.wait("the ended call in the list", "#rows", "ended")
    viewer.wait("the headline", "#headline", "Ready, and nobody is calling")
    viewer.evaluate("location.hash = '#/call/1'")
    viewer.wait("a call that is not known", "#call", "This call is not known")
    viewer.nothing_wrong()
    viewer.close()
    call.close()
    return {"reached_by_tab": tabs}


HIDE = """Object.defineProperty(document, 'hidden', {{value: {}, configurable: true}});
document.dispatchEvent(new Event('visibilitychange'))"""
WIDTH = 284  # of the lines
HIDDEN_SECONDS, GAP_SECONDS = 20, 16  # the daemon's history has a step of 10
LINE = "document.querySelector('#call path.line.one')"
SCALE = f"[...{LINE}.parentNode.querySelectorAll('text[y=\"117\"]')].map(x => x.textContent)"


def _seconds(text):
    """What an end of the time scale says."""
    if text == "first packet":
        return 0
    return sum(int(number) * {"h": 3600, "min": 60, "s": 1}[unit]
               for number, unit in re.findall(r"(\d+) (h|min|s)", text))


def _longest_gap(viewer):
    """In seconds, and the line."""
    line = viewer.evaluate(f"{LINE}.getAttribute('d')")
    start, end = (_seconds(text) for text in viewer.evaluate(SCALE))
    at = [float(x) for x in re.findall(r"[ML]\s*([\d.]+)", line)]
    return max(b - a for a, b in zip(at, at[1:])) / WIDTH * (end - start), line


@scenario()
def page_out_of_sight(lab):
    """Nothing is asked for meanwhile; back in sight the lines have no gap where that was."""
    viewer = Viewer(lab)
    call = Call(lab, "wrtc", "aiortc", ["audio"])
    lab.connect(call.alice)
    lab.connect(call.bob)
    call.place()
    view = wait_for("the call", lambda: call.relay(), 10)
    viewer.ask("open", url=f"{URL}#/call/{view['id']}")
    viewer.wait("the lines", "#call", "Jitter")
    viewer.evaluate(HIDE.format("true"))
    wait_for("nobody watches", lambda: lab.daemon.metrics()["watchers"] == 0, 10)
    call.keep_flowing(HIDDEN_SECONDS)
    viewer.evaluate(HIDE.format("false"))
    wait_for("it watches again", lambda: lab.daemon.metrics()["watchers"] == 1, 10)
    _moves(viewer, "#call .facts span:nth-of-type(3)")
    gap, line = _longest_gap(viewer)
    kept = lab.daemon.json(f"/api/calls/{view['id']}")["history"]
    require(gap < GAP_SECONDS, f"a gap of {gap} s in {line}; kept: {[row[0] for row in kept]}")
    viewer.nothing_wrong()
    viewer.close()
    call.hangup()
    call.close()
    return {"gap_seconds": round(gap)}


# Events come from the test in place of the daemon.
FEED = """window.EventSource = class extends EventTarget {
  constructor() { super(); window.feed = this; }
  close() {}
};
document.dispatchEvent(new Event('visibilitychange'))"""
TELL = "window.feed.dispatchEvent(new MessageEvent('status', {{data: {}}}))"
POINTS = "document.querySelector('#traffic-chart path.line').getAttribute('d')"
CHART_WIDTH = 600


class Teller:
    """Tells the page how a daemon does."""

    def __init__(self, viewer, status, workers):
        self.viewer = viewer
        self.status = {**status, "started": f"a run with {workers} workers"}
        self.workers = workers

    def tell(self, uptime_ms, sent, busy_ms, **more):
        """Totals: bytes sent, and milliseconds that each worker was busy."""
        news = {**self.status, "uptime_ms": uptime_ms,
                "traffic": {**self.status["traffic"], "bytes_sent_total": sent},
                "workers": [{"busy_ms_total": busy_ms}] * self.workers, **more}
        self.viewer.evaluate(TELL.format(json.dumps(json.dumps(news))))

    def shows(self, rate, busy):
        texts = [self.viewer.text(of) for of in ("#rate", "#rate-unit", "#workers")]
        require(texts[0] == rate and texts[1] == "Mbit/s forwarded", f"not {rate}: {texts}")
        require(texts[2].count(busy) == self.workers, f"not {busy} {self.workers} times: {texts}")


@scenario()
def page_rates(lab):
    """Events may come close together, and the daemon may be restarted; and a drain is told as what
    it is."""
    viewer = Viewer(lab)
    viewer.ask("open", url=URL)
    viewer.wait("the overview", "#overview", "Ready, and nobody is calling")
    viewer.evaluate(FEED)
    status = lab.daemon.json("/api/status")
    old, new = Teller(viewer, status, 2), Teller(viewer, status, 1)
    old.tell(600000, 0, 0)
    old.tell(601000, 125000, 200)
    old.shows("1.0", "20 %")
    old.tell(601004, 126000, 204)  # somebody else has opened a page
    old.shows("1.0", "20 %")
    old.tell(601304, 126000, 204)
    old.tell(601604, 276000, 354)  # the rate is not that of a long time
    old.shows("2.0", "25 %")
    new.tell(5, 0, 0)
    new.tell(1005, 125000, 100)
    new.tell(2005, 250000, 200)
    new.shows("1.0", "10 %")
    line = viewer.evaluate(POINTS)
    at = [float(x) for x in re.findall(r"[ML]\s*([\d.]+)", line)]
    require(len(at) == 2 and max(at) <= CHART_WIDTH, f"before the restart: {line}")
    new.tell(3005, 375000, 300, draining=True)
    viewer.wait("the drain", "#health", "No new calls are taken: the relay is being drained")
    viewer.nothing_wrong()
    viewer.close()


# --- without a browser ---

def _connect(path, host="127.0.0.1"):
    connection = socket.create_connection(("127.0.0.1", STATS_PORT), timeout=5)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return connection


def _read_until(connection, pattern, seconds=10):
    """What comes, up to a match of the pattern; without one, all that came."""
    data, end = b"", time.monotonic() + seconds
    while not re.search(pattern, data) and time.monotonic() < end:
        part = connection.recv(65536)
        if not part:
            break
        data += part
    return data


def _crowd():
    """As many as may watch, one more, and somebody under a foreign name."""
    watching = [_connect("/api/events") for _ in range(WATCHERS_MAX)]
    for connection in watching:
        require(b"event: status" in _read_until(connection, b"event: status"), "nothing is told")
    answer = _read_until(_connect("/api/events"), b"\r\n\r\n")
    require(answer.startswith(b"HTTP/1.1 503 "), f"one too many: {answer[:60]}")
    watching.pop().close()
    wait_for("room for another", lambda: _read_until(
        _connect("/api/events"), b"\r\n\r\n").startswith(b"HTTP/1.1 200 "), 5)
    answer = _read_until(_connect("/api/events", "relay.example.com"), b"\r\n\r\n")
    require(answer.startswith(b"HTTP/1.1 421 "), f"DNS rebinding: {answer[:60]}")
    deaf = watching.pop()
    status = rb"event: status\ndata: (.*)\n\n"
    told = json.loads(re.search(status, _read_until(watching[0], status))[1])
    for connection in [*watching, deaf]:
        connection.close()
    return told


@scenario()
def watchers(lab):
    """Who watches is bounded in number, and costs nothing once gone."""
    told = lab.network.inside("srv", _crowd)
    require(told["watchers"] <= WATCHERS_MAX and told["selftest"] is None, f"told: {told}")
    wait_for("all have gone", lambda: lab.daemon.metrics()["watchers"] == 0, 10)
    require(lab.daemon.metrics()["watchers_refused_total"] >= 1, "nobody was refused")
    time.sleep(1)  # what the last one has asked for
    before = lab.daemon.metrics()["worker_wakeups_total"]
    time.sleep(3)
    woken = lab.daemon.metrics()["worker_wakeups_total"] - before
    require(woken == 0, f"workers woke {woken} times in 3 s with nobody there")
    return {"status_bytes": len(json.dumps(told))}
