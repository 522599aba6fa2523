"""tests/apps: what three more real apps kept by hand, as definitions of plain text alone (chat and jobs are examples/).
studio: content, media, feeds, queues, configuration files; library: media with what belongs to them, plugins;
control: one settings file with schema, tasks with an audit. What they got wrong by hand is shown to be impossible."""
import json
import os
import sqlite3
import time
import unittest

from cli_case import TOP, Case, Daemon, ndjson

APPS = os.path.join(TOP, "tests", "apps")


class App(Case):
    name = None

    def setUp(self):
        super().setUp()
        if self.name:
            self.place = self.path("a.daybook")
            self.begin(os.path.join(APPS, self.name))

    def begin(self, folder):
        self.daybook("check", folder)
        self.daybook("init", self.place, "--app", folder)
        self.number = 0

    def send(self, *commands):
        for command in commands:
            self.number += 1
            command.setdefault("id", f"t{self.number}")
        done = self.run_program("send", self.place, input=ndjson(commands))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def do(self, verb, **args):
        return self.send({"do": verb, "args": args})[0]

    def ok(self, verb, **args):
        receipt = self.do(verb, **args)
        self.assertTrue(receipt["ok"], receipt)
        return receipt

    def put(self, table, key=None, **data):
        receipt = self.send({"do": "put", "table": table, "data": data, **({"key": key} if key else {})})[0]
        self.assertTrue(receipt["ok"], receipt)
        return receipt["key"]

    def refused_as(self, error, receipt, part=""):
        self.assertEqual((receipt["ok"], receipt.get("error")), (False, error), receipt)
        self.assertIn(part, receipt["message"])

    def query(self, name, *words):
        return json.loads(self.daybook("query", self.place, "--name", name, *words, "--json"))["rows"]

    def ask(self, sql, *more):
        return self.rows(self.place, sql, *more)

    def get(self, space, *path):
        return json.loads(self.daybook("get", self.place, space, *path))

    def file(self, *parts):
        return self.path("a.daybook", "files", *parts)

    def read(self, *parts):
        with open(self.file(*parts), encoding="utf-8") as f:
            return json.load(f)

    def edit(self, text, *parts):
        with open(self.file(*parts), "w", encoding="utf-8") as f:
            f.write(text if isinstance(text, str) else json.dumps(text))
        self.daybook("set", self.place, self.space, "touched", "1")  # whoever opens the store looks

    def fingerprint(self, *words):
        return json.loads(self.daybook(*words, "--json"))["fingerprint"]

    def replays_to_the_same(self):
        live = self.fingerprint("fingerprint", self.place)
        self.assertEqual(live, self.fingerprint("replay", self.place, "--into", self.path("again.sqlite")))
        self.daybook("rebuild", self.place)
        self.assertEqual(live, self.fingerprint("fingerprint", self.place))


