"""A client of `daybook serve` from docs/bus.md alone: frames over Unix sockets, requests with numbers, the change feed."""
import json
import select
import socket
import time


def connect(url, ours, theirs, seconds=30):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(seconds)
    peer.connect(url.removeprefix("ipc://"))
    peer.sendall(b"\0SP\0\0" + ours + b"\0\0")
    greeting = read(peer, 8)
    if greeting != b"\0SP\0\0" + theirs + b"\0\0":
        raise ConnectionError(f"greeting {greeting!r}")
    return peer


def read(peer, size):
    got = b""
    while len(got) < size:
        more = peer.recv(size - len(got))
        if not more:
            raise ConnectionError("the daemon closed the connection")
        got += more
    return got


def read_frame(peer):
    head = read(peer, 9)
    if head[:1] != b"\1":
        raise ConnectionError("no frame")
    return read(peer, int.from_bytes(head[1:], "big"))


class Commands:
    """Requests of one connection; many may be on the way."""

    def __init__(self, url):
        self.peer = connect(url, b"\x30", b"\x31")
        self.number = 0x80000000
        self.answers = {}

    def start(self, message):
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.number += 1
        self.peer.sendall(b"\1" + (len(body) + 4).to_bytes(8, "big") + self.number.to_bytes(4, "big") + body)
        return self.number

    def finish(self, number):
        while number not in self.answers:
            frame = read_frame(self.peer)
            self.answers[int.from_bytes(frame[:4], "big")] = frame[4:]
        return json.loads(self.answers.pop(number))

    def ask(self, message):
        return self.finish(self.start(message))

    def close(self):
        self.peer.close()


class Changes:
    """The messages of the feed whose topic begins with one of those wished."""

    def __init__(self, url, *tables):
        self.peer = connect(url, b"\x21", b"\x20")
        self.topics = tuple(table.encode() + b"/\0" for table in tables) + (b"daybook.head/\0",)

    def next(self, seconds=30):
        """None: nothing came in time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.peer], [], [], left)[0]:
                break
            frame = read_frame(self.peer)
            if frame.startswith(self.topics):
                return json.loads(frame[frame.index(b"\0") + 1:])
        return None

    def close(self):
        self.peer.close()


class Mirror:
    """A table as a subscriber holds it, by the five rules of docs/bus.md."""

    def __init__(self, commands, changes, table):
        self.commands, self.changes, self.table = commands, changes, table
        self.rows, self.mine, self.life, self.seen = {}, 0, ["", 0], []
        self.catch_up()

    def catch_up(self):
        answer = self.commands.ask({"do": "changes", "table": self.table, "from": [*self.life, self.mine]})
        if not answer["ok"]:
            raise AssertionError(answer)
        if answer["reset"]:
            self.rows = {}
        self.apply(answer)

    def apply(self, message):
        for change in message.get("changes", ()):
            if change["op"] == "delete":
                self.rows.pop(json.dumps(change["key"]), None)
            else:
                self.rows[json.dumps(change["key"])] = change["row"]
        self.life, self.mine = [message["timeline"], message["generation"]], message["position"]
        self.seen.append(self.mine)

    def take(self, message):
        same = [message["timeline"], message["generation"]] == self.life
        if message.get("head"):
            if not same or message["last"].get(self.table, 0) > self.mine:
                self.catch_up()
        elif not same or message.get("keys") or message.get("reset"):
            self.catch_up()
        elif message["previous"] <= self.mine < message["position"]:
            self.apply(message)
        elif message["position"] > self.mine:
            self.catch_up()

    def until(self, position, seconds=60):
        """Reads until the rows are those of `position` or later."""
        end = time.monotonic() + seconds
        while self.mine < position and time.monotonic() < end:
            message = self.changes.next(1)
            if message:
                self.take(message)
        return self.mine >= position
