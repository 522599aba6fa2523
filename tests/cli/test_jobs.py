"""examples/jobs: the whole of a media downloader's storage as an app definition, driven over the bus by workers that
crash, ask twice and come at the same time."""
import csv
import json
import os
import random
import shutil
import sqlite3
import threading
import time
import unittest

from cli_case import TOP, Case, Daemon, ndjson

APP = os.path.join(TOP, "examples", "jobs", "app")
MOVES = {
    "job.claim": {"QUEUED": "DOWNLOADING"},
    "job.downloaded": {"DOWNLOADING": "DOWNLOADED"},
    "job.dub": {"DOWNLOADED": "DUBBING"},
    "job.dubbed": {"DUBBING": "DUBBED"},
    "job.mux": {"DUBBED": "MUXING"},
    "job.complete": {"MUXING": "COMPLETE"},
    "job.fail": {s: "FAILED" for s in ("QUEUED", "DOWNLOADING", "DOWNLOADED", "DUBBING", "DUBBED", "MUXING")},
    "job.retry": {"FAILED": "QUEUED"},
    "job.cancel": {s: "CANCELED" for s in ("QUEUED", "DOWNLOADING", "DOWNLOADED", "DUBBING", "DUBBED", "MUXING")},
}
ARGS = {
    "job.claim": lambda i: {"worker": "w"},
    "job.downloaded": lambda i: {"id": i, "video_path": "tmp/v.mkv", "title": "T", "duration_sec": 1.5},
    "job.dubbed": lambda i: {"id": i, "audio_dubbed_path": "tmp/a.wav"},
    "job.complete": lambda i: {"id": i, "video_path": "library/T.mkv", "size": 7},
    "job.fail": lambda i: {"id": i, "error": "disk"},
}


def job(number):
    return f"0192f0c1-7e2a-7000-8000-{number:012x}"