class Studio(App):
    name = "studio"
    space = "feeds"
    MEDIA = [{"id": "m1", "extension": ".jpg", "originalFilename": "reef.jpg", "mimeType": "image/jpeg", "size": 10,
              "dimensions": {"width": 4, "height": 3}, "relation": "featured"},
             {"id": "m2", "extension": ".bin", "mimeType": "application/x-odd", "size": 1, "position": 2}]

    def test_content_comes_with_its_media_and_its_work_or_not_at_all(self):
        stored = self.ok("content.store", id="c1", type="newsletter", title="  Reef news  ", media=self.MEDIA)
        self.assertEqual(stored["result"][0]["status"], "draft")
        self.assertEqual(self.query("media_of", "content=c1"),
                         [["m1", "media/images/raw/m1.jpg", "featured", 0], ["m2", "media/other/m2.bin", "inline", 2]])
        self.assertEqual(self.ask("SELECT title, metadata, language FROM content_items"), [["Reef news", {}, "en"]])
        self.assertEqual(self.ask("SELECT dimensions, usage_count FROM media_assets WHERE id = 'm1'"),
                         [[{"width": 4, "height": 3}, 1]])
        self.assertEqual(self.ask("SELECT id, status FROM background_jobs"), [["thumbnail-m1", "pending"]])
        before = self.fingerprint("fingerprint", self.place)
        wrong = [dict(self.MEDIA[0], id="m3"), dict(self.MEDIA[1], id="m4", relation="nowhere")]
        self.refused_as("constraint", self.do("content.store", id="c2", type="post", title="x", media=wrong))
        self.assertEqual(self.fingerprint("fingerprint", self.place), before)
        self.refused_as("constraint", self.send({"do": "delete", "table": "media_assets", "key": "m1"})[0])
        self.assertTrue(self.send({"do": "delete", "table": "content_items", "key": "c1"})[0]["ok"])
        self.assertEqual(self.query("unused_media"), [["m1", "media/images/raw/m1.jpg"], ["m2", "media/other/m2.bin"]])
        self.replays_to_the_same()

    def test_what_is_said_is_found(self):
        self.put("content_items", "c1", type="post", title="Corals", content="polyps build reefs")
        self.put("content_items", "c2", type="post", title="Tides", content="the reef at low tide")
        self.assertEqual([row[0] for row in self.query("found", "text=reef")], ["c1", "c2"])
        self.assertTrue(self.send({"do": "patch", "table": "content_items", "key": "c1", "data": {"content": "polyps"}})[0]["ok"])
        self.assertEqual([row[0] for row in self.query("found", "text=reef")], ["c2"])
        self.assertEqual(self.query("found", "text=reef")[0][1], "the [reef] at low tide")

    def test_a_feed_that_is_read_twice_doubles_nothing(self):
        items = [{"id": f"r{i}", "feed": "f", "guid": f"g{i}", "title": f"t{i}"} for i in range(5)]
        self.ok("feed.add", items=items[:3])
        self.ok("feed.add", items=items)
        self.refused_as("rejected", self.do("feed.add", items=items), "nothing new")
        self.assertEqual(self.ask("SELECT count(*) FROM rss_items"), [[5]])
        clash = self.send({"do": "put", "table": "rss_items", "key": "x", "data": {"feed_id": "f", "original_id": "g1", "title": "t"}})
        self.refused_as("constraint", clash[0], "This item of the feed is here already")

    def test_a_job_is_tried_three_times(self):
        self.put("background_jobs", "j1", job_type="thumbnail", parameters={"media": "m1"})
        for attempt in (1, 2, 3):
            claimed = self.ok("job.claim", worker="w")["result"][0]
            self.assertEqual((claimed["id"], claimed["attempt_count"]), ("j1", attempt))
            self.refused_as("rejected", self.do("job.claim", worker="w2"), "no job is due")
            self.ok("job.failed", id="j1", error="disk")
        self.assertEqual(self.ask("SELECT status, error_message FROM background_jobs"), [["failed", "disk"]])
        self.refused_as("rejected", self.do("job.claim", worker="w"), "no job is due")
        self.refused_as("rejected", self.do("job.done", id="j1"), "not running")

    def test_figures_of_their_own(self):
        for number, platform in enumerate(("email", "email", "youtube")):
            self.ok("content.store", id=f"c{number}", type="post", title="t")
            self.ok("content.publish", id=f"c{number}", platform=platform)
        self.refused_as("rejected", self.do("content.publish", id="c0", platform="email"), "not a draft")
        daemon = Daemon(self, self.place)
        self.place = daemon.url
        end = time.monotonic() + 60
        while self.query("platform_days") != [["email", 2], ["youtube", 1]]:
            self.assertLess(time.monotonic(), end)

    def test_configuration_as_files(self):
        self.daybook("set", self.place, "app", "autosave", "false")
        self.assertEqual(self.get("app"), {"autosave": False, "interval": 30})
        self.assertEqual(self.read("config", "app.json"), {"autosave": False})
        self.edit({"autosave": False, "interval": 5}, "config", "app.json")
        self.assertEqual(self.get("app", "interval"), 5)
        self.edit("{half", "config", "app.json")
        self.assertEqual(self.get("app", "interval"), 5)
        with open(self.file("config", "app.json.rejected"), encoding="utf-8") as f:
            self.assertEqual(f.read(), "{half")
        self.edit({"interval": 0}, "config", "app.json")
        self.assertEqual(self.get("app", "interval"), 5)
        self.assertEqual(self.ask("SELECT value FROM configs WHERE name = 'app'"), [[{"autosave": False, "interval": 5}]])


