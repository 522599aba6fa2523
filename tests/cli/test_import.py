"""daybook import: whatever SQLite files hold arrives as it was, or is named with the reason."""
import json
import os
import random
import sqlite3
import time
import unittest

from cli_case import Case, Daemon


class Import(Case):
    def file(self, sql, name="source.db", rows=()):
        db = sqlite3.connect(self.path(name))
        db.executescript(sql)
        for statement, values in rows:
            db.executemany(statement, values)
        db.commit()
        db.close()
        return name

    def load(self, name="source.db", into="a.daybook", status=0):
        return json.loads(self.daybook("import", "--sqlite", name, "--into", into, "--json", status=status))

    def reasons(self, answer, kind="left_out"):
        return {(n["what"], n["name"]): n["reason"] for n in answer[kind]}

    def replayed(self, store="a.daybook"):
        path = self.path("out.sqlite")
        if os.path.exists(path):
            os.remove(path)
        self.daybook("replay", store, "--into", path)
        return sqlite3.connect(path)

    def test_rows_arrive_as_they_were_and_once(self):
        self.file("""
            CREATE TABLE author (id INTEGER PRIMARY KEY AUTOINCREMENT, name VARCHAR(40) NOT NULL UNIQUE, born DATE);
            CREATE TABLE book (isbn TEXT PRIMARY KEY, author INTEGER REFERENCES author, title TEXT COLLATE NOCASE,
                               price DECIMAL(10,2) DEFAULT 9.5 CHECK (price >= 0), added DATETIME DEFAULT CURRENT_TIMESTAMP, cover BLOB,
                               extra JSON, lent BOOLEAN NOT NULL DEFAULT FALSE);
            CREATE INDEX book_title ON book(title, price DESC);
            CREATE INDEX book_cheap ON book(price) WHERE price < 5;
            CREATE VIEW cheap AS SELECT isbn, title FROM book WHERE price < 5;
            INSERT INTO author(name, born) VALUES ('Ann "A"', '1970-01-01'), ('Bé', NULL);
            INSERT INTO book VALUES ('1', 1, 'x''y', 4.25, '2026-11-21 10:00:00', x'00ff10', '{"a":[1.10,12345678901234567890]}', 1),
                                    ('2', NULL, NULL, 7, '2026-11-21 10:00:01.5', NULL, NULL, 0);""")
        answer = self.load()
        self.assertEqual([(t["table"], t["rows"], t["new"], t["refused"]) for t in answer["tables"]], [("author", 2, 2, 0), ("book", 2, 2, 0)])
        self.assertEqual(answer["left_out"], [])
        changed = self.reasons(answer, "changed")
        self.assertEqual(changed.pop(("type", "author.born")), "declared DATE, holds texts that it would write in another form: TEXT")
        self.assertIn("VARCHAR(40) is not taken", changed.pop(("length", "author.name")))
        self.assertIn("is not taken", changed.pop(("AUTOINCREMENT", "author")))
        self.assertEqual(changed, {})
        there, here = sqlite3.connect(self.path("source.db")), self.replayed()
        for table in ("author", "book"):
            sql = f"SELECT *, typeof(quote({table}.rowid)) FROM {table} ORDER BY 1"
            self.assertEqual(here.execute(sql).fetchall(), there.execute(sql).fetchall())
        schema = here.execute("SELECT group_concat(sql) FROM sqlite_schema").fetchone()[0]
        for part in ("CHECK (price >= 0)", "WHERE price < 5", "price DESC", "VIEW cheap", "REFERENCES author (id)", "UNIQUE (name)",
                     "COLLATE NOCASE", "DEFAULT (9.5)"):
            self.assertIn(part, schema)
        again = self.load()
        self.assertEqual([(t["new"], t["again"]) for t in again["tables"]], [(0, 2), (0, 2)])
        self.assertEqual(self.replayed().execute("SELECT count(*) FROM book").fetchone(), (2,))

    def test_a_second_run_takes_what_is_new_and_what_differs(self):
        self.file("CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER REFERENCES t, v TEXT);"
                  "INSERT INTO t VALUES (1, 2, 'a'), (2, NULL, 'b');")
        self.load()
        self.file("UPDATE t SET v = 'A' WHERE id = 1; UPDATE t SET up = 2 WHERE id = 2; INSERT INTO t VALUES (3, 1, 'c');")
        answer = self.load()
        self.assertEqual([(t["new"], t["again"]) for t in answer["tables"]], [(3, 0)])
        self.assertEqual(self.replayed().execute("SELECT * FROM t").fetchall(), [(1, 2, "A"), (2, 2, "b"), (3, 1, "c")])

    def test_keys_that_cannot_name_a_row_are_replaced_by_the_rowid(self):
        self.file("""
            CREATE TABLE none (a, b); INSERT INTO none VALUES (1, 'x'), (1, 'x');
            CREATE TABLE holes (k TEXT PRIMARY KEY, v); INSERT INTO holes VALUES (NULL, 1), (NULL, 2), ('k', 3);
            CREATE TABLE fold (k TEXT PRIMARY KEY COLLATE NOCASE); INSERT INTO fold VALUES ('A'), ('b');
            CREATE TABLE real (k REAL PRIMARY KEY, row_id TEXT); INSERT INTO real VALUES (1.5, 'x');
            CREATE TABLE mixed (k PRIMARY KEY); INSERT INTO mixed VALUES (1), ('1');
            CREATE TABLE lost (k REAL PRIMARY KEY) WITHOUT ROWID; INSERT INTO lost VALUES (1.5);
            CREATE TABLE two (a TEXT, b INTEGER, c, PRIMARY KEY (b, a)) WITHOUT ROWID; INSERT INTO two VALUES ('x', 1, 2.5);""")
        answer = self.load()
        keys = self.reasons(answer, "changed")
        self.assertIn("it has no primary key: 'row_id'", keys["key", "none"])
        self.assertIn("its key 'k' is NULL in some rows", keys["key", "holes"])
        self.assertIn("compared by NOCASE", keys["key", "fold"])
        self.assertIn("'row_id_2'", keys["key", "real"])
        self.assertIn("several kinds", keys["key", "mixed"])
        self.assertIn("has no rowid", self.reasons(answer)["table", "lost"])
        db = self.replayed()
        self.assertEqual(db.execute("SELECT * FROM none").fetchall(), [(1, 1, "x"), (2, 1, "x")])
        self.assertEqual(db.execute("SELECT * FROM mixed").fetchall(), [(1, 1), (2, "1")])
        self.assertEqual(db.execute("SELECT * FROM two").fetchall(), [("x", 1, 2.5)])
        with self.assertRaises(sqlite3.IntegrityError):
            db.execute("INSERT INTO fold VALUES (9, 'a')")
        self.assertEqual({t["again"] for t in self.load()["tables"]} - {1, 2, 3}, set())

    def test_what_has_no_place_is_named(self):
        self.file("""
            CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, twice TEXT GENERATED ALWAYS AS (a || a) STORED, low TEXT AS (lower(a)),
                            made TEXT DEFAULT (datetime('now', 'localtime')), dice INTEGER DEFAULT (random()), CHECK (a <> 'no'), CHECK (low <> 'z'));
            CREATE TABLE audit (at TEXT);
            CREATE TRIGGER log_it AFTER INSERT ON t BEGIN INSERT INTO audit VALUES ('now'); END;
            CREATE VIRTUAL TABLE words USING fts5(a);
            CREATE VIEW doubled AS SELECT twice FROM t;
            CREATE INDEX by_twice ON t(twice);
            CREATE INDEX by_lower ON t(lower(a));
            CREATE TABLE child (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t ON DELETE CASCADE, gone INTEGER REFERENCES nowhere(id));
            PRAGMA foreign_keys = OFF;
            INSERT INTO t(id, a) VALUES (1, 'x'); INSERT INTO words VALUES ('x'); INSERT INTO child VALUES (1, 77, 5);""")
        answer = self.load()
        left = self.reasons(answer)
        for what in [("column", "t.twice"), ("column", "t.low"), ("trigger", "log_it"), ("virtual table", "words"), ("view", "doubled"),
                     ("index", "by_twice"), ("default", "t.made"), ("default", "t.dice"), ("check", "t, number 2"),
                     ("foreign key", "child to t"), ("foreign key", "child to nowhere")]:
            self.assertIn(what, left)
            self.assertTrue(left[what])
        self.assertEqual(len(left), 11, left)
        self.assertEqual(left["foreign key", "child to t"], "1 row names a row that is not there")
        self.assertEqual([t["table"] for t in answer["tables"]], ["t", "audit", "child"])
        self.assertEqual(self.rows("a.daybook", "SELECT id, a FROM t"), [[1, "x"]])
        self.assertEqual(self.rows("a.daybook", "SELECT * FROM child"), [[1, 77, 5]])

    def test_what_a_foreign_key_loses_is_said(self):
        self.file("""
            CREATE TABLE p (id INTEGER PRIMARY KEY);
            CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p(id) ON UPDATE CASCADE ON DELETE SET NULL,
                            q INTEGER REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED);
            CREATE TABLE d (id INTEGER PRIMARY KEY, "deferred" TEXT DEFAULT 'DEFERRED', p INTEGER REFERENCES p(id)); -- DEFERRED
            INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1, 1); INSERT INTO d(id, p) VALUES (1, 1);""")
        answer = self.load()
        changed = [(n["what"], n["name"], n["reason"]) for n in answer["changed"]]
        self.assertEqual([c[:2] for c in changed], [("foreign key", "c to p"), ("foreign key", "c")])
        self.assertIn("ON UPDATE CASCADE", changed[0][2])
        self.assertIn("INITIALLY DEFERRED", changed[1][2])

    def test_names_that_need_quotes(self):
        self.file("""
            CREATE TABLE "my table" ("a ""b""\" INTEGER PRIMARY KEY, "select" TEXT, "1st" TEXT, "ß" TEXT, "A_B" TEXT);
            INSERT INTO "my table" VALUES (1, 's', 'f', 'u', 'c');
            CREATE TABLE "order" (id TEXT PRIMARY KEY, "my table" INTEGER REFERENCES "my table"("a ""b""\"));
            INSERT INTO "order" VALUES ('o', 1);
            CREATE TABLE my_table (id INTEGER PRIMARY KEY); INSERT INTO my_table VALUES (5);
            CREATE TABLE daybook_x (id INTEGER PRIMARY KEY); INSERT INTO daybook_x VALUES (6);
            CREATE INDEX "an index" ON "my table"("select"); """)
        answer = self.load()
        self.assertEqual({t["from"]: t["table"] for t in answer["tables"]},
                         {"my table": "my_table", "order": "order", "my_table": "my_table_2", "daybook_x": "xdaybook_x"})
        self.assertEqual(answer["left_out"], [])
        self.assertEqual(self.rows("a.daybook", 'SELECT a_b_, "select", x1st FROM my_table'), [[1, "s", "f"]])
        self.assertEqual(self.rows("a.daybook", 'SELECT * FROM "order"'), [["o", 1]])

    def test_a_shop_with_all_that_sqlite_has(self):
        self.file("""
            CREATE TABLE "Customer Orders" ("Order ID" INTEGER PRIMARY KEY AUTOINCREMENT, "customer's name" VARCHAR(40) NOT NULL,
              total DECIMAL(10,2), "group" TEXT, scan BLOB);
            CREATE TABLE "order-items" (order_id INTEGER NOT NULL REFERENCES "Customer Orders"("Order ID") ON DELETE CASCADE,
              line INT, sku TEXT COLLATE NOCASE, qty INTEGER CHECK (qty > 0), price REAL, sum REAL AS (qty * price) STORED,
              PRIMARY KEY(order_id, line)) WITHOUT ROWID;
            CREATE UNIQUE INDEX one_group ON "Customer Orders"("group") WHERE "group" <> 'where ';
            CREATE UNIQUE INDEX one_name ON "Customer Orders"("group" DESC)
              WHERE "group" <> 'of no where';
            CREATE UNIQUE INDEX paid ON "Customer Orders"(total) WHERE(total > 0);
            CREATE VIEW big AS SELECT * FROM "order-items" WHERE qty > 100;
            CREATE TRIGGER t AFTER UPDATE ON "order-items" BEGIN SELECT 1; END;
            CREATE VIRTUAL TABLE texts USING fts5(sku);
            INSERT INTO "Customer Orders" VALUES (1, 'O''Neil', 120.5, 'a', x'00ff10'), (2, 'q "q"', 3, NULL, NULL);
            INSERT INTO "order-items" VALUES (1, 1, 'x', 2, 3.5), (1, 2, 'y', 1, 1); """)
        answer = self.load()
        self.assertEqual(self.rows("a.daybook", "SELECT Order_ID, customer_s_name, total, hex(scan) FROM Customer_Orders"),
                         [[1, "O'Neil", 120.5, "00FF10"], [2, 'q "q"', 3, ""]])
        self.assertEqual(self.rows("a.daybook", "SELECT order_id, line, sku, qty, price FROM order_items"),
                         [[1, 1, "x", 2, 3.5], [1, 2, "y", 1, 1]])
        self.assertEqual(self.rows("a.daybook", "SELECT sql FROM daybook_schema WHERE name = 'paid'"),
                         [["CREATE UNIQUE INDEX paid ON Customer_Orders (total) WHERE(total > 0)"]])
        self.assertEqual(set(self.reasons(answer)),
                         {("column", "order-items.sum"), ("trigger", "t"), ("virtual table", "texts"), ("view", "big"),
                          ("index", "one_name")})
        types = self.daybook("types", "a.daybook/app")
        self.assertIn("Customer_Orders: {", types)
        self.assertIn("key: [number, number];", types)

    def test_defaults_and_too_much_of_everything(self):
        self.file("CREATE TABLE d (id INTEGER PRIMARY KEY, a TEXT DEFAULT \"it's\", b TEXT DEFAULT word, c DEFAULT (1 + 2), d DEFAULT TRUE, "
                  "e TEXT DEFAULT 'x', f REAL DEFAULT -1.5);"
                  "CREATE TABLE many (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER); INSERT INTO many VALUES (1, 2, 3);"
                  "CREATE TABLE wide (id INTEGER PRIMARY KEY, " + ", ".join(f"c{i}" for i in range(250)) + ");"
                  + "".join(f"CREATE INDEX many_{i} ON many(a, b);" for i in range(80)))
        answer = self.load()
        left = self.reasons(answer)
        self.assertIn("251 columns", left["table", "wide"])
        self.assertEqual({what for what, _ in left}, {"table", "index"})
        self.assertEqual([t["table"] for t in answer["tables"]], ["d", "many"])
        self.daybook("send", "a.daybook", input=json.dumps({"id": "1", "do": "put", "table": "d", "data": {}}))
        self.assertEqual(self.rows("a.daybook", "SELECT * FROM d"), [[1, "it's", "word", 3, 1, "x", -1.5]])

    def test_values_that_json_cannot_say_are_counted(self):
        bad = [(1, "a\0b"), (2, float("inf")), (3, b"\x00\xff"), (4, "fine"), (5, 7), (6, None), (7, "x" * 1_100_000)]
        self.file("CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE u (id INTEGER PRIMARY KEY, v TEXT); "
                  "INSERT INTO u VALUES (1, CAST(x'ff41' AS TEXT)), (2, 'good');", rows=[("INSERT INTO t VALUES (?, ?)", bad)])
        answer = self.load(status=1)
        self.assertEqual((answer["ok"], answer["error"], answer["message"]), (False, "rejected", "5 rows were not taken"))
        self.assertEqual([(t["rows"], t["new"], t["refused"]) for t in answer["tables"]], [(7, 3, 4), (2, 1, 1)])
        self.assertIn("a text with a NUL character in 'v'", answer["tables"][0]["reason"])
        self.assertIn("no UTF-8", answer["tables"][1]["reason"])
        self.assertEqual(self.rows("a.daybook", "SELECT id, v FROM t"), [[4, "fine"], [5, 7], [6, None]])
        text = self.daybook("import", "--sqlite", "source.db", "--into", "a.daybook", status=1)
        self.assertIn("7 rows, 0 new, 3 again, 4 refused: a text with a NUL character in 'v' (1 row, first 1); an infinite number in 'v' (1 row, first 2); "
                      "bytes among values of another kind in 'v' (1 row, first 3); others", text)
        self.assertEqual([(r["rows"], r["first"]) for r in answer["tables"][0]["reasons"]], [(1, 1), (1, 2), (1, 3)])

    def test_each_reason_has_the_key_of_its_first_row(self):
        self.file("CREATE TABLE events (k TEXT PRIMARY KEY NOT NULL, v); INSERT INTO events VALUES ('a', 'fine'), ('b', x'00'), ('c', 'AUTOINCREMENT'), ('d', x'01');"
                  "CREATE TABLE checked (a TEXT NOT NULL, b INTEGER NOT NULL, v INTEGER CHECK (v > 0), PRIMARY KEY (a, b)); PRAGMA ignore_check_constraints = ON;"
                  "INSERT INTO checked VALUES ('x', 1, 5), ('x', 2, -1), ('y', 3, 7), ('z', 4, -2);")
        answer = self.load(status=1)
        tables = {t["table"]: t["reasons"] for t in answer["tables"]}
        self.assertEqual(tables["events"], [{"reason": "bytes among values of another kind in 'v'", "rows": 2, "first": "b"}])
        self.assertEqual([(r["rows"], r["first"]) for r in tables["checked"]], [(2, ["x", 2])])
        self.assertIn("hides the log's 'events'", self.reasons(answer, "changed")["table", "events"])
        self.assertNotIn(("AUTOINCREMENT", "events"), self.reasons(answer, "changed"))
        self.assertIn("a table 'events' hides the log's", self.daybook("check", "a.daybook/app"))

    def test_rows_that_refer_to_each_other_in_any_order(self):
        rows = [(i, (i * 7919 + 13) % 500 + 1 if i % 9 else None) for i in range(1, 501)]
        self.file("CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree(id) ON DELETE SET NULL);"
                  "CREATE TABLE a (id TEXT PRIMARY KEY, b TEXT REFERENCES b(id)); CREATE TABLE b (id TEXT PRIMARY KEY, a TEXT REFERENCES a(id));"
                  "INSERT INTO a VALUES ('a1', 'b1'); INSERT INTO b VALUES ('b1', 'a1');"
                  "CREATE TABLE own (id INTEGER PRIMARY KEY, up INTEGER NOT NULL REFERENCES own(id)); INSERT INTO own VALUES (1, 2), (2, 2);",
                  rows=[("INSERT INTO tree VALUES (?, ?)", rows)])
        answer = self.load()
        self.assertEqual(list(self.reasons(answer)), [("foreign key", "own to own")])
        db = self.replayed()
        self.assertEqual(db.execute("SELECT * FROM tree").fetchall(), rows)
        self.assertEqual(db.execute("SELECT * FROM a, b").fetchall(), [("a1", "b1", "b1", "a1")])
        self.assertEqual(db.execute("PRAGMA foreign_key_check").fetchall(), [])

    def test_only_the_definition_then_edited(self):
        self.file("CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT); INSERT INTO notes VALUES (1, 'x');")
        text = self.daybook("import", "--sqlite", "source.db", "--app-only", "app")
        self.assertIn("notes", text)
        self.assertFalse(os.path.exists(self.path("a.daybook")))
        self.daybook("check", "app")
        with open(self.path("app", "schema.sql"), "a", encoding="utf-8") as f:
            f.write("CREATE INDEX notes_title ON notes(title);\n")
        self.daybook("init", "a.daybook", "--app", "app")
        self.assertEqual(self.load()["tables"][0]["new"], 1)
        self.assertIn("has a definition already", self.refused(1, "import", "--sqlite", "source.db", "--app-only", "app"))

    def test_through_a_daemon_while_the_file_is_written(self):
        self.file("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'x');")
        self.load()
        writer = sqlite3.connect(self.path("source.db"), isolation_level=None)
        writer.executescript("INSERT INTO t VALUES (2, 'y'); BEGIN; INSERT INTO t VALUES (3, 'not yet');")
        Daemon(self, "a.daybook")
        self.assertEqual(self.load()["tables"][0]["new"], 1)
        self.assertEqual(self.rows("a.daybook", "SELECT id FROM t"), [[1], [2]])
        writer.close()

    def test_what_is_no_sqlite_file(self):
        with open(self.path("text"), "w", encoding="utf-8") as f:
            f.write("no database" * 200)
        self.assertIn("not a database", self.refused(1, "import", "--sqlite", "text", "--into", "a.daybook"))
        self.assertIn("unable to open", self.refused(1, "import", "--sqlite", "missing.db", "--into", "a.daybook"))
        self.file("CREATE VIRTUAL TABLE f USING fts5(a);", "words.db")
        self.assertIn("no table that can be taken", self.refused(1, "import", "--sqlite", "words.db", "--into", "a.daybook"))
        self.assertFalse(os.path.exists(self.path("a.daybook")))
        self.refused(2, "import", "--sqlite", "words.db")
        self.refused(2, "import", "--into", "a.daybook")
        self.refused(2, "import", "--sqlite", "words.db", "--into", "a.daybook", "--app-only", "x")
        self.assertEqual(sorted(os.listdir(self.dir)), ["run", "text", "words.db"])

    def test_a_damaged_file_ends_with_an_error_whatever_byte_it_is(self):
        self.file("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, w REFERENCES t(id)); CREATE INDEX i ON t(v);",
                  rows=[("INSERT INTO t VALUES (?, ?, NULL)", [(i, "text %d" % i) for i in range(400)])])
        with open(self.path("source.db"), "rb") as f:
            good = f.read()
        chance = random.Random(7)
        for turn in range(60):
            bad = bytearray(good)
            for _ in range(8):
                bad[chance.randrange(16, len(bad))] ^= 1 << chance.randrange(8)
            with open(self.path("bad.db"), "wb") as f:
                f.write(bad)
            done = self.run_program("import", "--sqlite", "bad.db", "--app-only", f"app{turn}", "--json")
            self.assertIn(done.returncode, (0, 1), done.stderr)
            self.assertIn("ok", json.loads(done.stdout))

    def test_a_hundred_thousand_rows(self):
        self.file("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, x REAL, made DATETIME); CREATE INDEX t_name ON t(name);",
                  rows=[("INSERT INTO t VALUES (?, ?, ?, '2026-11-21 10:00:00')", ((i, f"name {i * 7919 % 100003}", i / 3) for i in range(100000)))])
        started = time.monotonic()
        answer = self.load()
        first = time.monotonic() - started
        self.assertEqual((answer["tables"][0]["new"], answer["tables"][0]["refused"]), (100000, 0))
        self.assertEqual(self.load()["tables"][0]["again"], 100000)
        there = sqlite3.connect(self.path("source.db")).execute("SELECT * FROM t").fetchall()
        self.assertEqual(self.replayed().execute("SELECT * FROM t").fetchall(), there)
        self.assertLess(first, 120)


if __name__ == "__main__":
    unittest.main()
