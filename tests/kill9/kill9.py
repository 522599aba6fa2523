#!/usr/bin/env python3
"""Kills a serving daemon at random instants, with clients sending all the while, and checks after each
kill that everything acknowledged is answered again with the position it had.

usage: kill9.py DAYBOOK [--cycles N] [--seed S] [--json FILE]

Each cycle: `daybook serve`, two clients (`daybook send ADDRESS -`) fed with commands whose ids never come
twice, SIGKILL to the daemon. Then `daybook verify --depth checksums`, a new daemon, and every id
acknowledged in this cycle plus some of earlier ones sent again. The receipts are kept outside the store. After PER_STORE
cycles all of them are sent again, and the next store begins: reading one through takes longer the longer it lives.
An async model counts the puts of each note: once it has followed, it has taken each entry once, and its rows are those of the
table that was written with the commands. Exit 1 on the first broken promise."""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

APP = {
    "app.json": '{"daybook": 1, "name": "kill", "models": {"tally": {"mode": "async"}}}\n',
    "schema.sql": "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, text TEXT, n INTEGER);\n",
    "tally/schema.sql": "CREATE TABLE tally (id TEXT PRIMARY KEY NOT NULL, puts INTEGER NOT NULL, n INTEGER NOT NULL);\n",
    "tally/projections.sql": "-- on notes.put\nINSERT INTO tally(id, puts, n) VALUES ($id, 1, $n);\n"
                             "-- on notes.patched\nUPDATE tally SET puts = puts + 1, n = $n WHERE id = substr(:stream, 7);\n",
}
CLIENTS = 2
PER_STORE = 100
FOLLOW_S = 60  # an async model that has not followed by then never does


class Broken(Exception):
    pass