class Library(App):
    name = "library"
    space = "plugin:probe"
    ID = "0192f0c1-7e2a-7000-8000-00000000000"

    def test_a_medium_and_what_belongs_to_it(self):
        one, two = self.ID + "1", self.ID + "2"
        self.ok("media.found", id=one, kind="book", title="Cafe\u0301", path="media/a.pdf", size=9, hash="h1")
        self.refused_as("rejected", self.do("media.found", id=two, kind="book", title="b", path="b", size=9, hash="h1"),
                        "in the library already")
        clash = self.send({"do": "put", "table": "media", "data": {"kind": "book", "title": "b", "hash": "h1"}})[0]
        self.refused_as("constraint", clash, "This file is in the library already")
        self.put("text_content", one, path=f"text_content/{one}.txt", words=3, body="un café noir")
        self.put("subtitles", [one, "fr"], format="srt", path=f"subtitles/{one}.srt")
        self.ok("media.read", id=one, position=0.5, seconds=60)
        self.ok("media.read", id=one, position=0.75, seconds=30)
        self.assertEqual(self.ask("SELECT position, seconds FROM progress"), [[0.75, 90]])
        self.assertEqual(self.query("whole", f"id={one}"),
                         [[one, "Caf\u00e9", "media/a.pdf", f"text_content/{one}.txt", "fr", f"subtitles/{one}.srt"]])
        self.assertEqual(self.query("found", "text=cafe"), [[one, "un <café> noir"]])
        gone = self.ok("media.gone", path="media/a.pdf")
        for table in ("media", "text_content", "subtitles", "progress"):
            self.assertEqual(self.ask(f"SELECT count(*) FROM {table}"), [[0]], table)
        self.assertEqual(self.query("found", "text=cafe"), [])
        self.daybook("undo", self.place, str(gone["position"]))
        self.assertEqual(self.ask("SELECT position, seconds FROM progress"), [[0.75, 90]])
        self.assertEqual(self.query("found", "text=cafe"), [[one, "un <café> noir"]])
        self.replays_to_the_same()

    def test_the_file_of_the_model_has_its_name(self):
        self.put("plugins", "dict", version="1")
        folder = self.path("a.daybook", "models")
        found = [os.path.join(place, file) for place, _, files in os.walk(folder) for file in files if file.endswith(".sqlite")]
        self.assertEqual([os.path.basename(file) for file in found], ["metadata.sqlite"])
        with sqlite3.connect(f"file:{found[0]}?mode=ro", uri=True) as db:
            self.assertEqual(db.execute("SELECT id FROM plugins").fetchall(), [("dict",)])

    def test_each_plugin_has_its_data(self):
        self.daybook("set", self.place, "plugin:dict", "words.known", "12")
        self.daybook("set", self.place, "plugin:anki.v2", "deck", '"main"')
        self.assertEqual(self.get("plugin:dict"), {"words": {"known": 12}})
        self.assertEqual(self.read("plugins", "dict", "data.json"), {"words": {"known": 12}})
        self.assertEqual(self.read("plugins", "anki.v2", "data.json"), {"deck": "main"})
        self.edit({"words": {"known": 13}}, "plugins", "dict", "data.json")
        self.assertEqual(self.get("plugin:dict", "words.known"), 13)
        self.assertEqual(self.get("plugin:anki.v2"), {"deck": "main"})
        for name in ("plugin:", "plugin:../x", "plugin:a/b", "plugin:.hidden", "other:dict"):
            self.assertIn("daybook:", self.refused(1, "set", self.place, name, "a", "1"))

    def test_the_list_of_plugins_is_edited_as_a_file(self):
        self.put("plugins", "dict", version="1")
        self.put("plugins", "anki", version="2")
        self.assertEqual(self.read("config", "enabled-plugins.json"), [])
        self.edit([{"id": "dict"}], "config", "enabled-plugins.json")
        self.assertEqual(self.query("enabled_plugins"), [["dict"]])
        self.edit([{"id": "dict"}, {"id": "nobody"}], "config", "enabled-plugins.json")
        self.assertEqual(self.query("enabled_plugins"), [["dict"]])
        self.assertTrue(os.path.exists(self.file("config", "enabled-plugins.json.rejected")))


