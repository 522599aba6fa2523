"""The daemon and what talks to it: ready, receipts, changes, signals, a kill in the middle."""
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

from cli_case import PROGRAM, Case, Daemon, ndjson, put


class Serve(Case):
    def test_it_says_its_addresses_and_ready_and_closes_cleanly(self):
        store = self.store(commands=1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            daemon = Daemon(self, store)
            self.assertEqual([l.split()[0] for l in daemon.lines], ["commands", "changes", "ready"])
            with open(self.path(store, "run.json"), encoding="utf-8") as f:
                run = json.load(f)
            self.assertEqual((run["pid"], run["commands"]), (daemon.process.pid, daemon.url))
            self.assertEqual(daemon.end(number), 0)
            self.assertFalse(os.path.exists(self.path(store, "run.json")))
            self.assertEqual(daemon.process.stderr.read(), "")

    def test_its_address_can_be_chosen(self):
        daemon = Daemon(self, self.store(), "--listen", f"ipc://{self.dir}/own", "--json")
        addresses = json.loads(daemon.lines[0])
        self.assertEqual(addresses["commands"], f"ipc://{self.dir}/own")
        self.assertTrue(json.loads(self.daybook("stats", addresses["commands"], "--json"))["ok"])
        self.assertEqual(daemon.end(), 0)

    def test_a_second_one_is_refused_with_the_holder(self):
        store = self.store()
        daemon = Daemon(self, store)
        self.assertIn(f"held by process {daemon.process.pid}", self.refused(3, "serve", store))
        self.assertTrue(json.loads(self.daybook("stats", daemon.url, "--json"))["ok"])

    def test_every_command_talks_to_it_by_itself(self):
        store = self.store(commands=2)
        direct = json.loads(self.daybook("rebuild", store, "--json"))
        daemon = Daemon(self, store)
        for target in (store, daemon.url):
            self.receipts(target, ndjson(put(i) for i in range(1, 251)))
            self.assertEqual(self.rows(target, "SELECT count(*) FROM notes"), [[250]])
            self.assertEqual(self.rows(target, "SELECT count(*) FROM notes", "--at", "3"), [[2]])
            now = json.loads(self.daybook("fingerprint", target, "--json"))
            self.assertEqual(now["position"], 251)
            self.assertEqual(json.loads(self.daybook("fingerprint", target, "--at", "251", "--json")), now)
            self.assertEqual(len(self.daybook("log", target).splitlines()), 251)
            self.assertEqual(json.loads(self.daybook("stats", target, "--json"))["entries"], 251)
            self.assertEqual(json.loads(self.daybook("inbox", target, "--json"))["items"], [])
            rebuilt = json.loads(self.daybook("rebuild", target, "--json"))
            self.assertEqual((list(rebuilt), rebuilt["fingerprint"]), (list(direct), now["fingerprint"]))
            self.assertIn("the inbox has no number 3", self.refused(1, "inbox", target, "apply", "3"))
            self.assertEqual(self.rows(target, "SELECT id FROM notes WHERE id = :id", "id=n7"), [["n7"]])
            self.assertEqual(json.loads(self.daybook("query", target, "--name", "starred", "--json"))["rows"], [])
            self.assertIn("there is no table 'x'", json.loads(self.daybook("watch", target, "--table", "x", "--json", status=1))["message"])
            self.assertTrue(self.receipts(target, "nonsense\n" + ndjson([put(1)]), status=1)[1]["again"])
            self.assertIn("there is no table 'x'", self.refused(1, "watch", target, "--table", "x"))
        self.assertEqual(json.loads(self.daybook("replay", store, "--into", "x.sqlite", "--json"))["fingerprint"], now["fingerprint"])
        self.assertIn("no fault found", self.daybook("verify", store))
        self.assertEqual(json.loads(self.daybook("doctor", store, "--json"))["daemon"], daemon.url)
        self.assertEqual(daemon.end(), 0)

    def test_nobody_at_the_address(self):
        self.store()
        for args in (("query", f"ipc://{self.dir}/nobody", "SELECT 1"), ("watch", f"ipc://{self.dir}/nobody"), ("watch", "a.daybook"),
                     ("send", f"ipc://{self.dir}/nobody", "-"), ("stats", "tcp://127.0.0.1:1"), ("stats", "://")):
            self.refused(1, *args)

    def test_a_service_manager_is_told(self):
        store = self.store()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(30)
            manager.bind(self.path("notify"))
            self.env["NOTIFY_SOCKET"] = self.path("notify")
            daemon = Daemon(self, store)
            self.assertEqual(manager.recv(100), b"READY=1")
            self.assertEqual(daemon.end(), 0)
            self.assertEqual(manager.recv(100), b"STOPPING=1")

    def test_nothing_acknowledged_is_lost_to_a_kill(self):
        store = self.store()
        daemon = Daemon(self, store)
        with open(self.path("f.ndjson"), "w", encoding="utf-8") as f:
            f.write(ndjson(put(i) for i in range(1, 20001)))
        with subprocess.Popen([PROGRAM, "send", daemon.url, "f.ndjson"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              env=self.env, cwd=self.dir) as sender:
            lines = [sender.stdout.readline() for _ in range(500)]
            daemon.end(signal.SIGKILL)
            sender.terminate()
            lines += [l for l in sender.stdout if l.endswith("\n")]
        given = [r for r in map(json.loads, lines) if r["ok"]]
        self.assertGreaterEqual(len(given), 500)
        self.assertIn("no fault found", self.daybook("verify", store))
        daemon = Daemon(self, store)
        again = self.receipts(store, ndjson(put(int(r["id"][1:])) for r in given))
        self.assertEqual([(r["id"], r["position"], r.get("again")) for r in again], [(r["id"], r["position"], True) for r in given])
        self.assertEqual(daemon.end(), 0)

    def test_after_a_kill_the_commands_open_the_store_themselves(self):
        store = self.store(commands=3)
        Daemon(self, store).end(signal.SIGKILL)
        self.assertTrue(os.path.exists(self.path(store, "run.json")))
        self.assertEqual(self.rows(store, "SELECT count(*) FROM notes"), [[3]])
        self.assertTrue(self.receipts(store, ndjson([put(4)]))[0]["ok"])


    def test_a_copy_of_a_served_store_is_not_taken_for_it(self):
        store = self.store(commands=3)
        daemon = Daemon(self, store)
        shutil.copytree(self.path(store), self.path("copy.daybook"))
        self.receipts(store, ndjson([put(4)]))
        self.assertEqual(self.rows("copy.daybook", "SELECT count(*) FROM notes"), [[3]])
        self.assertIn("no daemon serves 'copy.daybook'", self.refused(1, "watch", "copy.daybook"))
        self.assertNotIn("daemon", json.loads(self.daybook("doctor", "copy.daybook", "--json")))
        self.assertEqual(self.rows(store, "SELECT count(*) FROM notes"), [[4]])
        self.assertEqual(daemon.end(), 0)

    def test_sixty_senders_at_once_then_sigterm(self):
        store = self.store()
        daemon = Daemon(self, store)
        senders = [subprocess.Popen([PROGRAM, "send", daemon.url, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                    env=self.env, cwd=self.dir) for _ in range(60)]
        for number, sender in enumerate(senders):
            sender.stdin.write(ndjson(put(number * 100 + i) for i in range(20)))
            sender.stdin.close()
        for sender in senders:
            with sender.stdout as out:
                self.assertEqual([json.loads(line)["ok"] for line in out], [True] * 20)
            self.assertEqual(sender.wait(60), 0)
        begin = time.monotonic()
        self.assertEqual(daemon.end(), 0)
        self.assertLess(time.monotonic() - begin, 5)

    def test_send_ends_soon_when_the_daemon_does(self):
        store = self.store()
        daemon = Daemon(self, store)
        with subprocess.Popen([PROGRAM, "send", daemon.url, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, env=self.env, cwd=self.dir) as sender:
            sender.stdin.write(ndjson([put(1)]))
            sender.stdin.flush()
            self.assertTrue(json.loads(sender.stdout.readline())["ok"])
            daemon.end(signal.SIGKILL)
            begin = time.monotonic()
            try:
                sender.stdin.write(ndjson(put(i) for i in range(2, 3000)))
                sender.stdin.flush()
            except BrokenPipeError:
                pass
            self.assertEqual(sender.wait(60), 1)
            self.assertLess(time.monotonic() - begin, 8)
            self.assertEqual(sender.stdout.read(), "")
            said = sender.stderr.read()
        self.assertIn("the daemon answers no more: 1 command was answered, what became of the rest is not known", said)
        self.assertIn("send the same lines again", said)
        self.assertEqual(len(said.splitlines()), 2)


class Rep:
    """Speaks the daemon's side of docs/bus.md; `answer` gets each request's JSON."""

    def __init__(self, path, answer):
        self.answer = answer
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        peer, _ = self.listener.accept()
        with peer, peer.makefile("rb") as stream:
            peer.sendall(b"\0SP\0\0\x31\0\0")
            stream.read(8)
            while len(head := stream.read(13)) == 13:
                body = stream.read(int.from_bytes(head[1:9], "big") - 4)
                answer = self.answer(json.loads(body)) if body else b""
                peer.sendall(b"\1" + (len(answer) + 4).to_bytes(8, "big") + head[9:13] + answer)

    def close(self):
        self.thread.join(60)
        self.listener.close()


class Busy(Case):
    def test_what_was_refused_as_busy_is_sent_again_in_order(self):
        decided, refusals = [], [3]

        def answer(commands):
            if len(decided) >= 2 and refusals[0] > 0:
                refusals[0] -= 1
                return b'{"ok":false,"error":"busy","class":"transient","message":"3 messages are waiting already","outcome":"none"}'
            many = commands if isinstance(commands, list) else [commands]
            decided.extend(c["id"] for c in many)
            receipts = [{"id": c["id"], "ok": True} for c in many]
            return json.dumps(receipts if isinstance(commands, list) else receipts[0]).encode()

        rep = Rep(self.path("rep"), answer)
        self.addCleanup(rep.close)
        lines = ndjson([put(1)]) + json.dumps([put(2), put(3)]) + "\n" + ndjson([put(4)]) + json.dumps([put(5)]) + "\n" + ndjson([put(6)])
        receipts = self.receipts(f"ipc://{self.dir}/rep", lines)
        self.assertEqual([(r["id"], r["ok"]) for r in receipts], [(f"c{i}", True) for i in range(1, 7)])
        self.assertEqual(refusals, [0])
        self.assertEqual(sorted(decided), [f"c{i}" for i in range(1, 7)])


class Watch(Case):
    def test_it_follows_across_a_restart_and_says_so(self):
        store = self.store()
        daemon = Daemon(self, store)
        process = self.watch(store, "--table", "notes")
        json.loads(process.stdout.readline())
        self.receipts(store, ndjson([put(1)]))
        self.assertEqual(self.keys(process, 1), ["n1"])
        self.assertEqual(daemon.end(signal.SIGKILL), -signal.SIGKILL)
        self.receipts(store, ndjson([put(2)]))
        self.assertIn("the daemon has ended; waiting 60 s for it to come back", process.stderr.readline())
        daemon = Daemon(self, store)
        self.receipts(store, ndjson([put(3)]))
        self.assertEqual(sorted(self.keys(process, 2)), ["n2", "n3"])
        self.assertIn("the daemon is back", process.stderr.readline())
        process.terminate()
        self.assertEqual(process.wait(30), 0)
        self.assertEqual(process.stderr.read(), "")

    def test_it_does_not_wait_for_ever(self):
        daemon = Daemon(self, self.store())
        process = self.watch(daemon.url, "--wait", "0")
        process.stdout.readline()
        daemon.end()
        self.assertEqual(process.wait(30), 1)
        said = process.stderr.read()
        self.assertIn("the daemon has not come back in 0 s", said)
        self.assertIn("'--wait x' is no number of seconds", self.refused(2, "watch", daemon.url, "--wait", "x"))

    def watch(self, *args):
        process = subprocess.Popen([PROGRAM, "watch", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env, cwd=self.dir)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def keys(self, process, count):
        """The keys of the changes until so many were seen."""
        seen = []
        while len(seen) < count:
            line = process.stdout.readline()
            self.assertTrue(line, process.poll())
            seen += [c["key"] for c in json.loads(line).get("changes", [])]
        return seen

    def one_by_one(self, store):
        """Three commits, not one of three: a cursor lies between commits. The first one's receipt."""
        return [self.receipts(store, ndjson([put(i)]))[0] for i in range(1, 4)][0]

    def test_catch_up_then_live(self):
        store = self.store()
        daemon = Daemon(self, store)
        self.one_by_one(store)
        process = self.watch(daemon.url, "--table", "notes", "--from", "2")
        self.assertEqual(sorted(self.keys(process, 2)), ["n2", "n3"])
        self.receipts(store, ndjson([put(4)]))
        self.assertEqual(self.keys(process, 1), ["n4"])
        process.terminate()
        self.assertEqual(process.wait(30), 0)

    def test_a_cursor_of_a_message_goes_on_behind_it(self):
        store = self.store()
        Daemon(self, store)
        first = self.one_by_one(store)
        process = self.watch(store, "--table", "notes", "--from", json.dumps(first["cursor"]))
        self.assertEqual(sorted(self.keys(process, 2)), ["n2", "n3"])

    def test_a_bad_cursor(self):
        store = self.store()
        Daemon(self, store)
        self.refused(2, "watch", store, "--from", "x")
        self.refused(1, "watch", store, "--from", "[1")

    def test_a_store_removed_under_it_takes_no_more(self):
        self.store(commands=3)
        daemon = Daemon(self, "a.daybook")
        self.daybook("send", daemon.url, input=ndjson([put(4)]))
        os.rename(self.path("a.daybook"), self.path("b.daybook"))
        self.daybook("send", daemon.url, input=ndjson([put(5)]))
        shutil.rmtree(self.path("b.daybook"))
        done = self.run_program("send", daemon.url, input=ndjson([put(6)]))
        self.assertEqual(done.returncode, 1, done.stderr)
        receipt = json.loads(done.stdout)
        self.assertEqual((receipt["error"], receipt["message"]), ("poisoned", "the lock file 'LOCK' was removed or replaced"))
        self.assertEqual(receipt["outcome"], "none")
        self.assertEqual(daemon.end(), 0)


if __name__ == "__main__":
    unittest.main()
