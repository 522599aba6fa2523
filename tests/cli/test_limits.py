"""Limits of the machine and of the app's own SQL: met with an error that says so, and gone on after it."""
import json
import os
import resource
import select
import socket
import struct
import unittest

from cli_case import PROGRAM, Case, Daemon, ndjson, put

ENDLESS = ("-- on job.endless\n"
           "INSERT INTO jobs SELECT $id, (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c);\n"
           "-- on job.made\n"
           "INSERT INTO jobs VALUES($id, 1);\n")
SORTED = ("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 300000)"
          " SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY printf('%.2000c', 'x') || x) AS n FROM c)")
SORTS = f"-- on job.sorted\nINSERT INTO jobs SELECT $id, ({SORTED});\n"


def append(number, kind):
    return {"id": f"c{number}", "do": "append", "stream": f"job/{number}", "type": kind, "data": {"id": str(number)}}


def limited(which, value):
    return lambda: resource.setrlimit(which, (value, value))


def is_sanitized():
    with open(PROGRAM, "rb") as f:
        data = f.read()
    return b"__asan_init" in data or b"__tsan_init" in data


class Limits(Case):
    def test_a_projection_without_end_costs_only_its_command(self):
        app = self.path("jobs")
        os.mkdir(app)
        with open(os.path.join(app, "schema.sql"), "w") as f:
            f.write("CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, n INTEGER);\n")
        with open(os.path.join(app, "projections.sql"), "w") as f:
            f.write(ENDLESS)
        self.daybook("init", "j.daybook", "--app", app)
        turn = [append(1, "job.made"), append(2, "job.endless"), append(3, "job.made")]
        done = self.run_program("send", "j.daybook", input=json.dumps(turn) + "\n")
        self.assertEqual(done.returncode, 1, done.stderr)
        receipts = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([r["ok"] for r in receipts], [True, False, True])
        self.assertEqual(receipts[1]["error"], "busy")
        self.assertEqual(receipts[1]["message"], "projections.sql:2: the projection takes more than 100 million steps")
        self.assertEqual(receipts[1]["outcome"], "none")
        self.assertEqual(self.daybook("query", "j.daybook", "SELECT id FROM jobs ORDER BY id"), "id\n1\n3\n")

    def test_a_limit_to_the_size_of_files_is_an_error(self):
        self.store(commands=5)
        done = self.run_program("send", "a.daybook", input=ndjson([put(9)]), preexec_fn=limited(resource.RLIMIT_FSIZE, 1024))
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("file too large", done.stderr)
        self.daybook("verify", "a.daybook")
        self.daybook("send", "a.daybook", input=ndjson([put(9)]))

    @unittest.skipIf(is_sanitized(), "a sanitizer takes files for its own looks at memory")
    def test_too_few_files_are_named_whoever_opens_them(self):
        self.store(commands=5)
        said = set()
        for files in range(10, 64):
            done = self.run_program("query", "a.daybook", "SELECT count(*) AS n FROM notes", preexec_fn=limited(resource.RLIMIT_NOFILE, files))
            if done.returncode == 0:
                break
            said.add(done.stderr.splitlines()[0].rsplit(": ", 1)[-1])
            self.assertIn("ulimit -n", done.stderr, files)
        self.assertEqual(done.stdout, "n\n5\n")
        self.assertEqual(said, {"too many open files"})

    @unittest.skipIf(is_sanitized(), "a sanitizer keeps what is freed")
    def test_a_daemon_gives_back_what_large_commands_took(self):
        self.store()
        daemon = Daemon(self, "a.daybook")
        for number in range(3):
            parts = [dict(put(f"{number}.{i}", title=f"{number}.{i}" + "z" * 900000)) for i in range(17)]
            for part in parts:
                del part["id"]
            batch = {"id": f"b{number}", "do": "batch", "commands": parts}
            self.daybook("send", daemon.url, input=ndjson([batch]))
        with open(f"/proc/{daemon.process.pid}/status") as f:
            kib = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        self.assertLess(kib, 50 * 1024)
        self.assertEqual(daemon.end(), 0)

    @unittest.skipIf(is_sanitized(), "a sanitizer keeps what was freed")
    def test_sql_that_would_take_gigabytes_is_refused_and_nothing_is_kept(self):
        """600 MB to sort: by a projection, whose turn has other commands; by a query; both are told, and only they."""
        app = self.path("jobs")
        os.mkdir(app)
        with open(os.path.join(app, "schema.sql"), "w") as f:
            f.write("CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, n INTEGER);\n")
        with open(os.path.join(app, "projections.sql"), "w") as f:
            f.write(ENDLESS + SORTS)
        with open(os.path.join(app, "queries.sql"), "w") as f:
            f.write(f"-- query sorted()\n{SORTED};\n")
        self.daybook("init", "j.daybook", "--app", app)
        daemon = Daemon(self, "j.daybook")
        turn = [append(1, "job.made"), append(2, "job.sorted"), append(3, "job.made")]
        done = self.run_program("send", "j.daybook", input=json.dumps(turn) + "\n")
        receipts = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([r["ok"] for r in receipts], [True, False, True])
        self.assertEqual(receipts[1]["error"], "too_big")
        self.assertEqual(receipts[1]["message"], "projections.sql:6: the projection takes more than 64 MiB of memory")
        self.assertIn("an index that has the order", receipts[1]["hint"])
        refused = self.run_program("query", "j.daybook", "--name", "sorted")
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, "takes more than 64 MiB of memory|took too long")
        with open(f"/proc/{daemon.process.pid}/status") as f:
            status = dict(line.split(":", 1) for line in f)
        self.assertLess(int(status["VmHWM"].split()[0]), 200 * 1024)
        self.assertLess(int(status["VmRSS"].split()[0]), 48 * 1024)
        self.assertEqual(self.daybook("query", "j.daybook", "SELECT id FROM jobs ORDER BY id"), "id\n1\n3\n")


class Unread(Case):
    def test_clients_that_read_nothing_are_cut_before_they_take_the_machine(self):
        self.store(commands=300)
        daemon = Daemon(self, "a.daybook")
        self.daybook("send", daemon.url, input=ndjson([put(1000 + i, title=f"{i}" + "z" * 100000) for i in range(60)]))
        ask = json.dumps({"do": "list", "table": "notes", "limit": 1000}).encode()
        clients = []
        for _ in range(10):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.settimeout(60)
            client.connect(daemon.url[len("ipc://"):])
            client.sendall(bytes([0, 0x53, 0x50, 0, 0, 0x30, 0, 0]))
            for number in range(9):
                client.sendall(b"\x01" + struct.pack(">QI", len(ask) + 4, 0x80000000 | number) + ask)
            clients.append(client)
        hung_up = select.poll()
        for client in clients:
            hung_up.register(client, select.POLLRDHUP)
        self.assertTrue(hung_up.poll(30000), "nobody is cut off")
        self.daybook("query", daemon.url, "SELECT 1")
        self.assertLess(len(hung_up.poll(0)), len(clients))
        self.assertEqual(daemon.end(), 0)


if __name__ == "__main__":
    unittest.main()
