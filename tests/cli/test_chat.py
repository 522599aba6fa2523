"""examples/chat over the bus with real commands; what such an app gets wrong by hand is shown to be impossible."""
import json
import os
import random
import unittest

from cli_case import TOP, Case, Daemon, ndjson

APP = os.path.join(TOP, "examples", "chat", "app")


class Chat(Case):
    def setUp(self):
        super().setUp()
        self.daybook("init", "chat.daybook", "--app", APP)
        self.daemon = Daemon(self, "chat.daybook")
        self.number = 0

    def send(self, *commands):
        """Receipts; ids are made."""
        for command in commands:
            self.number += 1
            command.setdefault("id", f"t{self.number}")
        done = self.run_program("send", self.daemon.url, input=ndjson(commands))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def do(self, verb, **args):
        return self.send({"do": verb, "args": args})[0]

    def ok(self, receipt):
        self.assertTrue(receipt["ok"], receipt)
        return receipt

    def put(self, table, key=None, **data):
        return self.ok(self.send({"do": "put", "table": table, "data": data, **({"key": key} if key else {})})[0])["key"]

    def delete(self, table, key):
        return self.ok(self.send({"do": "delete", "table": table, "key": key})[0])

    def count(self, table, where="1"):
        return self.rows(self.daemon.url, f'SELECT count(*) FROM {table} WHERE {where}')[0][0]

    def ask(self, conversation, prompt="?", answer="!"):
        key = self.ok(self.do("chat.ask", conversationId=conversation, prompt=prompt))["key"]
        if answer:
            self.ok(self.do("chat.streaming", id=key))
            self.ok(self.do("chat.answered", id=key, response=answer, metadata={"tokens": 3}))
        return key

    def name(self, query, *words):
        return json.loads(self.daybook("query", self.daemon.url, "--name", query, *words, "--json"))["rows"]

    def test_a_conversation(self):
        started = self.ok(self.do("chat.start", title="Cats"))
        chat = started["key"]
        self.assertEqual(started["result"], [{"id": chat, "title": "Cats"}])
        self.ask(chat, "what is a cat", "an animal")
        second = self.ask(chat, "and a dog", answer=None)
        self.assertEqual(self.name("conversation", f"id={chat}"),
                         [[1, "COMPLETED", "what is a cat", "an animal"], [2, "PENDING", "and a dog", None]])
        late = self.do("chat.answered", id=second, response="no")
        self.assertEqual((late["error"], late["ok"]), ("rejected", False), late)
        self.ok(self.do("chat.streaming", id=second))
        self.ok(self.do("chat.failed", id=second, error="quota"))
        self.assertEqual(self.do("chat.streaming", id=second)["error"], "rejected")
        self.assertEqual(self.rows(self.daemon.url, "SELECT sum(asked) FROM activity"), [[2]])
        self.assertEqual(self.name("export", f"id={chat}")[0][1][0], {"prompt": "what is a cat", "response": "an animal"})
        self.ok(self.do("chat.archive", conversationId=chat))
        self.assertEqual(self.do("chat.ask", conversationId=chat, prompt="x")["message"], "the conversation is archived")
        self.assertEqual(self.name("recent"), [])

    def test_a_fork_goes_its_own_way(self):
        chat = self.ok(self.do("chat.start", title="Cats"))["key"]
        keys = [self.ask(chat, f"q{i}", f"a{i}") for i in range(5)]
        forked = self.ok(self.do("chat.fork", interactionId=keys[2]))
        fork = forked["result"][0]
        self.assertEqual((fork["title"], fork["interactions"]), ("Fork of Cats", 3))
        self.ask(fork["id"], "other", "way")
        self.assertEqual([r[2] for r in self.name("conversation", f"id={fork['id']}")], ["q0", "q1", "q2", "other"])
        self.assertEqual(len(self.name("conversation", f"id={chat}")), 5)
        self.delete("conversations", chat)
        self.assertEqual(self.count("interactions"), 4)
        self.assertEqual(self.do("chat.fork", interactionId="none")["error"], "rejected")

    def test_deleting_a_project_leaves_no_orphan_and_can_be_undone(self):
        """By hand, only the projects were in the transaction: conversations and interactions stayed behind."""
        chance, projects, chats = random.Random(3), [], []
        for i in range(12):
            parent = {"parentId": chance.choice(projects[:3])} if i > 2 else {}
            projects.append(self.put("projects", name=f"p{i}", **parent))
            chats.append(self.ok(self.do("chat.start", title=f"c{i}", projectId=projects[-1]))["key"])
            self.ask(chats[-1])
        free = self.ok(self.do("chat.start", title="free"))["key"]
        self.ask(free)
        tables = ("projects", "conversations", "interactions")
        before = [self.rows(self.daemon.url, f"SELECT * FROM {t} ORDER BY id") for t in tables]
        receipts = [self.delete("projects", p) for p in projects[:3]]
        self.assertEqual([self.count(t) for t in ("projects", "conversations", "interactions")], [0, 1, 1])
        for table, parent, column in (("conversations", "projects", "projectId"), ("interactions", "conversations", "conversationId")):
            self.assertEqual(self.count(table, f"{column} IS NOT NULL AND {column} NOT IN (SELECT id FROM {parent})"), 0)
        shown = json.loads(self.daybook("explain", self.daemon.url, str(receipts[0]["position"]), "--json"))["rows"]
        self.assertEqual({r["table"] for r in shown}, {"projects", "conversations", "interactions"})
        self.assertIn("delete", self.daybook("history", self.daemon.url, "conversations", chats[0]))
        self.daybook("undo", self.daemon.url, *[str(r["position"]) for r in receipts])
        self.assertEqual([self.rows(self.daemon.url, f"SELECT * FROM {t} ORDER BY id") for t in tables], before)

    def test_projects_a_hundred_deep(self):
        parent, first = None, None
        for i in range(100):
            parent = self.put("projects", name="deeper", **({"parentId": parent} if parent else {}))
            first = first or parent
        self.ask(self.ok(self.do("chat.start", projectId=parent))["key"])
        self.assertEqual(len(self.name("tree")), 100)
        self.assertEqual(self.do("project.move", id=first, into=parent)["message"], "a project cannot go into itself")
        self.delete("projects", first)
        self.assertEqual([self.count(t) for t in ("projects", "conversations", "interactions")], [0, 0, 0])

    def test_names_are_unique_because_the_schema_says_so(self):
        """By hand: a message about a unique name, and no index that would ever cause it."""
        self.put("projects", name="Work")
        home = self.put("projects", name="Home")
        self.put("projects", name="Work", parentId=home)
        for data in ({"name": "Work"}, {"name": " Work "}, {"name": "Work", "parentId": home}):
            refused = self.send({"do": "put", "table": "projects", "data": data})[0]
            self.assertEqual(refused["error"], "constraint", refused)
        self.put("tags", name="Fun")
        refused = self.send({"do": "put", "table": "tags", "data": {"name": "fun"}})[0]
        self.assertEqual((refused["error"], refused["message"]), ("constraint", "There is a tag of this name already"))

    def test_keys_are_of_one_kind(self):
        """By hand: declared as counted numbers, filled with made-up texts."""
        made = self.put("conversations", title="x")
        self.assertRegex(made, r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        self.assertEqual(self.send({"do": "put", "table": "conversations", "key": 1, "data": {"title": "x"}})[0]["error"], "schema")

    def test_a_key_that_goes_is_unlinked_and_was_never_a_row(self):
        """By hand: keys in clear text, exported with everything else."""
        key = self.put("apiKeys", name="mine", providerId="openai", reference="keyring:chat/openai")
        other = self.put("apiKeys", name="other", providerId="openai", reference="keyring:chat/other")
        for i, of in enumerate([key, key, other]):
            self.put("providerConfigs", name=f"p{i}", type="openai", apiKeyId=of, models=[{"id": "gpt"}])
        refused = self.send({"do": "put", "table": "apiKeys", "data": {"name": "bad", "providerId": "openai", "reference": "sk-123456"}})[0]
        self.assertEqual(refused["error"], "constraint")
        self.assertNotIn("sk-123456", self.daybook("log", self.daemon.url, "--json"))
        removed = self.delete("apiKeys", key)
        self.assertEqual([r[3] for r in self.name("providers")], [None, None, "other"])
        self.daybook("undo", self.daemon.url, str(removed["position"]))
        self.assertEqual([r[3] for r in self.name("providers")], ["mine", "mine", "other"])

    def test_a_provider_is_what_its_schema_says(self):
        for data, place in (({"type": "else"}, "/type"), ({"type": "custom"}, ""), ({"type": "openai", "models": [{"name": "x"}]}, "/models/0")):
            refused = self.send({"do": "put", "table": "providerConfigs", "data": {"name": "p", **data}})[0]
            self.assertEqual(refused["error"], "schema", refused)
            self.assertIn(place, [e["pointer"] for e in refused["errors"]])

    def test_rules_and_tags(self):
        rules = [self.put("rules", name=f"rule {i}", type="system", content="be kind") for i in range(3)]
        for tag in ("polite", "Polite", "short"):
            for i in range(3):
                self.ok(self.do("rule.tag", rule=f"rule {i}", tag=tag))
        self.assertEqual((self.count("tags"), self.count("tagRuleLinks")), (2, 6))
        self.assertEqual(len(self.name("rules_of", "tag=polite")), 3)
        self.delete("rules", rules[0])
        self.assertEqual(self.count("tagRuleLinks"), 4)
        self.delete("tags", self.rows(self.daemon.url, "SELECT id FROM tags WHERE name = 'short'")[0][0])
        self.assertEqual(self.count("tagRuleLinks"), 2)
        self.assertEqual(self.do("rule.tag", rule="none", tag="x")["message"], "there is no rule none")
        self.assertEqual(self.count("tags"), 1)

    def test_settings_that_are_false_stay_false(self):
        """By hand: a stored false or 0 gave the default."""
        self.daybook("set", self.daemon.url, "settings", "streaming", "false")
        self.daybook("set", self.daemon.url, "settings", "sidebar.width", "0")
        self.assertEqual(self.daybook("get", self.daemon.url, "settings", "streaming"), "false\n")
        self.assertEqual(json.loads(self.daybook("get", self.daemon.url, "settings")),
                         {"theme": "light", "fontSize": 14, "streaming": False, "sidebar": {"open": True, "width": 0}})
        self.refused(1, "set", self.daemon.url, "settings", "theme", "pink")
        self.daybook("reset", self.daemon.url, "settings")
        self.assertEqual(self.daybook("get", self.daemon.url, "settings", "sidebar.width"), "280\n")

    def test_all_of_it_is_made_again_from_the_log(self):
        for i in range(5):
            chat = self.ok(self.do("chat.start", title=f"c{i}"))["key"]
            for key in [self.ask(chat) for _ in range(3)][:i]:
                self.ok(self.do("chat.fork", interactionId=key))
        before = json.loads(self.daybook("fingerprint", self.daemon.url, "--json"))["fingerprint"]
        rebuilt = json.loads(self.daybook("rebuild", self.daemon.url, "--json"))["fingerprint"]
        self.assertEqual(rebuilt, before)
        self.daemon.end()
        self.daybook("verify", "chat.daybook")


if __name__ == "__main__":
    unittest.main()
