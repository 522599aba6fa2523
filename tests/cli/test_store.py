"""Every command on a store that it opens itself."""
import csv
import glob
import io
import json
import os
import pty
import shutil
import sqlite3
import subprocess
import unittest

from cli_case import APP, HERE, PROGRAM, Case, ndjson, put


class Store(Case):
    def test_init_makes_a_store_and_refuses_an_existing_one(self):
        self.assertEqual(json.loads(self.daybook("init", "a.daybook", "--app", APP, "--json")), {"ok": True, "store": "a.daybook"})
        before = self.checksums("a.daybook")
        self.assertIn("exists and is not empty", self.refused(1, "init", "a.daybook", "--app", APP))
        self.assertEqual(self.checksums("a.daybook"), before)
        self.assertEqual(self.daybook("init", "b", "--app", os.path.join(APP, "schema.sql")), "made store 'b'\n")
        self.assertIn("cannot read the definition", self.refused(1, "init", "c", "--app", "nowhere"))
        self.assertFalse(os.path.exists(self.path("c")))

    def test_a_bad_definition_is_shown_whole_and_makes_no_store(self):
        with open(self.path("bad.sql"), "w", encoding="utf-8") as f:
            f.write("CREATE TABLE a (x TEXT);\nCREATE TABLE b (id TEXT PRIMARY KEY, t TEXT DEFAULT (random()));\n")
        self.transcript("bad_definition.txt", [("init", "a", "--app", "bad.sql"), ("check", "bad.sql"), ("check", "nowhere")])
        self.assertFalse(os.path.exists(self.path("a")))
        *findings, last = [json.loads(l) for l in self.daybook("check", "bad.sql", "--json", status=1).splitlines()]
        self.assertEqual([(f["level"], f["line"]) for f in findings], [("error", 1), ("error", 2)])
        self.assertEqual(last, {"ok": False, "error": "schema", "class": "validation", "message": "the definition has 2 errors"})
        said = json.loads(self.daybook("init", "a", "--app", "bad.sql", "--json", status=1))
        self.assertEqual((said["ok"], said["error"], said["hint"]), (False, "schema", "'daybook check bad.sql --json' lists them"))

    def test_check_says_what_is_in_a_good_one(self):
        self.assertIn("is good: 2 tables, 1 projection, 2 queries", self.daybook("check", APP))
        with open(self.path("one.sql"), "w", encoding="utf-8") as f:
            f.write("CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL);\n")
        self.assertEqual(self.daybook("check", "one.sql"), "'one.sql' is good: 1 table, 0 projections, 0 queries\n")
        *findings, last = [json.loads(l) for l in self.daybook("check", APP, "--json").splitlines()]
        self.assertEqual(last, {"ok": True, "app": "app", "tables": 2, "projections": 1, "queries": 2, "warnings": 1})
        self.assertEqual([(f["level"], f["file"], f["line"]) for f in findings], [("warning", "queries.sql", 5)])

    def test_a_store_stands_for_the_definition_that_it_runs(self):
        self.store()
        for command in ("check", "types"):
            of_app = self.daybook(command, "a.daybook/app")
            self.assertEqual(self.daybook(command, "a.daybook").replace("'a.daybook'", "'a.daybook/app'"), of_app)
        self.assertIn("no schema.sql", self.run_program("check", ".").stdout)

    def test_types_of_a_definition(self):
        made = self.daybook("types", os.path.join(HERE, "types_app"))
        self.golden("types.d.ts", made)
        with open(self.path("app.d.ts"), "w", encoding="utf-8") as f:
            f.write(made)
        if shutil.which("tsc"):
            subprocess.run(["tsc", "--noEmit", "--strict", "app.d.ts"], check=True, cwd=self.dir)
        with open(self.path("bad.sql"), "w", encoding="utf-8") as f:
            f.write("CREATE TABLE a (x TEXT);\n")
        self.assertEqual(self.refused(1, "types", "bad.sql"), "daybook: the definition has 1 error\nhint: 'daybook check bad.sql' shows them\n")
        self.refused(2, "types")

    def test_the_bench_leaves_nothing_behind(self):
        os.mkdir(self.path("place"))
        report = json.loads(self.daybook("bench", "place", "--json"))
        self.assertTrue(report["ok"])
        for kind in ("single", "array"):
            figures = report[kind]
            self.assertTrue(all(figures[name] > 0 for name in ("commands_per_second", "raw_per_second", "bytes_per_sync", "ratio")), figures)
        self.assertEqual(os.listdir(self.path("place")), [])
        self.assertIn("cannot open directory 'nowhere'", self.refused(1, "bench", "nowhere"))
        os.chmod(self.path("place"), 0o500)
        if os.geteuid() != 0:
            self.assertIn("cannot make folder", self.refused(1, "bench", "place"))

    def test_query_in_every_form(self):
        store = self.store()
        self.receipts(store, ndjson([put(1, title='a "b", c', stars=3), put(2, title="tab\there\nline"), put(3, title="Größe", stars=0)]))
        sql = "SELECT id, title, stars FROM notes ORDER BY id"
        answer = json.loads(self.daybook("query", store, sql, "--json"))
        self.assertEqual(answer["columns"], ["id", "title", "stars"])
        self.assertEqual(answer["rows"], [["n1", 'a "b", c', 3], ["n2", "tab\there\nline", None], ["n3", "Größe", 0]])
        self.assertEqual(answer["position"], 4)
        read = list(csv.reader(io.StringIO(self.daybook("query", store, sql, "--csv"), newline="")))
        self.assertEqual(read, [["id", "title", "stars"], ["n1", 'a "b", c', "3"], ["n2", "tab\there\nline", ""], ["n3", "Größe", "0"]])
        self.assertEqual(self.daybook("query", store, sql).splitlines(), ["id\ttitle\tstars", 'n1\ta "b", c\t3', "n2\ttab\\there\\nline\t", "n3\tGröße\t0"])

    def test_arguments_and_named_queries(self):
        store = self.store()
        self.receipts(store, ndjson([put(1, title="17", stars=1), put(2, stars=5), put(3, stars=7)]))
        self.assertEqual(self.rows(store, "SELECT id FROM notes WHERE stars > :least AND id <> :not", "least=2", "not=n3"), [["n2"]])
        self.assertEqual(json.loads(self.daybook("query", store, "--name", "starred", "least=5", "--json"))["rows"], [["n2"], ["n3"]])
        self.assertEqual(self.daybook("query", store, "--name", "starred"), "id\nn1\nn2\nn3\n")
        self.assertEqual(self.daybook("query", store, "--name", "titled", 'title="17"'), "id\tstars\nn1\t1\n")

    def test_what_a_query_may_not_do(self):
        store = self.store()
        self.transcript("query_refused.txt", [("query", store, s) for s in (
            "SELEC 1", "SELECT * FROM nowhere", "DELETE FROM notes", "SELECT 1; SELECT 2", "PRAGMA user_version",
            "ATTACH 'x' AS y", "SELECT * FROM _daybook_state", "", "SELECT :a",
            "SELECT * FROM note", "SELECT n.tite FROM notes n", "SELECT positon FROM events", "SELECT * FROM main.evens", "SELECT zzz")] + [
            ("query", store, "SELECT :a", "b=1"), ("query", store, "--name", "nothing"), ("query", store, "--name", "titled"),
            ("query", store, "SELECT :abc", "abd=1", "abc=2"), ("query", store, "SELECT ?", "a=1"), ("query", store, "SELECT ?1 + ?2"),
            ("query", store, "SELECT 1; DELETE FROM notes"), ("query", store, "UPDATE notes SET stars = 1"), ("query", store, "/* nothing */"),
            ("query", store, "CREATE TABLE x (a)"), ("query", store, "BEGIN"), ("query", store, "EXPLAIN SELECT 1"),
            ("query", store, "--name", "stared"), ("query", store, "--name", "starred", "least=x"), ("query", store, "--name", "starred", "least=null"),
            ("query", store, "--name", "starred", "lest=1"), ("query", store, "SELECT 1", "--at", "17")])

    def test_an_answer_may_have_a_hundred_thousand_rows(self):
        store = self.store()
        sql = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {}) SELECT x FROM c"
        self.assertEqual(len(self.rows(store, sql.format(12000))), 12000)
        self.assertEqual(len(self.daybook("query", store, sql.format(12000)).splitlines()), 12001)
        answers = self.receipts(store, ndjson([{"do": "query", "sql": sql.format(12000)}]))
        self.assertEqual(len(answers[0]["rows"]), 12000)
        said = self.refused(1, "query", store, sql.format(100001))
        self.assertIn(said.splitlines()[0], ("daybook: the answer has more than 100000 rows", "daybook: the query took too long"))

    def test_a_query_that_takes_too_long_says_what_to_do(self):
        store = self.store()
        sql = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
        self.assertEqual(self.refused(1, "query", store, sql), "daybook: the query took too long\nhint: a query has 250 ms: ask for less, add an "
                         "index to the definition, or ask a file made by 'replay'\n")

    def test_failures_in_json(self):
        store = self.store()
        for args, status, error in ((("query", store, "SELECT * FROM x"), 1, "bad_command"), (("query", "nowhere", "SELECT 1"), 3, "unavailable"),
                                    (("query", store, "SELECT 1", "--at", "x"), 2, "bad_command"), (("stats", "nowhere"), 3, "unavailable"),
                                    (("log", "nowhere"), 3, "unavailable"), (("send", "nowhere", "-"), 3, "unavailable"),
                                    (("watch", store), 1, "unavailable"), (("watch", "nowhere"), 3, "unavailable"),
                                    (("init", store, "--app", APP), 1, "bad_command"), (("check", "nowhere"), 1, "unavailable"),
                                    (("replay", store, "--into", store), 1, "bad_command"), (("fingerprint", store, "--at", "9"), 1, "not_found"),
                                    (("rebuild", "nowhere"), 3, "unavailable"), (("inbox", store, "apply", "1"), 1, "not_found"),
                                    (("inbox", store, "apply", "x"), 2, "bad_command"), (("verify", "nowhere"), 3, "unavailable"),
                                    (("doctor", "nowhere"), 3, "unavailable"), (("serve", "nowhere"), 3, "unavailable"), (("frob",), 2, "bad_command")):
            done = self.run_program(*args, "--json")
            self.assertEqual(done.returncode, status, args)
            self.assertNotIn("daybook:", done.stderr, args)
            said = json.loads(done.stdout)
            self.assertEqual((said["ok"], said["error"]), (False, error), args)
            self.assertTrue(said["message"] and said["class"], args)

    def test_as_of_a_position_and_a_time(self):
        store = self.store()
        for stars in (1, 2, 3):
            self.receipts(store, ndjson([dict(put(1, stars=stars), id=f"s{stars}")]))
        sql = "SELECT stars FROM notes"
        self.assertEqual([self.rows(store, sql, "--at", str(p)) for p in (1, 2, 3, 4)], [[], [[1]], [[2]], [[3]]])
        times = [json.loads(l)["time"] for l in self.daybook("log", store, "--json").splitlines()]
        self.assertEqual(self.rows(store, sql, "--at", "2020-01-01"), [])
        self.assertEqual(self.rows(store, sql, "--at", times[-1]), [[3]])
        self.assertEqual(self.rows(store, sql, "--order-time", times[-1]), [[3]])

    def test_the_log_as_lines_and_as_cloudevents(self):
        store = self.store(commands=3)
        events = [json.loads(l) for l in self.daybook("log", store, "--json").splitlines()]
        self.assertEqual([e["position"] for e in events], [1, 2, 3, 4])
        for name in ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"):
            self.assertTrue(all(name in e for e in events), name)
        self.assertEqual([e["subject"] for e in events[1:]], ["notes/n1", "notes/n2", "notes/n3"])
        lines = self.daybook("log", store, "--from", "2", "--to", "3").splitlines()
        self.assertEqual([l.split()[0] for l in lines], ["2.0", "3.0"])
        self.assertEqual(len(self.daybook("log", store, "--stream", "notes/n2").splitlines()), 1)
        self.assertEqual(len(self.daybook("log", store, "--type", "notes.put").splitlines()), 3)
        done = self.run_program("log", store, "--from", "99")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", "the log ends at position 4\n"))
        self.assertEqual(self.run_program("log", store, "--from", "4").stderr, "")
        self.assertEqual(self.daybook("log", store, "--to", "0"), "")
        self.assertEqual(self.daybook("log", store, "--reverse").splitlines(), self.daybook("log", store).splitlines()[::-1])
        self.assertEqual(self.daybook("log", store, "-r", "--type", "notes.put", "--to", "3").splitlines(),
                         self.daybook("log", store, "--type", "notes.put", "--to", "3").splitlines()[::-1])
        self.assertEqual(self.daybook("log", store, "--since", "2001-01-01"), self.daybook("log", store))
        self.assertEqual(self.daybook("log", store, "--since", "2999-01-01T00:00:00Z"), "")
        self.assertEqual(self.run_program("log", store, "--since", "soon").returncode, 2)
        self.assertEqual(self.run_program("log", store, "--reverse", "--follow").returncode, 2)

    def test_following_the_log_shows_what_comes_and_ends_on_sigterm(self):
        store = self.store(commands=1)
        with subprocess.Popen([PROGRAM, "log", store, "--follow", "--json"], stdout=subprocess.PIPE, text=True, env=self.env, cwd=self.dir) as p:
            self.assertEqual([json.loads(p.stdout.readline())["position"] for _ in range(2)], [1, 2])
            self.receipts(store, ndjson([put(2)]))
            self.assertEqual(json.loads(p.stdout.readline())["position"], 3)
            p.terminate()
            self.assertEqual(p.wait(30), 0)

    def test_a_recount_finds_rows_that_nobody_wrote(self):
        store = self.store(commands=5)
        kept = json.loads(self.daybook("fingerprint", store, "--json"))["fingerprint"]
        counted = json.loads(self.daybook("fingerprint", store, "--recount", "--json"))
        self.assertEqual((counted["fingerprint"], counted["recounted"], counted["same"], counted["rows"]), (kept, kept, True, 5))
        models = self.path(store, "models")
        with open(os.path.join(models, "current")) as f:
            serial = f.read(8)
        with sqlite3.connect(glob.glob(os.path.join(models, serial, "*.sqlite"))[0]) as db:
            db.execute("UPDATE notes SET title = 'not by a command' WHERE id = (SELECT min(id) FROM notes)")
        db.close()
        found = self.run_program("fingerprint", store, "--recount", "--json")
        self.assertEqual(found.returncode, 1)
        answer = json.loads(found.stdout)
        self.assertEqual((answer["fingerprint"], answer["same"]), (kept, False))
        self.assertEqual([t["table"] for t in answer["tables"]], ["notes"])
        found = self.run_program("fingerprint", store, "--recount")
        self.assertEqual(found.returncode, 1)
        self.assertIn("differs      table 'notes': 5 rows, 5 by the log\n", found.stdout)
        self.assertIn("daybook rebuild", found.stderr)

    def test_fingerprint_replay_and_rebuild_agree(self):
        store = self.store(commands=5)
        now = json.loads(self.daybook("fingerprint", store, "--json"))
        self.assertEqual(now["position"], 6)
        self.assertEqual(json.loads(self.daybook("fingerprint", store, "--at", "6", "--json")), now)
        self.assertNotEqual(json.loads(self.daybook("fingerprint", store, "--at", "5", "--json"))["fingerprint"], now["fingerprint"])
        self.assertIn(now["fingerprint"], self.daybook("fingerprint", store))
        replayed = json.loads(self.daybook("replay", store, "--into", "fresh.sqlite", "--json"))
        self.assertEqual(replayed, dict(now, events=6))
        with sqlite3.connect(self.path("fresh.sqlite")) as db:
            self.assertEqual(db.execute("SELECT count(*) FROM notes").fetchone(), (5,))
            self.assertEqual(db.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE '\\_daybook%' ESCAPE '\\'").fetchone(), (0,))
        self.assertEqual(json.loads(self.daybook("replay", store, "--to", "3", "--into", "early.sqlite", "--json"))["position"], 3)
        self.assertIn("fresh.sqlite", self.refused(1, "replay", store, "--into", "fresh.sqlite"))
        self.assertIn("there is no position 99", self.refused(1, "replay", store, "--to", "99", "--into", "x.sqlite"))
        self.assertTrue(now["ok"] and replayed["ok"])
        rebuilt = json.loads(self.daybook("rebuild", store, "--json"))
        self.assertEqual(list(rebuilt), ["ok", "timeline", "generation", "position", "fingerprint", "took_ms"])
        self.assertEqual((rebuilt["generation"], rebuilt["position"], rebuilt["fingerprint"]), (2, 6, now["fingerprint"]))
        self.assertRegex(self.daybook("rebuild", store), r"(?m)^generation +3$")
        self.assertEqual(json.loads(self.daybook("fingerprint", store, "--json")), now)

    def test_reading_the_log_and_replaying_change_not_one_byte(self):
        store = self.store(commands=4)
        before = self.checksums(store)
        for args in (("log", store), ("replay", store, "--into", "x.sqlite"), ("fingerprint", store, "--at", "3"), ("verify", store)):
            self.daybook(*args)
            self.assertEqual(self.checksums(store), before, args)

    def test_stats_and_doctor(self):
        store = self.store(commands=3)
        self.assertEqual(json.loads(self.daybook("stats", store, "--json"))["entries"], 4)
        self.assertRegex(self.daybook("stats", store), r"(?m)^entries +4$")
        before = self.checksums(store)
        report = json.loads(self.daybook("doctor", store, "--json"))
        self.assertEqual(report["lock"], "free")
        for name in ("daybook", "sqlite", "open_files_limit", "file_system", "free_bytes", "synced_writes_per_second", "advice"):
            self.assertIn(name, report)
        after = self.checksums(store)
        for sums in (before, after):  # it names the last holder
            del sums[os.path.join(store, "LOCK")]
        self.assertEqual(after, before)
        machine = json.loads(self.daybook("doctor", "--json"))
        self.assertEqual(machine["limits"]["command_bytes"], 1024 * 1024)
        self.assertEqual((machine["limits"]["json_depth"], machine["limits"]["answer_rows"]), (32, 100000))
        self.assertEqual(machine["sockets"]["path"], self.env["XDG_RUNTIME_DIR"])
        self.assertTrue(machine["here"]["file_system"] and machine["temporary"]["path"])
        self.assertNotIn("store", machine)
        self.assertRegex(self.daybook("doctor"), r"(?m)^sqlite +3\.")
        os.mkdir(self.path("empty"))
        self.assertIn("'empty' is no store", self.refused(3, "doctor", "empty"))
        self.assertIn("cannot open directory 'nowhere'", self.refused(3, "doctor", "nowhere"))
        lowered = subprocess.run(["bash", "-c", f"ulimit -n 64; exec {PROGRAM} doctor"], capture_output=True, text=True, env=self.env, cwd=self.dir)
        self.assertIn("advice: raise the limit of open files", lowered.stdout)

    def test_stats_and_verify_count_the_same(self):
        store = self.store(commands=30)
        stats, verified = (json.loads(self.daybook(name, store, "--json")) for name in ("stats", "verify"))
        for name in ("entries", "batches", "segments", "bytes", "file_bytes"):
            self.assertEqual(stats[name], verified[name], name)
        files = [os.path.join(folder, f) for folder, _, names in os.walk(self.path(store, "log")) for f in names]
        self.assertEqual(verified["file_bytes"], sum(os.path.getsize(f) for f in files))
        self.assertGreater(verified["file_bytes"], verified["bytes"])

    def test_an_empty_inbox(self):
        store = self.store(commands=1)
        self.assertEqual(self.daybook("inbox", store), "")
        self.assertEqual(json.loads(self.daybook("inbox", store, "--json"))["items"], [])
        self.assertIn("the inbox has no number 1; it holds 0", self.refused(1, "inbox", store, "apply", "1"))
        self.assertIn("is no position", self.refused(2, "inbox", store, "dismiss", "x"))

    def test_the_default_store(self):
        store = self.store(commands=2)
        self.assertEqual(self.daybook("query", "SELECT count(*) FROM notes").splitlines()[1], "2")
        os.makedirs(self.path("x", "y"))
        self.assertEqual(self.daybook("query", "SELECT count(*) FROM notes", cwd=self.path("x", "y")).splitlines()[1], "2")
        self.assertEqual(self.daybook("query", "--name", "starred", "least=0", cwd=self.path("x")), "id\n")
        self.store("b.daybook")
        self.assertIn("which store", self.refused(2, "stats"))
        env = dict(self.env, DAYBOOK_STORE=self.path(store))
        self.assertEqual(json.loads(self.daybook("stats", "--json", env=env))["entries"], 3)

    def test_a_reader_that_leaves_ends_it_quietly(self):
        store = self.store(commands=300)
        done = subprocess.run(["bash", "-c", f"{PROGRAM} log {store} --json | head -n 1; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True,
                              env=self.env, cwd=self.dir)
        self.assertEqual(done.stderr, "")
        self.assertEqual(done.stdout.splitlines()[-1], "0")

    def test_a_full_disk_behind_stdout_is_told(self):
        store = self.store(commands=3)
        done = subprocess.run(["bash", "-c", f"{PROGRAM} log {store} --json >/dev/full"], capture_output=True, text=True, env=self.env, cwd=self.dir)
        self.assertEqual((done.returncode, done.stderr), (1, "daybook: cannot write to stdout: No space left on device\n"))

    def on_terminal(self, *args, **env):
        main, other = pty.openpty()
        with subprocess.Popen([PROGRAM, *args], stdout=other, stderr=other, stdin=other, env=dict(self.env, TERM="xterm", **env), cwd=self.dir) as p:
            os.close(other)
            text = b""
            while True:
                try:
                    part = os.read(main, 65536)
                except OSError:
                    break
                if not part:
                    break
                text += part
            p.wait(60)
        os.close(main)
        return text.decode().replace("\r\n", "\n")

    def test_on_a_terminal(self):
        store = self.store()
        self.receipts(store, ndjson([put(1, title="Größe", stars=12345), put(2, title="\x1b[2J\u009b evil", stars=7)]))
        self.assertEqual(self.on_terminal("query", store, "SELECT id, title, stars FROM notes"),
                         "id  title             stars\n--  ----------------  -----\n"
                         "n1  Größe             12345\nn2  \\x1b[2J\\x9b evil      7\n")
        self.assertIn("\x1b[1;31mdaybook:\x1b[0m", self.on_terminal("stats", "nowhere"))
        self.assertNotIn("\x1b", self.on_terminal("stats", "nowhere", NO_COLOR="1"))
        self.assertNotIn("\x1b", self.on_terminal("log", store))


if __name__ == "__main__":
    unittest.main()