class Jobs(Case):
    def setUp(self):
        super().setUp()
        self.place = self.path("jobs.daybook")
        self.daybook("init", self.place, "--app", APP)
        self.daemon = Daemon(self, self.place)
        self.number = 0

    def do(self, verb, args=None, **more):
        self.number += 1
        command = {"id": f"t{self.number}", "do": verb, **({"args": args} if args is not None else {}), **more}
        out = self.run_program("send", self.daemon.url, input=ndjson([command])).stdout
        return json.loads(out)

    def ok(self, verb, args=None, **more):
        receipt = self.do(verb, args, **more)
        self.assertTrue(receipt["ok"], receipt)
        return receipt

    def refused_with(self, error, message, verb, args=None):
        receipt = self.do(verb, args)
        self.assertEqual((receipt["ok"], receipt.get("error")), (False, error), receipt)
        self.assertIn(message, receipt["message"])

    def query(self, name, **args):
        words = [f"{k}={json.dumps(v)}" for k, v in args.items()]
        answer = json.loads(self.daybook("query", self.daemon.url, "--name", name, *words, "--json"))
        return answer["rows"]

    def test_a_job_goes_its_way(self):
        self.ok("job.add", {"id": job(1), "url": "https://example.org/v", "requested_dubbing": True})
        self.ok("job.add", {"id": job(2), "url": "https://example.org/w", "priority": 5})
        self.refused_with("version_conflict", "exists", "job.add", {"id": job(1), "url": "https://example.org/v"})
        claimed = self.ok("job.claim", {"worker": "downloader-1"})
        self.assertEqual(claimed["result"], [{"id": job(2), "url": "https://example.org/w", "format_preset": None, "output_container": "mkv"}])
        self.assertEqual(self.ok("job.claim", {"worker": "downloader-2"})["result"][0]["id"], job(1))
        self.refused_with("rejected", "no job is waiting", "job.claim", {"worker": "downloader-3"})
        self.ok("job.progress", {"id": job(1), "pct": 40})
        self.ok("job.downloaded", {"id": job(1), "video_path": "tmp/v.mkv", "title": "A film", "duration_sec": 61.5})
        self.refused_with("rejected", "has not all its tracks", "job.mux", {"id": job(1)})
        self.ok("job.dub", {"id": job(1)})
        self.ok("job.dubbed", {"id": job(1), "audio_dubbed_path": "tmp/a.wav"})
        self.ok("job.mux", {"id": job(1)})
        self.ok("job.complete", {"id": job(1), "video_path": "library/A film.mkv", "size": 1000})
        self.refused_with("rejected", "has ended", "job.cancel", {"id": job(1)})
        row = self.query("job", id=job(1))[0]
        self.assertEqual(row[0:2] + row[-4:], [job(1), "https://example.org/v", "library/A film.mkv", 61.5, "A film", 1000])
        events = self.query("events_of", id=job(1))
        self.assertEqual([(e[0], e[2], e[3]) for e in events],
                         [(1, "queued", None), (2, "started", {"worker": "downloader-2"}), (3, "progress", {"pct": 40, "note": None})])
        self.assertEqual(self.query("counts"), [["COMPLETE", 1], ["DOWNLOADING", 1]])

    def test_what_is_wrong_is_named(self):
        self.refused_with("schema", "'/url' does not match", "job.add", {"id": job(1), "url": "ftp://example.org/v"})
        self.refused_with("schema", "over the maximum 10", "job.add", {"id": job(1), "url": "https://e.org/v", "priority": 11})
        self.refused_with("schema", "", "job.add", {"id": "7", "url": "https://e.org/v"})
        self.ok("job.add", {"id": job(1), "url": "https://e.org/v"})
        self.ok("job.claim", {"worker": "w"})
        self.refused_with("schema", "'/payload/pct' is 140, over the maximum 100", "job.progress", {"id": job(1), "pct": 140})
        self.refused_with("rejected", "asks for no dubbing", "job.dub", {"id": job(1)})
        self.refused_with("unknown_field", "has no argument 'pc'", "job.progress", {"id": job(1), "pc": 1})

    def test_removing_a_job_takes_its_rows_along(self):
        self.ok("job.add", {"id": job(1), "url": "https://e.org/v"})
        self.ok("job.claim", {"worker": "w"})
        self.ok("job.downloaded", {"id": job(1), "video_path": "tmp/v.mkv"})
        self.refused_with("rejected", "still running", "job.remove", {"id": job(1)})
        self.ok("job.fail", {"id": job(1), "error": "disk"})
        self.ok("job.remove", {"id": job(1)})
        left = "SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM media) + (SELECT count(*) FROM job_events)"
        self.assertEqual(json.loads(self.daybook("query", self.daemon.url, left, "--json"))["rows"], [[0]])

    def test_a_failed_job_is_tried_three_times_again(self):
        self.ok("job.add", {"id": job(1), "url": "https://e.org/v"})
        for _ in range(3):
            self.ok("job.fail", {"id": job(1), "error": "disk"})
            self.ok("job.retry", {"id": job(1)})
        self.ok("job.fail", {"id": job(1), "error": "disk"})
        self.refused_with("rejected", "tried often enough", "job.retry", {"id": job(1)})
        self.assertEqual([e[2] for e in self.query("events_of", id=job(1))], ["queued"] + ["error", "retried"] * 3 + ["error"])

    def test_no_way_leads_around_the_states(self):
        """A walk at random: each command is accepted exactly where its move begins."""
        rng = random.Random(7)
        state, retries, sent = {}, {}, 0
        for number in range(4):
            self.ok("job.add", {"id": job(number), "url": "https://e.org/v", "requested_dubbing": True, "priority": number})
            state[number], retries[number] = "QUEUED", 0
        for _ in range(150):
            number, verb = rng.randrange(4), rng.choice(list(MOVES))
            if verb == "job.claim":
                waiting = [n for n, s in state.items() if s == "QUEUED"]
                number = max(waiting) if waiting else number
            target = MOVES[verb].get(state[number])
            if verb == "job.retry" and retries[number] == 3:
                target = None
            receipt = self.do(verb, ARGS.get(verb, lambda i: {"id": i})(job(number)))
            self.assertEqual(receipt["ok"], target is not None, (verb, state[number], receipt))
            sent += receipt["ok"]
            if target:
                retries[number] += verb == "job.retry"
                state[number] = target
            if all(s in ("COMPLETE", "CANCELED") for s in state.values()):
                break
        self.assertGreater(sent, 10)
        rows = json.loads(self.daybook("query", self.daemon.url, "SELECT id, status, retries FROM jobs ORDER BY id", "--json"))["rows"]
        self.assertEqual(rows, [[job(n), state[n], retries[n]] for n in range(4)])

    def test_workers_that_come_together_get_a_job_each(self):
        for number in range(12):
            self.ok("job.add", {"id": job(number), "url": "https://e.org/v"})
        got, lock = [], threading.Lock()

        def worker(name):
            lines = ndjson([{"id": f"{name}-{i}", "do": "job.claim", "args": {"worker": name}} for i in range(5)])
            first = [json.loads(l) for l in self.run_program("send", self.daemon.url, input=lines).stdout.splitlines()]
            again = [json.loads(l) for l in self.run_program("send", self.daemon.url, input=lines).stdout.splitlines()]
            with lock:
                got.extend(r["result"][0]["id"] for r in first if r["ok"])
                self.assertEqual([r["position"] for r in first if r["ok"]], [r["position"] for r in again[:sum(r["ok"] for r in first)]])

        threads = [threading.Thread(target=worker, args=(f"w{i}",)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(got), [job(n) for n in range(12)])

    def test_the_rows_come_from_the_log_alone(self):
        for number in range(5):
            self.ok("job.add", {"id": job(number), "url": "https://e.org/v"})
            self.ok("job.claim", {"worker": "w"})
        self.ok("job.fail", {"id": job(3), "error": "x"})
        self.ok("job.remove", {"id": job(3)})
        before = json.loads(self.daybook("fingerprint", self.daemon.url, "--json"))["fingerprint"]
        self.daemon.end()
        self.daybook("replay", self.place, "--into", self.path("again.sqlite"))
        with sqlite3.connect(self.path("again.sqlite")) as db:
            self.assertEqual(db.execute("SELECT count(*), sum(status = 'DOWNLOADING') FROM jobs").fetchone(), (4, 4))
        self.daemon = Daemon(self, self.place)
        self.assertEqual(json.loads(self.daybook("fingerprint", self.daemon.url, "--json"))["fingerprint"], before)

    def test_old_jobs_are_kept_in_a_file_and_go(self):
        with open(os.path.join(APP, "app.json"), encoding="utf-8") as f:
            app = json.load(f)
        for rule in app["retention"]:
            rule["every"] = "100 ms"
        shutil.copytree(APP, self.path("app"))
        with open(self.path("app", "app.json"), "w", encoding="utf-8") as f:
            json.dump(app, f)
        self.daemon.end()
        self.place = self.path("old.daybook")
        self.daybook("init", self.place, "--app", self.path("app"))
        self.env["DAYBOOK_CLOCK"] = "-40d"
        self.daemon = Daemon(self, self.place)
        for number in (1, 2):
            self.ok("job.add", {"id": job(number), "url": f"https://e.org/{number}?a,b"})
        self.ok("job.claim", {"worker": "w"})
        self.ok("job.downloaded", {"id": job(1), "video_path": "tmp/v.mkv", "title": "=1+1, \"A\"\nfilm"})
        self.ok("job.fail", {"id": job(1), "error": "disk"})
        self.daemon.end()
        del self.env["DAYBOOK_CLOCK"]
        self.daemon = Daemon(self, self.place)
        moved = "SELECT count(*) FROM jobs WHERE created_at < datetime('now', '-39 days')"
        ids = lambda: [row[0] for row in json.loads(self.daybook("query", self.daemon.url, "SELECT id FROM jobs", "--json"))["rows"]]
        if len(ids()) == 2 and json.loads(self.daybook("query", self.daemon.url, moved, "--json"))["rows"] == [[0]]:
            self.skipTest("the clock moves in debug builds alone")
        end = time.monotonic() + 60
        while ids() != [job(2)]:
            self.assertLess(time.monotonic(), end)
        kept = {}
        for table in ("jobs", "media"):
            year = time.gmtime().tm_year
            with open(os.path.join(self.place, "files", "archive", f"{table}-{year}.csv"), newline="", encoding="utf-8") as f:
                kept[table] = list(csv.DictReader(f))
        self.assertEqual([(r["id"], r["status"], r["url"], r["error"]) for r in kept["jobs"]],
                         [(job(1), "FAILED", "https://e.org/1?a,b", "disk")])
        self.assertEqual([(r["job_id"], r["source_title"], r["daybook.rule"]) for r in kept["media"]], [(job(1), '=1+1, "A"\nfilm', "old-media")])
        log = [json.loads(line) for line in self.daybook("log", self.daemon.url, "--json").splitlines()]
        decided = [e["commandid"] for e in log if e.get("actor") == "daybook:retention"]
        self.assertEqual(decided, [kept["media"][0]["daybook.id"], kept["jobs"][0]["daybook.id"]])
        self.assertNotIn("retention_failed", self.daybook("stats", self.daemon.url, "--json"))


if __name__ == "__main__":
    unittest.main()