class Bench:
    def __init__(self, program, seed):
        self.program = str(program)
        self.random = random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix="daybook-kill9-"))
        self.store = self.folder / "k.daybook"
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=str(self.folder / "run"), NO_COLOR="1")
        (self.folder / "run").mkdir(mode=0o700)
        for name, text in APP.items():
            (self.folder / "app" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "app" / name).write_text(text)
        self.sent = {}   # id: the command's line
        self.acked = {}  # id: (position, entry)
        self.fresh = []  # ids acknowledged since the last check
        self.senders = []
        self.next_id = 0
        self.others = None  # entries that are no put: those of init
        self.followed = 0   # times the async model was compared
        self.lock = threading.Lock()
        self.command("init", str(self.store), "--app", str(self.folder / "app"))

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *words, given=None, good=(0,)):
        done = subprocess.run([self.program, *words], input=given, capture_output=True, text=True, env=self.environment, timeout=120)
        if done.returncode not in good:
            raise Broken(f"daybook {' '.join(words[:2])} ends with {done.returncode}: {done.stderr.strip()[:600]} {done.stdout.strip()[:300]}")
        return done.stdout

    def serve(self):
        """The daemon and the address it takes commands at."""
        daemon = subprocess.Popen([self.program, "serve", str(self.store), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True, env=self.environment)
        line = daemon.stdout.readline()
        if not line:
            daemon.wait()
            raise Broken("the daemon does not start: " + daemon.stderr.read().strip()[:800])
        return daemon, json.loads(line)["commands"]

    def new_command(self):
        with self.lock:
            self.next_id += 1
            name = f"k{self.next_id}"
            size = self.random.choice((3, 30, 300, 3000))
            line = json.dumps({"id": name, "do": "put", "table": "notes", "key": f"n{self.random.randrange(200)}",
                               "data": {"text": "x" * self.random.randrange(size), "n": self.next_id}})
            self.sent[name] = line
            return line

    def take(self, receipt):
        """Notes what a receipt promises."""
        with self.lock:
            name = receipt.get("id")
            if not receipt.get("ok") or name not in self.sent:
                return
            promise = (receipt["position"], receipt["entry"])
            if self.acked.setdefault(name, promise) != promise:
                raise Broken(f"'{name}' was acknowledged as {self.acked[name]}, now {promise}")
            self.fresh.append(name)

    def client(self, address, stop):
        sender = subprocess.Popen([self.program, "send", address, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True, env=self.environment)
        self.senders.append(sender)
        feeder = threading.Thread(target=self.feed, args=(sender, stop))
        feeder.start()
        try:
            for line in sender.stdout:
                self.take(json.loads(line))
        except (ValueError, OSError):
            pass  # cut off in the middle of a line: no receipt
        feeder.join()
        sender.kill()
        sender.wait()

    def feed(self, sender, stop):
        try:
            while not stop.is_set():
                sender.stdin.write("".join(self.new_command() + "\n" for _ in range(8)))
                sender.stdin.flush()
            sender.stdin.close()
        except (OSError, ValueError):
            pass

    def cycle(self):
        daemon, address = self.serve()
        stop = threading.Event()
        self.senders = []
        clients = [threading.Thread(target=self.client, args=(address, stop)) for _ in range(CLIENTS)]
        for one in clients:
            one.start()
        time.sleep(self.random.uniform(0.001, 0.25))  # the instant is what is drawn here
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        stop.set()
        # A client may wait for the daemon to come back: it ends with its input, or is ended.
        killer = threading.Timer(0.3, self.end_clients)
        killer.start()
        for one in clients:
            one.join()
        killer.cancel()
        daemon.stdout.close()
        daemon.stderr.close()

    def end_clients(self):
        """They may wait for a daemon that does not come back."""
        for sender in self.senders:
            sender.kill()

    def check(self, names):
        """Everything in `names` is answered again, as it was acknowledged."""
        self.command("verify", str(self.store), "--depth", "checksums")
        daemon, address = self.serve()
        try:
            lines = self.command("send", address, "-", given="".join(self.sent[name] + "\n" for name in names)).splitlines() if names else []
            if len(lines) != len(names):
                raise Broken(f"{len(names)} commands sent again, {len(lines)} receipts")
            for name, line in zip(names, lines):
                receipt = json.loads(line)
                found = (receipt.get("position"), receipt.get("entry"))
                if not receipt.get("ok") or not receipt.get("again") or found != self.acked[name]:
                    raise Broken(f"'{name}' was acknowledged as {self.acked[name]}, now {line[:300]}")
            self.check_model(address)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(timeout=60)
            daemon.stdout.close()
            daemon.stderr.close()

    def live(self, cycles):
        """The life of a store: so many kills."""
        for _ in range(cycles):
            self.cycle()
            earlier = list(self.acked)
            names = list(dict.fromkeys(self.fresh + self.random.sample(earlier, min(len(earlier), 100))))
            self.fresh = []
            self.check(names)
        names = list(self.acked)
        for first in range(0, len(names), 5000):
            self.check(names[first:first + 5000])
        return cycles

    def rows(self, address, sql):
        """The first row, and at which position that model was."""
        answer = json.loads(self.command("query", address, sql, "--json"))
        return answer["rows"][0], answer["position"]

    def check_model(self, address):
        """Nobody sends: what the async model has is the whole log, each put once."""
        (theirs,), head = self.rows(address, "SELECT group_concat(id || n) FROM (SELECT id, n FROM notes ORDER BY id)")
        until = time.monotonic() + FOLLOW_S
        position = -1
        while position < head:
            if time.monotonic() > until:
                raise Broken(f"the async model stands at {position}, the log at {head}")
            (ours, puts), position = self.rows(address, "SELECT group_concat(id || n), ifnull(sum(puts), 0) FROM (SELECT * FROM tally ORDER BY id)")
        self.others = head - puts if self.others is None else self.others
        if position > head or head - puts != self.others:
            raise Broken(f"the async model has {puts} puts at {position}; the log has {head} entries, {self.others} of them others")
        if ours != theirs:
            raise Broken(f"at {head} the async model has other rows than the table")
        self.followed += 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("--cycles", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    begun, done, acked, followed, seed = time.monotonic(), 0, 0, 0, arguments.seed
    while done < arguments.cycles:
        bench = Bench(arguments.program.resolve(), seed)
        try:
            done += bench.live(min(PER_STORE, arguments.cycles - done))
        except Broken as broken:
            print(f"after {done} kills, seed {seed} (--seed {seed} --cycles {PER_STORE} again): {broken}")
            return 1
        finally:
            bench.close()
        acked, followed, seed = acked + len(bench.acked), followed + bench.followed, seed + 1
        print(f"{done} kills, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    took = time.monotonic() - begun
    print(f"{done} kills, {acked} commands acknowledged, none lost, the async model right {followed} times, {took:.1f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps({"cycles": done, "acknowledged": acked}) + "\n")
    return 0 if acked else 1


if __name__ == "__main__":
    sys.exit(main())
