"""history, explain, diff, undo and moments of the past, on a store and beside a daemon."""
import json
import os
import shutil
import unittest

from cli_case import Case, Daemon, ndjson, put


class History(Case):
    def filled(self):
        store = self.store()
        self.receipts(store, ndjson([
            dict(put(1, stars=1), actor="ann"),
            {"id": "d", "do": "patch", "table": "notes", "key": "n1", "data": {"stars": 5}},
            {"id": "e", "do": "delete", "table": "notes", "key": "n1", "actor": "bob"},
        ]))
        return store

    def test_history_of_a_row(self):
        store = self.filled()
        text = self.daybook("history", store, "notes", "n1")
        self.assertIn("  by ann  c1  notes.put notes/n1\n    insert\n", text)
        self.assertIn("        stars  1 -> 5\n", text)
        self.assertIn("  by bob  e  notes.deleted notes/n1\n    delete\n", text)
        answer = json.loads(self.daybook("history", store, "notes", "n1", "--json", "--limit", "1"))
        self.assertEqual((answer["earlier"], answer["changes"][0]["op"]), (2, "delete"))
        self.assertIn("did you mean 'notes'?", self.refused(1, "history", store, "nots", "n1"))
        self.assertIn("nothing happened", self.run_program("history", store, "notes", "n9").stderr)

    def test_a_key_of_digits_in_a_column_of_texts(self):
        store = self.store()
        self.receipts(store, ndjson([{"id": "a", "do": "put", "table": "notes", "key": "7", "data": {"title": "seven"}}]))
        for word in ("7", '"7"'):
            self.assertEqual(json.loads(self.daybook("history", store, "notes", word, "--json"))["changes"][0]["op"], "insert")
        refused = self.receipts(store, '{"id":"b","do":"put","table":"notes","key":7,"data":{"title":"x"}}\n', status=1)[0]
        self.assertEqual((refused["error"], refused["hint"]), ("schema", 'a text has its quotes: "7"'))

    def test_explain_and_diff(self):
        store = self.filled()
        self.assertIn('    update notes "n1"\n        stars  1 -> 5\n', self.daybook("explain", store, "3"))
        self.assertIn("there is no position 99", self.refused(1, "explain", store, "99"))
        self.assertEqual(self.daybook("diff", store, "--from", "2", "--to", "3"), '    update notes "n1"\n        stars  1 -> 5\n')
        rows = json.loads(self.daybook("diff", store, "--from", "2", "--json"))["rows"]
        self.assertEqual([(r["op"], r["key"]) for r in rows], [("delete", "n1")])

    def test_undo_and_redo(self):
        store = self.filled()
        self.assertEqual(self.daybook("undo", store, "4"), "undone by position 5\n")
        self.assertEqual(self.rows(store, "SELECT id, stars FROM notes"), [["n1", 5]])
        self.assertEqual(self.daybook("undo", store, "3", "5"), "undone by position 6\n")
        self.assertEqual(self.rows(store, "SELECT id, stars FROM notes"), [])
        refused = self.refused(1, "undo", store, "1")
        self.assertIn("is an entry of the engine", refused)
        self.assertIn("daybook upgrade STORE --app APP", refused)
        self.assertIn('"kept":[]', self.daybook("undo", store, "6", "--json"))

    def app(self, name, schema):
        os.makedirs(self.path(name))
        with open(self.path(name, "schema.sql"), "w", encoding="utf-8") as f:
            f.write(schema)
        return name

    def test_upgrade_is_shown_then_taken(self):
        first = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT, stars INTEGER);\n"
        self.daybook("init", "u.daybook", "--app", self.app("v1", first))
        self.receipts("u.daybook", ndjson([put(1, stars=1), put(2, stars=9)]))
        wider = self.app("v2", first + "CREATE INDEX by_stars ON notes (stars);\nCREATE TABLE tags (id TEXT PRIMARY KEY NOT NULL);\n")
        dry = json.loads(self.daybook("upgrade", "u.daybook", "--app", wider, "--dry-run", "--json"))
        self.assertEqual((dry["upgraded"], dry["lost"], dry["models"][0]["name"]), (False, [], "main"))
        self.assertEqual({t["table"]: (t["rows_before"], t["rows_after"], t["writer_before"]) for t in dry["tables"]},
                         {"notes": (2, 2, "commands"), "tags": (0, 0, "none")})
        self.assertIn("upgraded\n", self.daybook("upgrade", "u.daybook", "--app", wider))
        self.assertIn("already", self.run_program("upgrade", "u.daybook", "--app", wider).stderr)
        self.receipts("u.daybook", ndjson([{"id": "t", "do": "put", "table": "tags", "key": "x"}]))
        self.assertIn("older than the store's", self.refused(1, "upgrade", "u.daybook", "--app", "v1"))
        narrow = self.app("v3", first.replace("stars INTEGER", "stars INTEGER CHECK (stars < 5)") + "CREATE TABLE tags (id TEXT PRIMARY KEY NOT NULL);\n")
        self.assertIn("1 entry that projected before would be skipped", self.refused(1, "upgrade", "u.daybook", "--app", narrow))
        self.assertIn("no longer projects: position 3, skipped: CHECK", self.daybook("upgrade", "u.daybook", "--app", narrow, "--dry-run"))
        self.assertEqual(self.rows("u.daybook", "SELECT count(*) FROM notes"), [[2]])
        daemon = Daemon(self, "u.daybook")
        self.assertIn("upgraded\n", self.daybook("upgrade", "u.daybook", "--app", narrow, "--accept"))
        self.assertEqual(self.rows("u.daybook", "SELECT count(*) FROM notes"), [[1]])
        self.assertEqual(daemon.end(), 0)
        self.assertEqual(self.rows("u.daybook", "SELECT count(*) FROM notes"), [[1]])
        shutil.rmtree(self.path("u.daybook", "app"))
        shutil.copytree(self.path("v2"), self.path("u.daybook", "app"))
        self.assertIn("was upgraded to a definition that came after", self.run_program("send", "u.daybook", input=ndjson([put(3)])).stderr)
        self.assertIn("does not pass the check", self.refused(1, "upgrade", self.filled(), "--app", self.app("bad", "CREATE TABLE x (y)")))

    def test_what_an_upgrade_takes_away_is_told(self):
        first = ("CREATE TABLE recipes (id TEXT PRIMARY KEY NOT NULL, title TEXT, servings INTEGER DEFAULT 4, \"order\" TEXT,\n"
                 "  at DATETIME DEFAULT CURRENT_TIMESTAMP);\nCREATE TABLE tags (id TEXT PRIMARY KEY NOT NULL);\n")
        self.daybook("init", "u.daybook", "--app", self.app("v1", first))
        self.receipts("u.daybook", ndjson([
            {"id": f"r{i}", "do": "put", "table": "recipes", "key": f"k{i}", "data": data}
            for i, data in enumerate([{"servings": 4}, {"servings": 2}, {"servings": None}, {"servings": 9, "order": "x"}, {}])]
            + [{"id": "t", "do": "put", "table": "tags", "key": "x"}]))
        self.app("v2", "CREATE TABLE recipes (id TEXT PRIMARY KEY NOT NULL, title TEXT, portions INTEGER DEFAULT 4, at DATETIME);\n")
        shown = json.loads(self.daybook("upgrade", "u.daybook", "--app", "v2", "--dry-run", "--json"))
        tables = {t["table"]: t for t in shown["tables"]}
        self.assertEqual(tables["recipes"]["columns_gone"], [{"column": "servings", "values": 2}, {"column": "order", "values": 1}])
        self.assertEqual((tables["recipes"]["columns_new"], "gone" in tables["recipes"]), (["portions"], False))
        self.assertEqual((tables["tags"]["gone"], tables["tags"]["rows_before"], "columns_gone" in tables["tags"]), (True, 1, False))
        told = ("gone: column recipes.servings, rows with a value of their own: 2\ngone: column recipes.order, rows with a value of their own: 1\n"
                "new: column recipes.portions\ngone: table tags, rows: 1\n")
        for more, end in ((["--dry-run"], "nothing was changed\n"), ([], "upgraded\n")):
            done = self.run_program("upgrade", "u.daybook", "--app", "v2", *more)
            self.assertIn(told + end, done.stdout)
            self.assertIn("upcasts.sql", done.stderr)
        done = self.run_program("upgrade", "u.daybook", "--app", self.app("v3", first))
        self.assertEqual(done.returncode, 1, "the first definition again")
        self.app("v4", first + "CREATE TABLE more (id TEXT PRIMARY KEY NOT NULL);\n")
        done = self.run_program("upgrade", "u.daybook", "--app", "v4")
        self.assertIn("gone: column recipes.portions, rows with a value of their own: 0\n", done.stdout)
        self.assertEqual(self.rows("u.daybook", "SELECT id, servings FROM recipes WHERE servings <> 4"), [["k1", 2], ["k3", 9]])

    def test_the_inbox_says_what_was_wanted_and_what_stands_against_it(self):
        schema = "CREATE TABLE authors (id TEXT PRIMARY KEY NOT NULL);\nCREATE TABLE books (id TEXT PRIMARY KEY NOT NULL, author TEXT%s);\n"
        self.daybook("init", "i.daybook", "--app", self.app("v1", schema % ""))
        self.receipts("i.daybook", ndjson([{"id": "b-1", "do": "put", "table": "books", "key": "b1", "data": {"author": "x9"}, "actor": "ann"}]))
        self.app("v2", schema % " REFERENCES authors" + "CREATE INDEX by_author ON books (author);\n")
        self.daybook("upgrade", "i.daybook", "--app", "v2", "--accept")
        lines = self.daybook("inbox", "i.daybook").splitlines()
        self.assertRegex(lines[0], r"^1  skipped  \w+\.1\.2  FOREIGN KEY")
        self.assertRegex(lines[1], r"^   books\.put  books/b1  command b-1  by ann  20")
        refused = self.refused(1, "inbox", "i.daybook", "apply", "1")
        self.assertRegex(refused, r"cannot apply entry \w+\.1\.2: FOREIGN KEY books\.author: 'authors' has no 'x9'\nhint: put the row of 'authors' first")
        for command in ({"do": "put", "key": "b2", "data": {"author": "x9"}}, {"do": "put", "key": "b2", "data": {"author": "y" * 100}}):
            receipt = self.receipts("i.daybook", ndjson([dict(command, id=command["data"]["author"], table="books")]), status=1)[0]
            self.assertEqual((receipt["constraint"], receipt["message"]),
                             ("FOREIGN KEY", "FOREIGN KEY books.author: 'authors' has no " + ("'x9'" if len(receipt["id"]) == 2 else "such row")))
        self.receipts("i.daybook", ndjson([{"id": "a", "do": "put", "table": "authors", "key": "x9"}]))
        self.daybook("inbox", "i.daybook", "apply", "1")
        self.assertEqual(self.daybook("inbox", "i.daybook"), "")
        patched = self.receipts("i.daybook", ndjson([{"id": "p", "do": "patch", "table": "books", "key": "b1", "data": {"author": "z"}}]), status=1)[0]
        self.assertIn("'authors' has no 'z'", patched["message"])
        gone = self.receipts("i.daybook", ndjson([{"id": "d", "do": "delete", "table": "authors", "key": "x9"}]), status=1)[0]
        self.assertEqual((gone["constraint"], gone["message"]),
                         ("FOREIGN KEY", "FOREIGN KEY books.author: rows of 'books' still refer to this one of 'authors'"))

    def test_beside_a_daemon_and_through_it(self):
        store = self.filled()
        before = self.daybook("history", store, "notes", "n1")
        daemon = Daemon(self, store)
        self.assertEqual(self.daybook("history", store, "notes", "n1"), before)
        self.assertEqual(self.daybook("history", daemon.url, "notes", "n1"), before)


if __name__ == "__main__":
    unittest.main()
