# SPDX-License-Identifier: ISC
"""A desktop without a screen for one graphical client: X server, window manager, session bus, and a
sound server whose microphone hears a tone and whose loudspeaker is listened to.

Everything runs as an ordinary user, because desktop clients refuse root. What arrives is counted
where the network hands it over: RTP by its header (RFC 3550, RFC 5761), whether encrypted or not.
"""

import array
import asyncio
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

USER = "nobody"
ETH_P_ALL, PACKET_OUTGOING = 3, 4
PLUGINS = "/usr/lib/*/gstreamer-1.0/*.so"
RATE = 8000  # of what is listened to
LOUD = 500  # of 32767; a decoded tone is louder, an empty loudspeaker is 0


class Counter:
    """Counts RTP and RTCP that this host receives by UDP, by payload type."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.lock = threading.Lock()
        self.reset()
        threading.Thread(target=self._count, daemon=True).start()

    def reset(self):
        with self.lock:
            self.payloads, self.bytes, self.rtcp, self.sources = {}, 0, 0, set()

    def _count(self):
        while True:
            data, (_, protocol, kind, *_) = self.socket.recvfrom(2048)
            if protocol != 0x0800 or kind == PACKET_OUTGOING or len(data) < 40 or data[9] != 17:
                continue
            if data[12] == 127:
                continue
            payload = data[(data[0] & 15) * 4 + 8:]
            if len(payload) < 12 or payload[0] >> 6 != 2:
                continue
            with self.lock:
                self.sources.add(socket.inet_ntoa(data[12:16]))
                if 192 <= payload[1] <= 223:
                    self.rtcp += 1
                else:
                    number = payload[1] & 127
                    self.payloads[number] = self.payloads.get(number, 0) + 1
                    self.bytes += len(payload)

    def stats(self):
        with self.lock:
            return {"packets": sum(self.payloads.values()), "bytes": self.bytes, "lost": 0,
                    "payload_types": dict(self.payloads), "rtcp": self.rtcp,
                    "sources": sorted(self.sources)}


class Ear(threading.Thread):
    """Listens to the loudspeaker; 'heard' is how many tenths of a second were not silent."""

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self.pipe = pipe
        self.heard = 0
        self.start()

    def run(self):
        while data := self.pipe.read(RATE // 10 * 2):
            if len(data) % 2 == 0 and max(map(abs, array.array("h", data))) > LOUD:
                self.heard += 1


class Desktop:
    """Call open() first: it makes this process an ordinary user's."""

    def __init__(self):
        self.counter = Counter()
        self.children = []
        self.home = tempfile.mkdtemp(prefix="desktop-")
        user = pwd.getpwnam(USER)
        os.chown(self.home, user.pw_uid, user.pw_gid)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        os.mkdir(f"{self.home}/run", 0o700)
        for name in [name for name in os.environ if name.startswith(("XDG_", "DBUS_", "PULSE_"))]:
            del os.environ[name]
        os.environ.update(
            HOME=self.home, XDG_RUNTIME_DIR=f"{self.home}/run", LANG="C.UTF-8",
            LIBGL_ALWAYS_SOFTWARE="1", GSK_RENDERER="cairo", GDK_BACKEND="x11", NO_AT_BRIDGE="1",
            GSETTINGS_BACKEND="memory", PULSE_LATENCY_MSEC="30")
        os.chdir(self.home)

    def open(self):
        os.environ["DISPLAY"] = ":" + self._says(
            "Xvfb", "-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp")
        self.run("openbox")
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = self._says(
            "dbus-daemon", "--session", "--nofork", "--print-address=1")
        self._sound()
        return self

    def _sound(self):
        modules = ("module-native-protocol-unix", "module-null-sink sink_name=speaker",
                   "module-null-sink sink_name=tone rate=48000",
                   "module-remap-source source_name=microphone master=tone.monitor rate=48000")
        self.run("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disallow-exit",
                 *(word for module in modules for word in ("-L", module)))
        self.until("the sound server", lambda: subprocess.run(
            ["pactl", "info"], capture_output=True).returncode == 0)
        subprocess.run(["pactl", "set-default-source", "microphone"], check=True)
        subprocess.run(["pactl", "set-default-sink", "speaker"], check=True)
        self.run("gst-launch-1.0", "-q", "audiotestsrc", "is-live=true", "volume=0.5",
                 f"freq={os.environ['DESKTOP_TONE']}", "!",
                 "audio/x-raw,rate=48000,channels=1", "!", "pulsesink", "device=tone",
                 "buffer-time=60000")
        self.ear = Ear(self.run("parec", "--device=speaker.monitor", "--format=s16le",
                                f"--rate={RATE}", "--channels=1", "--latency-msec=100",
                                stdout=subprocess.PIPE).stdout)

    def let_farstream_work(self):
        """With these plugins Debian's farstream 0.2.9 sends nothing, on any network: "Could not
        initialize SRTP encoder", and for Opus and Speex "streaming stopped, reason not-negotiated".
        Clients that use it see all others only."""
        os.mkdir(f"{self.home}/plugins")
        for path in glob.glob(PLUGINS):
            name = os.path.basename(path)
            if name not in ("libgstsrtp.so", "libgstopus.so", "libgstspeex.so"):
                os.symlink(path, f"{self.home}/plugins/{name}")
        os.environ["GST_PLUGIN_SYSTEM_PATH_1_0"] = f"{self.home}/plugins"

    def run(self, *argv, stdout=sys.stderr, **options):
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout, **options)
        self.children.append(child)
        return child

    def _says(self, *argv):
        """Starts a program; returns the first line that it prints."""
        line = self.run(*argv, stdout=subprocess.PIPE).stdout.readline().decode().strip()
        if not line:
            raise RuntimeError(f"{argv[0]} did not start")
        return line

    @staticmethod
    def until(what, condition, seconds=20):
        end = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not within {seconds} s")
            time.sleep(0.1)
        return value

    @staticmethod
    async def wait_for(what, condition, seconds=20):
        """The same in a coroutine."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not within {seconds} s")
            await asyncio.sleep(0.1)
        return value

    def xdotool(self, *words):
        return subprocess.run(["xdotool", *map(str, words)], capture_output=True, check=True,
                              text=True).stdout.split()

    def picture(self, path):
        """A picture of the screen, for whoever finds out why a button was not there."""
        if shutil.which("import"):
            subprocess.run(["import", "-window", "root", path])

    def end(self, child):
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self.children.remove(child)

    def stats(self):
        """What a client's stats() begins with."""
        return {"in": {"audio": self.counter.stats()}, "out": {}, "pairs": [],
                "heard": self.ear.heard}
