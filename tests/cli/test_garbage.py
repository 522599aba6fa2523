"""Whatever may be sent: refused by its name and with its text, or taken; at the limits, one below and one above."""
import json
import os
import re
import unittest

from cli_case import TOP, Case, Daemon, ndjson, put

SCHEMA = """CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL UNIQUE, stars INTEGER CHECK (stars >= 0), done BOOLEAN,
  made DATETIME, extra JSON, size REAL, body BLOB, token UUID);
CREATE TABLE tags (note TEXT NOT NULL REFERENCES notes(id), name TEXT NOT NULL, PRIMARY KEY (note, name)) WITHOUT ROWID;
CREATE TABLE items (id INTEGER PRIMARY KEY NOT NULL, what TEXT);
CREATE TABLE later (id TEXT PRIMARY KEY NOT NULL, note TEXT REFERENCES notes(id) DEFERRABLE INITIALLY DEFERRED);
CREATE INDEX later_note ON later(note);
CREATE TABLE tally (type TEXT PRIMARY KEY NOT NULL, count INTEGER NOT NULL CHECK (count < 3)) WITHOUT ROWID;
"""
PROJECTIONS = """-- on vote.cast
INSERT INTO tally(type, count) VALUES ($for, 1) ON CONFLICT(type) DO UPDATE SET count = count + 1;
-- on vote.withdrawn
UPDATE tally SET count = count - 1 WHERE type = $for;
"""
COMMANDS = """-- command note.star(id TEXT, stars INTEGER = 1)
-- else 'there is no note {id}'
-- patch notes
SELECT id, :stars AS stars FROM notes WHERE id = :id;
"""
MIB = 1024 * 1024