class Control(App):
    name = "control"
    space = "window"

    def test_one_file_with_a_schema(self):
        self.assertEqual(self.get("app", "window.width"), 1200)
        self.daybook("set", self.place, "app", "window.width", "640")
        self.assertEqual(self.read("store.json"), {"window": {"width": 640}})
        self.assertIn("/window/width", self.refused(1, "set", self.place, "app", "window.width", "12"))
        self.assertIn("colour", self.refused(1, "set", self.place, "app", "colour", "1"))
        self.edit({"window": {"width": 640}, "theme": "dark"}, "store.json")
        self.assertEqual(self.get("app"), {"theme": "dark", "window": {"width": 640, "height": 800}, "language": "en", "telemetry": False})
        self.edit({"window": {"width": 640}, "theme": "pink"}, "store.json")
        self.assertEqual(self.get("app")["theme"], "dark")
        self.assertTrue(os.path.exists(self.file("store.json.rejected")))
        self.daybook("set", self.place, "window", "main.x", "7")
        self.assertEqual(self.get("window", "main"), {"x": 7, "y": 0, "maximized": False})

    def test_each_change_is_told_with_who_made_it(self):
        self.put("tasks", "t1", title="Write")
        self.send({"do": "patch", "table": "tasks", "key": "t1", "data": {"state": "doing"}, "actor": "ann"})
        self.refused_as("rejected", self.send({"do": "patch", "table": "tasks", "key": "t1", "data": {"state": "dropped"}})[0])
        self.refused_as("too_big", self.send({"do": "patch", "table": "tasks", "key": "t1", "data": {"notes": "x" * 70000}})[0])
        self.refused_as("unknown_table", self.send({"do": "put", "table": "audit", "key": "x", "data": {}})[0])
        self.assertEqual([row[1:] for row in self.query("audit_of", "task=t1")], [["", "tasks.put"], ["ann", "tasks.patched"]])
        history = self.daybook("history", self.place, "tasks", "t1")
        self.assertIn("ann", history)
        self.replays_to_the_same()


class Upgraded(App):
    """The first version of control, then today's, over the same log."""

    def test_texts_become_numbers(self):
        folder = os.path.join(APPS, "control")
        before = self.path("control")
        os.makedirs(os.path.join(before, "schemas"))
        for name in ("app.json", "schema.sql", "queries.sql", "projections.sql", os.path.join("schemas", "app.json")):
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                text = f.read()
            text = text.replace('"version": 2', '"version": 1')
            text = text.replace("weight INTEGER NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 9)", "weight TEXT NOT NULL DEFAULT 'low'")
            with open(os.path.join(before, name), "w", encoding="utf-8") as f:
                f.write(text)
        self.place = self.path("a.daybook")
        self.begin(before)
        self.put("tasks", "a", title="one", weight="high")
        self.put("tasks", "b", title="two")
        self.assertTrue(self.send({"do": "patch", "table": "tasks", "key": "b", "data": {"weight": "mid"}})[0]["ok"])
        self.daybook("upgrade", self.place, "--app", folder, "--dry-run")
        self.assertEqual(self.ask("SELECT weight FROM tasks ORDER BY id"), [["high"], ["mid"]])
        self.daybook("upgrade", self.place, "--app", folder)
        self.assertEqual(self.query("open_tasks"), [["a", "one", 9], ["b", "two", 5]])
        self.assertEqual(self.ask("SELECT id, weight FROM tasks ORDER BY id", "--at", "3"), [["a", 9], ["b", 1]])
        self.assertEqual(self.ask("SELECT count(*) FROM audit"), [[3]])
        self.replays_to_the_same()


if __name__ == "__main__":
    unittest.main(verbosity=2)
