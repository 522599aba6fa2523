"""Async models from the outside: a daemon and a store of one's own, failures, upgrades, kills in the middle."""
import glob
import json
import os
import shutil
import signal
import sqlite3
import threading
import time
import unittest

from cli_case import Case, Daemon, ndjson

SCHEMA = "CREATE TABLE orders(id TEXT PRIMARY KEY NOT NULL, customer TEXT NOT NULL, total INTEGER NOT NULL);\n"
STATS = "CREATE TABLE totals(customer TEXT PRIMARY KEY NOT NULL, sum INTEGER NOT NULL CHECK (sum < 1000000));\n"
SUMS = """-- on orders.put
INSERT INTO totals(customer, sum) VALUES ($customer, $total) ON CONFLICT(customer) DO UPDATE SET sum = sum + $total;
"""
COUNTS = SUMS.replace("$total", "1")
TOTALS = "SELECT customer, sum FROM totals ORDER BY customer"


def order(number, customer="ann", total=10):
    return {"id": f"o{number}", "do": "put", "table": "orders", "key": f"o{number}", "data": {"customer": customer, "total": total}}


class Models(Case):
    def app(self, name, projections=SUMS, models='{"stats": {"mode": "async"}}'):
        def write(file, text):
            os.makedirs(os.path.dirname(self.path(name, file)), exist_ok=True)
            with open(self.path(name, file), "w", encoding="utf-8") as f:
                f.write(text)
        write("schema.sql", SCHEMA)
        write("app.json", '{"daybook": 1, "name": "shop", "models": ' + models + "}" if models else '{"daybook": 1, "name": "shop"}')
        if models:
            write("stats/schema.sql", STATS)
            write("stats/projections.sql", projections)
        return name

    def shop(self, *orders, **more):
        self.daybook("init", "s.daybook", "--app", self.app("app", **more))
        if orders:
            self.send(*orders)
        return "s.daybook"

    def send(self, *orders, store="s.daybook"):
        self.assertTrue(all(r["ok"] for r in self.receipts(store, ndjson(orders))))

    def model(self, target="s.daybook", name="stats"):
        models = json.loads(self.daybook("model", "list", target, name, "--json"))["models"]
        self.assertEqual([m["model"] for m in models], [name])
        return models[0]

    def wait(self, target, **want):
        until = time.monotonic() + 60
        while True:
            model = self.model(target)
            if all(model.get(k) == v for k, v in want.items()):
                return model
            self.assertLess(time.monotonic(), until, f"{want} never came: {model}")
            time.sleep(0.02)

    def test_without_a_daemon_it_is_there_when_it_is_asked(self):
        store = self.shop(order(1), order(2, "bob", 5), order(3))
        self.assertEqual(self.rows(store, TOTALS), [["ann", 20], ["bob", 5]])
        self.assertEqual(self.rows(store, "SELECT count(*) FROM orders"), [[3]])
        self.assertEqual(self.rows(store, TOTALS, "--at", "3"), [["ann", 10], ["bob", 5]])
        self.assertEqual(self.daybook("model", "list", store).splitlines(),
                         ["model\tmode\tstate\tposition\tbehind\tfailed", "main\tinline\trunning\t4\t0\t", "stats\tasync\trunning\t4\t0\t"])
        now = json.loads(self.daybook("fingerprint", store, "--model", "stats", "--json"))
        rebuilt = json.loads(self.daybook("rebuild", store, "stats", "--json"))["models"][0]
        self.assertEqual((now["fingerprint"], now["position"]), (rebuilt["fingerprint"], rebuilt["position"]))
        lines = dict(line.split() for line in self.daybook("rebuild", store, "stats").splitlines() if len(line.split()) == 2)
        self.assertEqual((lines["fingerprint"], lines["position"]), (rebuilt["fingerprint"], str(rebuilt["position"])))
        made = json.loads(self.daybook("replay", store, "--model", "stats", "--into", "made.sqlite", "--json"))
        self.assertEqual(made["fingerprint"], now["fingerprint"])
        self.assertEqual(json.loads(self.daybook("stats", store, "--json"))["models"][0]["state"], "running")

    def test_a_daemon_follows_and_shows_where_it_stopped(self):
        daemon = Daemon(self, self.shop(order(1)))
        for target in ("s.daybook", daemon.url):
            self.wait(target, state="running", behind=0)
        self.send(order(2, total=2000000), order(3, "bob"))
        failed = self.wait(daemon.url, state="failed", behind=2)
        self.assertEqual((failed["position"], failed["failed"]["position"], failed["failed"]["type"]), (2, 3, "orders.put"))
        self.assertIn("stats/projections.sql:2: CHECK sum < 1000000", failed["failed"]["error"])
        self.assertIn("failed\t2\t2\tat 3, orders.put: stats/projections.sql:2", self.daybook("model", "retry", daemon.url, status=1))
        self.assertIn("has not failed at 2 but at 3", self.refused(1, "model", "skip", daemon.url, "stats", "2"))
        self.assertIn("stats\tasync\trunning\t5\t0", self.daybook("model", "skip", daemon.url, "stats", "3"))
        self.assertEqual(self.rows(daemon.url, TOTALS), [["ann", 10], ["bob", 10]])
        self.assertEqual([json.loads(l)["type"] for l in self.daybook("log", daemon.url, "--stream", "daybook/model/stats", "--json").splitlines()],
                         ["daybook.model.skip"])
        self.daybook("model", "pause", daemon.url)
        self.send(order(4, "cid"))
        self.assertEqual(daemon.end(), 0)
        self.assertEqual(self.model()["state"], "paused")
        self.assertEqual(self.rows("s.daybook", TOTALS), [["ann", 10], ["bob", 10]])
        self.daybook("model", "resume", "s.daybook", "stats")
        self.assertEqual(self.rows("s.daybook", TOTALS), [["ann", 10], ["bob", 10], ["cid", 10]])
        self.assertEqual(self.daybook("model", "unskip", "s.daybook", "stats", "3", status=1).count("at 3, orders.put"), 1)

    def test_on_error_pause_waits_to_be_told(self):
        store = self.shop(order(1, total=2000000), models='{"stats": {"on_error": "pause"}}')
        self.assertEqual(self.model()["state"], "paused")
        self.assertEqual(self.model()["failed"]["position"], 2)
        self.assertIn("is paused", self.refused(1, "model", "retry", store, "stats"))
        self.daybook("model", "skip", store, "stats")
        self.daybook("model", "resume", store, "stats")
        self.wait(store, state="running", behind=0)

    def test_words(self):
        store = self.shop()
        self.assertIn("say what: list, retry", self.refused(2, "model"))
        self.assertIn("did you mean 'retry'?", self.refused(2, "model", "rety", store))
        self.assertIn("'x' is one word too many", self.refused(2, "model", "pause", store, "stats", "x"))
        self.assertIn("'unskip' needs", self.refused(2, "model", "unskip", store, "stats"))
        self.assertIn("there is no model 'stat'", self.refused(1, "model", "list", store, "stat"))
        self.assertIn("did you mean 'stats'?", self.refused(1, "rebuild", store, "stat"))
        self.assertIn("'main' is no async model", self.refused(1, "model", "pause", store, "main"))
        self.assertIn("has not failed", self.refused(1, "model", "skip", store))
        self.assertIn("there is no position 99", self.refused(1, "model", "unskip", store, "stats", "99"))
        os.mkdir(self.path("elsewhere"))
        self.assertEqual(self.run_program("model", "list", "../s.daybook", cwd=self.path("elsewhere")).stderr, "")
        self.daybook("init", "plain.daybook", "--app", self.app("plain", models=""))
        self.assertIn("the app has no async model", self.refused(2, "model", "pause", "plain.daybook"))

    def test_what_else_knows_of_them(self):
        store = self.shop(order(1, total=2000000))
        self.assertIn("1 async model", self.daybook("check", "app"))
        self.assertIn("totals: {", self.daybook("types", "app"))
        self.assertEqual(self.model()["state"], "failed")
        report = json.loads(self.daybook("doctor", store, "--json"))
        self.assertIn('"failed"', report["model_stats"])
        self.assertTrue(any("an async model stopped" in a for a in report["advice"]))
        self.assertIn("is of the async model 'stats'", self.refused(1, "history", store, "totals", "ann"))

    def test_verify_names_what_is_wrong_with_the_file_of_an_async_model(self):
        self.daybook("init", "v.daybook", "--app", self.app("sums"))
        self.daybook("rebuild", "v.daybook", "stats")
        self.daybook("verify", "v.daybook")
        folder = self.path("v.daybook", "models", "async-stats")
        with open(os.path.join(folder, "current")) as f:
            name = os.path.join(folder, f.read(8), "stats.sqlite")
        with open(name, "r+b") as f:
            f.write(b"no database")
        found = self.run_program("verify", "v.daybook", "--json")
        self.assertEqual(found.returncode, 1)
        self.assertRegex(found.stdout, r'"file":"models/async-stats/\d{8}/stats.sqlite","offset":0,"law":4,"message":"it is no SQLite file"')
        os.remove(name)
        self.assertIn("it is missing", self.run_program("verify", "v.daybook", "--json").stdout)
        with open(os.path.join(folder, "current"), "w") as f:
            f.write("x")
        self.assertIn("models/async-stats/current", self.run_program("verify", "v.daybook", "--json").stdout)

    def test_the_file_of_main_has_the_name_that_app_json_says(self):
        store = self.shop(order(1), models='{"main": {"file": "shop.db"}, "stats": {"mode": "async"}}')

        def files():
            found = glob.glob(self.path(store, "models", "[0-9]*", "*"))
            return sorted(os.path.basename(name) for name in found if not name.endswith(("-wal", "-shm")))
        self.assertEqual(files(), ["shop.db"])
        self.daybook("verify", store)
        daemon = Daemon(self, store)
        self.daybook("upgrade", daemon.url, "--app", self.app("next", models='{"main": {"file": "next.sqlite"}, "stats": {"mode": "async"}}'))
        self.assertEqual(self.rows(daemon.url, "SELECT id FROM orders"), [["o1"]])
        self.assertEqual(self.rows(store, "SELECT id FROM orders"), [["o1"]])
        self.send(order(2), store=daemon.url)
        self.assertEqual(daemon.end(), 0)
        self.assertEqual(files(), ["next.sqlite"])
        self.assertEqual(self.rows(store, "SELECT count(*) FROM orders"), [[2]])
        self.daybook("verify", store)
        self.daybook("doctor", store)
        name = glob.glob(self.path(store, "models", "[0-9]*", "next.sqlite"))[0]
        with open(name, "r+b") as f:
            f.write(b"no database")
        self.assertRegex(self.run_program("verify", store, "--json").stdout,
                         r'"file":"models/\d{8}/next.sqlite","offset":0,"law":4,"message":"it is no SQLite file"')
        os.rename(name, name.replace("next.sqlite", "shop.db"))  # as an upgrade leaves it that the next opening ends
        self.assertRegex(self.run_program("verify", store, "--json").stdout, r'"file":"models/\d{8}/shop.db",.*"it is no SQLite file"')
        os.remove(name.replace("next.sqlite", "shop.db"))
        self.assertRegex(self.run_program("verify", store, "--json").stdout, r'"file":"models/\d{8}/next.sqlite",.*"it is missing"')
        self.assertEqual(self.rows(store, "SELECT count(*) FROM orders"), [[2]])
        self.send(order(3))
        self.assertEqual(files(), ["next.sqlite"])
        self.daybook("verify", store)

    def test_a_budget_bounds_commands_and_stops_an_async_model(self):
        def models(main, stats):
            return f'{{"main": {{"budget": "{main}"}}, "stats": {{"mode": "async", "budget": "{stats}"}}}}'

        def many(numbers):
            return ndjson([order(i, customer=f"{i:0500}") for i in numbers])
        store = self.shop(models=models("128 KiB", "80 KiB"))
        answers = self.receipts(store, many(range(1000, 1200)), status=1)
        taken = [r["ok"] for r in answers].index(False)
        refused = answers[taken]
        self.assertGreater(taken, 20)
        self.assertEqual((refused["error"], refused["outcome"]), ("no_space", "none"))
        self.assertIn("the model 'main' would hold", refused["message"])
        self.assertIn("raise 'models.main.budget' of app.json and upgrade", refused["hint"])
        self.assertEqual(self.rows(store, "SELECT count(*) FROM orders"), [[sum(r["ok"] for r in answers)]])
        stopped = self.model()
        self.assertEqual((stopped["state"], stopped["failed"]["over_budget"], stopped["budget"]["bytes"]), ("failed", True, 81920))
        self.assertIn("over its budget of 81920", self.daybook("model", "list", store))
        self.assertIn("leaving an entry out makes no room", self.refused(1, "model", "skip", store, "stats"))
        self.send(*[{"id": f"d{i}", "do": "delete", "table": "orders", "key": f"o{i}"} for i in range(1000, 1010)])
        self.send(order(7, customer="after the deletes"))
        daemon = Daemon(self, store)
        self.daybook("upgrade", daemon.url, "--app", self.app("more", models=models("4 MiB", "4 MiB")))
        self.wait(daemon.url, state="running", behind=0)
        self.assertTrue(all(r["ok"] for r in self.receipts(daemon.url, many(range(2000, 2200)))))
        self.wait(daemon.url, state="running", behind=0)
        self.assertEqual(daemon.end(), 0)
        self.daybook("verify", store)

    def test_an_app_without_undo_refuses_it_by_name(self):
        store = self.shop(order(1), models='{"main": {"undo": false}, "stats": {"mode": "async", "undo": false}}')
        self.assertIn("the app has no undo: 'models.main.undo' of app.json is false", self.refused(1, "undo", store, "2"))
        daemon = Daemon(self, store)
        told = json.loads(self.run_program("undo", daemon.url, "2", "--json").stdout)
        self.assertEqual((told["ok"], told["error"], told["class"]), (False, "bad_command", "validation"))
        self.assertEqual(self.rows(daemon.url, "SELECT id FROM orders"), [["o1"]])
        self.assertEqual(daemon.end(), 0)

    def test_upgrades_change_one_model_alone(self):
        self.daybook("init", "s.daybook", "--app", self.app("none", models=""))
        self.send(*[order(i) for i in range(1, 51)])
        before = json.loads(self.daybook("fingerprint", "s.daybook", "--json"))
        daemon = Daemon(self, "s.daybook")
        shown = json.loads(self.daybook("upgrade", daemon.url, "--app", self.app("sums"), "--dry-run", "--json"))
        self.assertEqual(([m["name"] for m in shown["models"]], shown["upgraded"]), (["stats"], False))
        self.daybook("upgrade", daemon.url, "--app", "sums")
        self.assertEqual(self.rows(daemon.url, TOTALS), [["ann", 500]])
        self.assertIn("this definition already", self.daybook("upgrade", daemon.url, "--app", "sums") + self.run_program("upgrade", daemon.url, "--app", "sums").stderr)
        self.daybook("upgrade", daemon.url, "--app", self.app("counts", COUNTS))
        self.assertEqual(self.rows(daemon.url, TOTALS), [["ann", 50]])
        self.assertEqual(daemon.end(), 0)
        self.assertEqual(self.rows("s.daybook", TOTALS), [["ann", 50]])
        self.assertEqual(json.loads(self.daybook("fingerprint", "s.daybook", "--json")), before)
        shown = self.daybook("upgrade", "s.daybook", "--app", self.app("bad", SUMS.replace("$total)", "$total * 2000000)")), "--dry-run")
        self.assertRegex(shown, r"(?m)^  stops at position 2, orders.put: .*projections.sql:")
        shown = json.loads(self.daybook("upgrade", "s.daybook", "--app", self.app("bad", SUMS.replace("$total)", "$total * 2000000)")), "--json"))
        self.assertEqual((shown["upgraded"], shown["models"][0]["failed"]["position"]), (True, 2))
        self.daybook("upgrade", "s.daybook", "--app", "none")
        self.assertIn("no such table", self.refused(1, "query", "s.daybook", TOTALS))
        self.assertFalse(any(n.startswith("async-") for n in os.listdir(self.path("s.daybook", "models"))))

    def test_files_that_go_come_back(self):
        daemon = Daemon(self, self.shop(order(1)))
        self.wait(daemon.url, state="running", behind=0)
        shutil.rmtree(self.path("s.daybook", "models", "async-stats", "00000001"))
        self.send(order(2))
        self.wait(daemon.url, state="running", behind=0)
        self.assertEqual(self.rows(daemon.url, TOTALS), [["ann", 20]])
        self.assertEqual(daemon.end(), 0)
        folder = self.path("s.daybook", "models", "async-stats")
        serial = next(n for n in os.listdir(folder) if n.isdigit())
        with open(os.path.join(folder, serial, "stats.sqlite"), "r+b") as f:
            f.seek(100)
            f.write(os.urandom(4000))
        self.wait("s.daybook", state="running", behind=0)
        self.assertEqual(self.rows("s.daybook", TOTALS), [["ann", 20]])

    def test_a_file_that_goes_is_made_again_when_somebody_looks(self):
        daemon = Daemon(self, self.shop(order(1)))
        self.wait(daemon.url, state="running", behind=0)
        folder = self.path("s.daybook", "models", "async-stats")
        serial = next(n for n in os.listdir(folder) if n.isdigit())
        os.remove(os.path.join(folder, serial, "stats.sqlite"))
        self.wait(daemon.url, state="running", behind=0, healed="its file was deleted")
        stats = json.loads(self.daybook("stats", daemon.url, "--json"))
        self.assertEqual([(m["model"], m["state"], m["healed"]) for m in stats["models"]], [("stats", "running", "its file was deleted")])
        self.assertNotIn("model_stats_file", json.loads(self.daybook("doctor", "s.daybook", "--json")))
        self.assertEqual(daemon.end(), 0)
        os.remove(os.path.join(folder, "current"))
        told = json.loads(self.daybook("doctor", "s.daybook", "--json"))
        self.assertEqual(told["model_stats_file"], "not built")
        self.assertTrue(any("an async model has no file" in line for line in told["advice"]), told["advice"])

    def test_a_recount_names_the_tables_of_an_async_model(self):
        store = self.shop(order(1), order(2, "bob"))
        self.wait(store, state="running", behind=0)
        same = json.loads(self.daybook("fingerprint", store, "--model", "stats", "--recount", "--json"))
        self.assertEqual((same["same"], "tables" in same), (True, False))
        folder = self.path(store, "models", "async-stats")
        with open(os.path.join(folder, "current")) as f:
            name = os.path.join(folder, f.read(8), "stats.sqlite")
        with sqlite3.connect(name) as db:
            db.execute("DELETE FROM totals WHERE customer = 'bob'")
        db.close()
        found = self.run_program("fingerprint", store, "--model", "stats", "--recount", "--json")
        self.assertEqual(found.returncode, 1)
        self.assertIn("tables", found.stdout, found.stderr)
        self.assertEqual([(t["table"], t["rows"], t["rows_of_log"]) for t in json.loads(found.stdout)["tables"]], [("totals", 1, 2)])

    def test_killed_again_and_again_it_ends_up_right(self):
        store = self.shop()
        sent = 0
        for _ in range(8):
            daemon = Daemon(self, store)
            def feed(first):
                self.run_program("send", daemon.url, input=ndjson(order(i, f"c{i % 7}", i % 10) for i in range(first, first + 2000)))
            feeder = threading.Thread(target=feed, args=(sent,))
            feeder.start()
            time.sleep(0.15)
            self.run_program("rebuild", daemon.url, "stats") if sent % 4000 == 0 else time.sleep(0.1)
            daemon.end(signal.SIGKILL)
            feeder.join()
            sent += 2000
        last = json.loads(self.daybook("fingerprint", store, "--json"))["position"]
        now = self.wait(store, state="running", behind=0)
        self.assertEqual(now["position"], last)
        fresh = json.loads(self.daybook("replay", store, "--model", "stats", "--into", "fresh.sqlite", "--json"))
        self.assertEqual(now["fingerprint"], fresh["fingerprint"])
        want = {}
        for customer, total in self.rows(store, "SELECT customer, total FROM orders"):
            want[customer] = want.get(customer, 0) + total
        self.assertEqual(dict(self.rows(store, TOTALS)), want)


if __name__ == "__main__":
    unittest.main()