class Garbage(Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("app"))
        for name, text in (("schema.sql", SCHEMA), ("projections.sql", PROJECTIONS), ("commands.sql", COMMANDS)):
            with open(self.path("app", name), "w", encoding="utf-8") as f:
                f.write(text)
        self.daybook("init", "a.daybook", "--app", "app")
        self.receipts("a.daybook", ndjson([put(1, title="taken"), put(2, title="other")]))

    def bad_commands(self):
        c = {"id": "x", "do": "put", "table": "notes", "key": "k"}
        data = {"title": "t"}
        for wrong in ("fly", "Put", "putt", "", 1, None, []):
            yield dict(c, do=wrong)
        yield {"id": "x"}
        yield {"do": "put", "table": "notes", "key": "k", "data": data}
        for wrong in ("", 1, None, "x" * 129, "\u00e9" * 65):
            yield dict(c, id=wrong, data=data)
        yield dict(c, tabel="notes", data=data)
        yield dict(c, dat=data)
        yield dict(c, table="note", data=data)
        yield dict(c, table="tally", data={"count": 1})
        yield dict(c, table="sqlite_schema", data={})
        yield dict(c, table=1, data=data)
        yield {"id": "x", "do": "put", "key": "k", "data": data}
        for wrong in ("text", 1, None, [], True):
            yield dict(c, data=wrong)
        yield dict(c, data={"titel": "t"})
        yield dict(c, data={"title": "t", "TITLE": "t"})
        yield dict(c, data={"title": "t", "id": "other"})
        for column, values in (("title", (1, True, [], {})), ("stars", ("x", 1.5, True, 1e300, 10 ** 19)), ("done", (2, "true")),
                               ("made", (5, "yesterday", "2026-02-30T00:00:00Z")), ("size", ("x", [])), ("body", ("no base64!", 1)), ("token", ("x", 1))):
            for value in values:
                yield dict(c, data={"title": "t", column: value})
        yield dict(c, data={})
        yield dict(c, data={"title": None})
        yield dict(c, data={"title": "taken"})
        yield dict(c, data={"title": "t", "stars": -1})
        for wrong in (None, True, 1.5, [], ["a"], {}, "x" * 1025):
            yield dict(c, key=wrong, data=data)
        yield {"id": "x", "do": "put", "table": "notes", "data": data}
        for wrong in ("n1", ["n1"], ["n1", "a", "b"], ["n1", None], ["n1", 1]):
            yield {"id": "x", "do": "put", "table": "tags", "key": wrong}
        yield {"id": "x", "do": "put", "table": "tags", "key": ["nobody", "a"]}
        yield {"id": "x", "do": "put", "table": "later", "key": "l1", "data": {"note": "nobody"}}
        yield {"id": "x", "do": "put", "table": "items", "key": "text", "data": {}}
        yield {"id": "x", "do": "put", "table": "items", "key": 2 ** 63, "data": {}}
        for verb in ("patch", "delete"):
            yield {"id": "x", "do": verb, "table": "notes", "key": "nobody", **({"data": data} if verb == "patch" else {})}
        yield {"id": "x", "do": "patch", "table": "notes", "key": "n1"}
        yield {"id": "x", "do": "delete", "table": "notes", "key": "n1", "data": {}}
        for wrong in ("x", -1, 1.5, [], "none", 99):
            yield dict(c, do="patch", key="n1", data=data, expect=wrong)
        yield dict(c, data=data, expect="exists")
        yield dict(c, data=data, wait="never")
        yield dict(c, data=data, actor=5)
        yield dict(c, data=data, actor="x" * 1025)
        event = {"id": "x", "do": "append", "stream": "s", "type": "a.b", "data": {}}
        for member, values in (("stream", ("", 1, None, "notes/n1", "daybook/x", "x" * 2049)), ("type", ("", 1, "notes.put", "daybook.x", "x" * 2049)),
                               ("data", (1, "x", [], None))):
            for value in values:
                yield dict(event, **{member: value})
        yield dict(event, type="vote.cast")
        yield dict(event, type="vote.withdrawn", data={"for": "nobody"})
        yield dict(event, type="vote.cast", data={"for": None})
        yield {"id": "x", "do": "batch", "commands": {}}
        yield {"id": "x", "do": "batch", "commands": [5]}
        yield {"id": "x", "do": "batch", "commands": [{"do": "put", "table": "notes", "key": "k", "data": data}, {"do": "delete", "table": "notes", "key": "no"}]}
        yield {"id": "x", "do": "batch", "commands": [{"do": "batch", "commands": []}]}
        yield dict(put(1, title="different"))
        for wrong in ({}, {"id": "nobody"}, {"id": 1}, {"id": "n1", "star": 1}, {"id": "n1", "stars": "x"}, {"id": "n1", "stars": -1}, [], "x"):
            yield {"id": "x", "do": "note.star", "args": wrong}
        for request in ({"do": "get"}, {"do": "get", "table": "notes"}, {"do": "get", "table": "notes", "key": "nobody"}, {"do": "list", "table": "notes", "limit": 0},
                        {"do": "list", "table": "notes", "limt": 1}, {"do": "query"}, {"do": "query", "sql": "SELECT 1", "name": "x"}, {"do": "query", "sql": 1},
                        {"do": "query", "sql": "SELECT 1", "args": 1}, {"do": "query", "sql": "DELETE FROM notes"}, {"do": "query", "sql": "SELECT 1", "at": -1},
                        {"do": "query", "sql": "SELECT 1", "at": 99}, {"do": "query", "sql": "SELECT 1", "at": "noon"}, {"do": "log", "from": "x"}, {"do": "log", "limit": 5001},
                        {"do": "changes", "table": "notes", "from": 5}, {"do": "changes", "table": "x"}, {"do": "verify", "depth": "deep"}, {"do": "replay"},
                        {"do": "apply", "id": "x", "entry": "y"}, {"do": "dismiss", "id": "x"}, {"do": "dismiss", "id": "x", "entry": "y"}):
            yield request

    def test_every_wrong_command_has_its_name_text_and_hint(self):
        commands = list(self.bad_commands())
        before = json.loads(self.daybook("fingerprint", "a.daybook", "--json"))
        direct = self.receipts("a.daybook", ndjson(commands), status=1)
        self.assertEqual(len(direct), len(commands))
        text = ""
        for command, receipt in zip(commands, direct):
            line = json.dumps(command)
            text += (line if len(line) < 160 else line[:150] + "…") + "\n"
            text += f"  {receipt.get('error', 'ok')}: {receipt.get('message', '')}\n" + (f"  hint: {receipt['hint']}\n" if "hint" in receipt else "")
            self.assertFalse(receipt["ok"], line)
            self.assertTrue(receipt["message"] and receipt["class"] and receipt["outcome"] == "none", line)
        self.golden("refusals.txt", text)
        self.assertEqual(json.loads(self.daybook("fingerprint", "a.daybook", "--json")), before)
        Daemon(self, "a.daybook")
        self.assertEqual(self.receipts("a.daybook", ndjson(commands), status=1), direct)

    def test_bytes_that_no_client_should_send(self):
        lines = [b'{"id":"\xff","do":"status"}', b'{"\x00":1}', b'{"a\\u0000b":1}', b'{"id":"a\\u0000b","do":"put","table":"notes","key":"k","data":{"title":"t"}}',
                 b'{"id":"x","do":"put","table":"notes","key":"a\\u0000b","data":{"title":"t\\u0000t"}}', b'{"id":"x2","do":"put","table":"no\\u0000tes","key":"k"}',
                 b'{"id":"x3","do":"put","table":"notes","key":"\\ud83d","data":{}}', b'{"id":"x4","do":"put","table":"notes","key":"k","data":{"size":1e400}}',
                 b'{"id":"x5","do":"put","table":"notes","key":"k","key":"l","data":{}}', b'{"id":"x6","do":"query","sql":"SELECT 1\\u0000; DELETE FROM notes"}']
        out = self.run_program("send", "a.daybook", input=b"\n".join(lines)).stdout.decode()
        self.golden("bytes.txt", "".join(f"{r.get('error', 'ok')}: {r.get('message', '')}\n" for r in map(json.loads, out.splitlines())))

    def receipt(self, command, ok):
        return self.receipts("a.daybook", ndjson([command]), status=0 if ok else 1)[0]

    def test_at_the_limits(self):
        def sized(size, name):
            """A command of just so many bytes: base64 goes in fours, the id takes the rest."""
            bare = len(json.dumps(dict(put(9, title=name, body=""), id=name)))
            fours, rest = divmod(size - bare, 4)
            return json.dumps(dict(put(9, title=name, body="AAAA" * fours), id=name + "x" * rest))
        def nested(depth):
            return put(depth, title=f"deep {depth}", extra=json.loads("[" * depth + "]" * depth))
        for command, ok, error in ((dict(put(10), id="i" * 128), True, None), (dict(put(11), id="i" * 129), False, "too_big"),
                                   (dict(put(12), key="k" * 1024), True, None), (dict(put(13), key="k" * 1025), False, "too_big"),
                                   (nested(29), True, None), (nested(32), False, "too_big"),
                                   (put(14, extra=list(range(10000))), True, None), (put(15, extra=list(range(10001))), False, "too_big")):
            receipt = self.receipt(command, ok)
            self.assertEqual((receipt["ok"], receipt.get("error")), (ok, error), receipt)
        for size, ok in ((MIB, True), (MIB + 1, False)):
            line = sized(size, f"s{ok}")
            self.assertEqual(len(line), size)
            receipt = self.receipts("a.daybook", line + "\n", status=0 if ok else 1)[0]
            self.assertEqual((receipt["ok"], receipt.get("message")), (ok, None if ok else "a command of 1048577 bytes is over 1048576"))
        for count, ok in ((10000, True), (10001, False)):
            batch = {"id": f"b{count}", "do": "batch", "commands": [{"do": "put", "table": "items", "key": i, "data": {}} for i in range(1, count + 1)]}
            self.assertEqual(self.receipt(batch, ok).get("error"), None if ok else "too_big")

    def test_every_error_name_that_can_be_reached_has_a_test(self):
        with open(os.path.join(TOP, "base", "result.h"), encoding="utf-8") as f:
            names = set(re.findall(r'X\(\w+, -\d+, "\w+", "(\w+)"', f.read()))
        self.assertIn("version_conflict", names)
        tests = ""
        for folder, _, files in os.walk(os.path.join(TOP, "tests")):
            for name in files:
                if name.endswith((".py", ".c", ".txt")):
                    with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                        tests += f.read()
        later = {"rate_limited", "locked_vault", "unknown_type"}  # what they are about is not there yet
        unseen = {n for n in names if n not in later and not re.search(rf'"{n}"|\\"{n}\\"|^ *{n}:|DBK_{n.upper()}\b', tests, re.M)}
        self.assertEqual(unseen, set())

    def test_what_a_projection_refuses_takes_the_whole_entry_back(self):
        votes = [{"id": f"v{i}", "do": "append", "stream": "vote", "type": "vote.cast", "data": {"for": "x"}} for i in range(4)]
        receipts = self.receipts("a.daybook", ndjson(votes), status=1)
        self.assertEqual([r["ok"] for r in receipts], [True, True, False, False])
        self.assertEqual(receipts[2]["error"], "constraint")
        self.assertEqual(self.rows("a.daybook", "SELECT count FROM tally"), [[2]])

    def test_ten_errors_of_a_definition_at_once(self):
        with open(self.path("bad.sql"), "w", encoding="utf-8") as f:
            f.write("""CREATE TABLE a (x TEXT);
CREATE TABLE b (id TEXT PRIMARY KEY ON CONFLICT ROLLBACK);
CREATE TABLE c (id TEXT PRIMARY KEY, x TEXT DEFAULT (random()));
CREATE TABLE d (id REAL PRIMARY KEY);
CREATE TABLE e (a TEXT, b TEXT, PRIMARY KEY (a, b));
CREATE TEMP TABLE f (id TEXT PRIMARY KEY);
CREATE TABLE g (id TEXT PRIMARY KEY, x TEXT GENERATED ALWAYS AS (id));
INSERT INTO a VALUES (1);
CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END;
PRAGMA user_version = 1;
CREATE TABLE h (id TEXT PRIMARY KEY, x TEXT REFERENCES nowhere(id));
SELEC 1;
""")
        self.transcript("ten_errors.txt", [("check", "bad.sql")])


if __name__ == "__main__":
    unittest.main()
