"""set, get, unset, reset: settings of an app from the command line, on a store and beside a daemon."""
import json
import os
import time
import unittest

from cli_case import Case, Daemon

APP = {
    "app.json": json.dumps({"daybook": 1, "name": "set", "settings": {
        "ui": {"table": "settings", "defaults": {"theme": "light", "editor": {"size": 12}}, "schema": "schemas/ui.json", "mirror": "ui.json"}}}),
    "schema.sql": "CREATE TABLE settings(name TEXT PRIMARY KEY NOT NULL, value JSON);\n",
    "schemas/ui.json": '{"properties": {"theme": {"enum": ["light", "dark"]}}}',
}


class Settings(Case):
    def setUp(self):
        super().setUp()
        for name, text in APP.items():
            path = self.path("app", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        self.daybook("init", "s.daybook", "--app", "app")

    def walk(self, store):
        self.assertEqual(self.daybook("get", store, "ui", "editor.size"), "12\n")
        self.assertEqual(self.daybook("set", store, "ui", "editor.size", "14"), "")
        self.daybook("set", store, "ui", "theme", "dark")
        self.daybook("set", store, "ui", "name", '"7"')
        self.assertEqual(self.daybook("get", store, "ui", "theme"), "dark\n")
        self.assertEqual(json.loads(self.daybook("get", store, "ui")), {"theme": "dark", "editor": {"size": 14}, "name": "7"})
        self.assertTrue(json.loads(self.daybook("get", store, "ui", "theme", "--json"))["set"])
        self.daybook("unset", store, "ui", "theme")
        self.assertEqual(self.daybook("get", store, "ui", "theme"), "light\n")
        self.assertIn("nothing is set there", self.refused(1, "unset", store, "ui", "theme"))
        self.assertIn("'/theme' is none of", self.refused(1, "set", store, "ui", "theme", "blue"))
        self.assertIn("did you mean 'ui'?", self.refused(1, "get", store, "iu"))
        self.daybook("reset", store, "ui")
        self.daybook("reset", store, "ui")
        self.assertEqual(json.loads(self.daybook("get", store, "ui")), {"theme": "light", "editor": {"size": 12}})

    def send_one(self, command, status=0):
        answer = json.loads(self.daybook("send", "s.daybook", input=json.dumps(command) + "\n", status=status))
        return answer

    def test_a_put_of_its_row_is_judged_as_a_set(self):
        put = {"do": "put", "table": "settings", "key": "ui"}
        for number, (do, value, said) in enumerate((
                ("put", {"theme": "pink"}, "settings 'ui': '/theme' is none of"), ("put", [1], "the settings 'ui' are an object"),
                ("put", None, "the settings 'ui' are an object"), ("put", "x", "the settings 'ui' are an object"), ("put", {"a": {"b": None}}, "null is no value of a setting"),
                ("patch", {"theme": "pink"}, "settings 'ui': '/theme' is none of"), ("patch", [1], "the settings 'ui' are an object"), ("patch", None, "the settings 'ui' are an object"))):
            if number == 5:
                self.send_one({"id": "good", **put, "data": {"value": {"theme": "dark"}}})
            refused = self.send_one({"id": f"c{number}", **put, "do": do, "data": {"value": value}}, status=1)
            self.assertEqual(refused["error"], "schema")
            self.assertIn(said, refused["message"])
            if "/theme" in said:
                self.assertEqual(refused["errors"][0]["pointer"], "/theme")
        self.assertEqual(self.daybook("get", "s.daybook", "ui", "theme"), "dark\n")
        for number, change in enumerate(({"do": "patch", "data": {"value": {"theme": None}}}, {"data": {}},
                                         {"key": "another", "data": {"value": [1]}})):
            self.assertTrue(self.send_one({"id": f"d{number}", **put, **change})["ok"])
        self.daybook("reset", "s.daybook", "ui")
        self.assertTrue(self.send_one({"id": "empty", **put, "data": {}})["ok"])
        self.assertEqual(self.daybook("get", "s.daybook", "ui", "theme"), "light\n")

    def test_defaults_fit_the_schema(self):
        path = self.path("app", "app.json")
        with open(path, "w", encoding="utf-8") as f:
            f.write(APP["app.json"].replace('"light"', '"pink"'))
        said = self.daybook("check", "app")
        self.assertIn("'settings.ui.defaults' does not fit the schema: '/theme' is none of", said)

    def test_on_a_store(self):
        self.walk("s.daybook")
        with open(self.path("s.daybook", "app", "schemas", "ui.json"), encoding="utf-8") as f:
            self.assertEqual(f.read(), APP["schemas/ui.json"])

    def test_beside_a_daemon(self):
        Daemon(self, "s.daybook")
        self.walk("s.daybook")

    def until(self, wanted, look):
        """Looks until it is so, ten seconds at most."""
        end = time.monotonic() + 10
        while (found := look()) != wanted and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(found, wanted)

    def text_of(self, path):
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8") as f:
            return f.read()

    def test_a_daemon_takes_edits_of_the_mirror(self):
        Daemon(self, "s.daybook")
        mirror = self.path("s.daybook", "files", "ui.json")
        self.daybook("set", "s.daybook", "ui", "theme", "dark")
        self.until('{\n  "theme": "dark"\n}\n', lambda: self.text_of(mirror))
        with open(mirror, "w", encoding="utf-8") as f:
            f.write('{"theme": "light", "mine": 1}')
        self.until({"theme": "light", "editor": {"size": 12}, "mine": 1}, lambda: json.loads(self.daybook("get", "s.daybook", "ui")))
        with open(mirror, "w", encoding="utf-8") as f:
            f.write('{"theme": "light", ')
        self.until(True, lambda: os.path.exists(mirror + ".rejected"))
        self.assertEqual(json.loads(self.daybook("get", "s.daybook", "ui", "mine")), 1)

    def test_namespaces_of_a_template(self):
        app = {"daybook": 1, "name": "set", "settings": {
            "plugin:{id}": {"table": "settings", "defaults": {"font": {"size": 9}}, "mirror": "plugins/{id}/data.json"},
            "plugin:core": {"table": "settings"},
            "names": {"query": "names", "mirror": "names.json"}}}
        for name, text in (("app.json", json.dumps(app)), ("schema.sql", APP["schema.sql"]),
                           ("queries.sql", "-- query names()\nSELECT name FROM settings ORDER BY name;\n")):
            os.makedirs(self.path("plugins"), exist_ok=True)
            with open(self.path("plugins", name), "w", encoding="utf-8") as f:
                f.write(text)
        self.daybook("init", "p.daybook", "--app", "plugins")
        for daemon in (False, True):
            if daemon:
                Daemon(self, "p.daybook")
            self.daybook("set", "p.daybook", "plugin:dict", "font.size", "12")
            self.daybook("set", "p.daybook", "plugin:core", "x", "1")
            mirror = self.path("p.daybook", "files", "plugins", "dict", "data.json")
            self.until('{\n  "font": {\n    "size": 12\n  }\n}\n', lambda mirror=mirror: self.text_of(mirror))
            self.assertEqual(self.daybook("get", "p.daybook", "plugin:dict", "font.size"), "12\n")
            self.assertEqual(self.daybook("get", "p.daybook", "plugin:other", "font.size"), "9\n")
            with open(mirror, "w", encoding="utf-8") as f:
                f.write('{"mine": 1}')
            self.until({"font": {"size": 9}, "mine": 1}, lambda: json.loads(self.daybook("get", "p.daybook", "plugin:dict")))
            self.assertIn("nothing is set there in 'plugin:dict'", self.refused(1, "unset", "p.daybook", "plugin:dict", "font"))
            self.daybook("unset", "p.daybook", "plugin:dict", "mine")
            self.assertIn("there are no settings 'plugin:-x'", self.refused(1, "set", "p.daybook", "plugin:-x", "a", "1"))
            self.assertIn("{id} is 1 to 64 letters", self.refused(1, "get", "p.daybook", "plugin:"))
            self.daybook("reset", "p.daybook", "plugin:dict")
            self.until("{}\n", lambda mirror=mirror: self.text_of(mirror))
        types = self.daybook("types", "plugins")
        self.assertIn("  [name: `plugin:${string}`]: Json;\n", types)
        self.assertIn('  "plugin:core": Json;\n', types)

    def test_the_store_may_go_unsaid(self):
        self.daybook("set", "ui", "editor.size", "9")
        self.assertEqual(self.daybook("get", "ui", "editor.size"), "9\n")
        self.assertEqual(self.daybook("reset", "ui"), "")

    def test_what_is_missing_is_said(self):
        self.assertIn("give a namespace, a path and a value", self.refused(2, "set", "s.daybook", "ui", "theme"))
        self.assertIn("give a namespace", self.refused(2, "get", "s.daybook"))


if __name__ == "__main__":
    unittest.main()
