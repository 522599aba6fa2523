"""Sentences of app.json that a user meets: what a receipt warns of, how dates are given, what a mirror shows."""
import json
import os
import unittest

from cli_case import Case, ndjson


class Keys(Case):
    def made(self, app, **files):
        os.makedirs(self.path("app", "schemas"), exist_ok=True)
        files = {"schema.sql": "CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, at DATETIME);", **files,
                 "app.json": json.dumps({"daybook": 1, "name": "keys", **app})}
        for name, text in files.items():
            with open(self.path("app", name), "w", encoding="utf-8") as f:
                f.write(text)
        self.daybook("init", "k.daybook", "--app", "app")

    def answers(self, *commands, status=0):
        return self.receipts("k.daybook", ndjson({"id": f"c{i}-{os.urandom(4).hex()}", **c} for i, c in enumerate(commands)), status)

    def test_an_unknown_event_is_kept_and_told(self):
        self.made({"events": {"unknown": "warn", "known": ["job.done", "log.*"]}},
                  **{"projections.sql": "-- on job.seen\nINSERT INTO p VALUES ($id);\n",
                     "schema.sql": "CREATE TABLE p(id TEXT PRIMARY KEY NOT NULL);"})
        append = lambda kind, **data: {"do": "append", "stream": "s", "type": kind, "data": data}
        known = self.answers(append("job.done"), append("log.a.b"), append("job.seen", id="1"))
        self.assertEqual([r.get("warning") for r in known], [None] * 3)
        told = self.answers(append("job.dome"), {"do": "batch", "commands": [append("job.done"), append("zzz"), append("yyy")]})
        self.assertEqual([r["warning"] for r in told],
                         ["there is no event type 'job.dome': did you mean 'job.done'?", "there is no event type 'zzz'"])
        self.assertEqual(len(json.loads(self.daybook("query", "k.daybook", "SELECT 1 FROM events WHERE type = 'yyy'", "--json"))["rows"]), 1)

    def test_a_date_says_its_zone_or_is_utc(self):
        self.made({})
        good = {"2026-01-02T03:04:05Z": "2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05.5+02:00": "2026-01-02T01:04:05.500Z",
                "2026-01-02": "2026-01-02T00:00:00.000Z", "2026-01-02 03:04": "2026-01-02T03:04:00.000Z"}
        for text, kept in good.items():
            self.assertTrue(self.answers({"do": "put", "table": "t", "key": "1", "data": {"at": text}})[0]["ok"], text)
            self.assertEqual(self.rows("k.daybook", "SELECT at FROM t"), [[kept]])
        for text in ("2026-01-02T03:04:05", "2026-01-02T03:04", "2026-02-30", "02.01.2026", "now", "", "2026-1-2", "2026-01-02T03:04:05 Z"):
            refused = self.answers({"do": "put", "table": "t", "key": "1", "data": {"at": text}}, status=1)[0]
            self.assertEqual(refused["error"], "schema", text)

    def test_files_of_schemas_share_what_they_say(self):
        self.made({}, **{"schema.sql": "CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, j JSON);",
                         "schemas/t.json": '{"properties":{"j":{"$ref":"common.json#/definitions/tag"}}}',
                         "schemas/t.made.json": '{"required":["tag"],"properties":{"tag":{"$ref":"common.json#/definitions/tag"}}}',
                         "schemas/common.json": '{"definitions":{"tag":{"type":"string","maxLength":3}}}'})
        refused = self.answers({"do": "put", "table": "t", "key": "1", "data": {"j": "long"}},
                               {"do": "append", "stream": "s", "type": "t.made", "data": {"tag": 7}}, status=1)
        self.assertEqual([r["errors"] for r in refused], [[{"pointer": "/j", "message": "has 4 characters, more than 3"}],
                                                          [{"pointer": "/tag", "message": "is an integer, not string"}]])
        self.assertTrue(self.answers({"do": "put", "table": "t", "key": "1", "data": {"j": "tag"}})[0]["ok"])

    def test_a_mirror_is_the_same_after_each_process(self):
        self.made({"settings": {"ui": {"table": "s", "mirror": "ui.json"}}},
                  **{"schema.sql": "CREATE TABLE s(ns TEXT PRIMARY KEY NOT NULL, value JSON);"})
        mirror = self.path("k.daybook", "files", "ui.json")
        for size in range(5):
            self.daybook("set", "k.daybook", "ui", "size", str(size))
            with open(mirror, encoding="utf-8") as f:
                self.assertEqual(json.load(f), {"size": size})
        with open(mirror, "w", encoding="utf-8") as f:
            f.write('{"size":9}')
        self.assertEqual(self.daybook("get", "k.daybook", "ui", "size"), "9\n")
        with open(mirror, "w", encoding="utf-8") as f:
            f.write('{"size":10}')
        self.daybook("set", "k.daybook", "ui", "font", "mono")
        with open(mirror, encoding="utf-8") as f:
            self.assertEqual(json.load(f), {"size": 10, "font": "mono"})

    def test_rows_of_a_query_are_shown_and_edited(self):
        self.made({"settings": {"jobs": {"query": "open_jobs", "mirror": "jobs.json", "import": "jobs.import"}}},
                  **{"schema.sql": "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, done BOOLEAN NOT NULL DEFAULT 0);",
                     "queries.sql": "-- query open_jobs()\nSELECT id, title FROM jobs WHERE NOT done ORDER BY id;\n",
                     "commands.sql": "-- command jobs.import(rows JSON)\n-- put jobs\n"
                                     "SELECT value->>'id' AS id, value->>'title' AS title FROM json_each(:rows);\n"})
        mirror = self.path("k.daybook", "files", "jobs.json")
        self.answers(*({"do": "put", "table": "jobs", "key": k, "data": {"title": k * 2, "done": k == "b"}} for k in "abc"))
        with open(mirror, encoding="utf-8") as f:
            self.assertEqual(json.load(f), [{"id": "a", "title": "aa"}, {"id": "c", "title": "cc"}])
        with open(mirror, "w", encoding="utf-8") as f:
            f.write('[{"id": "d", "title": "new"}, {"id": "a", "title": "other"}]')
        wanted = [{"id": "a", "title": "other"}, {"id": "c", "title": "cc"}, {"id": "d", "title": "new"}]
        self.assertEqual(json.loads(self.daybook("get", "k.daybook", "jobs")), wanted)
        self.answers({"do": "patch", "table": "jobs", "key": "c", "data": {"done": True}})
        with open(mirror, encoding="utf-8") as f:
            self.assertEqual(json.load(f), [wanted[0], wanted[2]])
        self.assertIn("send the command 'jobs.import', or edit 'jobs.json'", self.refused(1, "set", "k.daybook", "jobs", "a", "1"))
        self.assertIn("leave 'path' out", self.refused(1, "get", "k.daybook", "jobs", "a"))
        with open(mirror, "w", encoding="utf-8") as f:
            f.write('[{"id": "d"}]')
        self.assertEqual(len(json.loads(self.daybook("get", "k.daybook", "jobs"))), 2)
        with open(mirror + ".rejected", encoding="utf-8") as f:
            self.assertEqual(f.read(), '[{"id": "d"}]')


if __name__ == "__main__":
    unittest.main()
