"""What a suite for event stores asks of one, through a client that knows docs/bus.md and docs/commands.md alone:
expected versions, existence of streams, idempotence, reads forward and backward, aggregates as of an event,
projections inline and built anew, subscriptions from a position: no gap, none twice, live, across a kill."""
import json
import os
import signal
import threading
import unittest
import uuid

from bus_client import Changes, Commands, Mirror
from cli_case import Case, Daemon

SCHEMA = """
CREATE TABLE carts(id TEXT PRIMARY KEY NOT NULL, items INTEGER NOT NULL, cents INTEGER NOT NULL, confirmed BOOLEAN NOT NULL DEFAULT 0);
CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, text TEXT);
"""
PROJECTIONS = """
-- on ItemAdded
INSERT INTO carts(id, items, cents) VALUES (:stream, $quantity, $quantity * $price)
ON CONFLICT(id) DO UPDATE SET items = items + $quantity, cents = cents + $quantity * $price;
-- on DiscountApplied
UPDATE carts SET cents = cents * (100 - $percent) / 100 WHERE id = :stream;
-- on CartConfirmed
UPDATE carts SET confirmed = 1 WHERE id = :stream AND NOT confirmed;
"""


class Store:
    """An event store's few verbs, as an adapter would write them."""

    def __init__(self, url):
        self.commands, self.count, self.name = Commands(url), 0, uuid.uuid4()  # id() comes back after a writer is gone

    def new_id(self):
        self.count += 1
        return f"{self.name}-{self.count}"

    def append(self, stream, *events, expect="any", **more):
        """All or nothing; the answer's `version` is what the next append expects."""
        appends = [{"do": "append", "stream": stream, "type": kind, "data": data} for kind, data in events]
        appends[0]["expect"] = expect
        command = appends[0] if len(appends) == 1 else {"do": "batch", "commands": appends}
        return self.commands.ask({"id": self.new_id(), **command, **more})

    def read(self, stream=None, **more):
        request = {"do": "log", **more} if stream is None else {"do": "log", "stream": stream, **more}
        answer = self.commands.ask(request)
        if not answer["ok"]:
            raise AssertionError(answer)
        return answer

    def version(self, stream):
        last = self.read(stream, reverse=True, limit=1)["events"]
        return last[0]["streamversion"] if last else 0


def added(quantity=10, price=3):
    return ("ItemAdded", {"quantity": quantity, "price": price})


def evolve(state, event):
    items, cents = state
    data = event["data"]
    if event["type"] == "ItemAdded":
        return items + data["quantity"], cents + data["quantity"] * data["price"]
    return items, cents * (100 - data["percent"]) // 100


class Served(Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("app"))
        for name, text in (("schema.sql", SCHEMA), ("projections.sql", PROJECTIONS), ("app.json", '{"daybook":1,"name":"carts"}')):
            with open(self.path("app", name), "w", encoding="utf-8") as f:
                f.write(text)
        self.daybook("init", "s.daybook", "--app", "app")
        self.daemon = Daemon(self, "s.daybook")
        self.store = self.connect()

    def connect(self):
        store = Store(self.daemon.url)
        self.addCleanup(store.commands.close)
        return store

    def restart(self):
        self.daemon.end(signal.SIGKILL)
        self.daemon = Daemon(self, "s.daybook")
        self.store = self.connect()

    def mirror(self, table):
        changes = Changes(self.daemon.url.replace("/commands", "/changes"), table)
        self.addCleanup(changes.close)
        return Mirror(self.connect().commands, changes, table)

    def refused(self, answer, error, **members):
        self.assertFalse(answer["ok"], answer)
        self.assertEqual((answer["error"], answer["outcome"]), (error, "none"))
        self.assertEqual({name: answer.get(name) for name in members}, members)


class Versions(Served):
    def test_a_stream_that_is_new_and_one_that_is_not(self):
        store = self.store
        self.assertEqual(store.read("cart-1")["events"], [])
        self.assertEqual(store.version("cart-1"), 0)
        self.refused(store.append("cart-1", added(), expect="exists"), "version_conflict", expected="exists", actual=0)
        first = store.append("cart-1", added(), expect="none")
        self.assertEqual(first["version"], store.version("cart-1"))
        self.refused(store.append("cart-1", added(), expect="none"), "version_conflict", expected="none", actual=first["version"])
        self.assertTrue(store.append("cart-1", added(), expect="exists")["ok"])
        self.assertTrue(store.append("cart-2", added(), expect=0)["ok"])
        self.assertEqual([len(store.read(name)["events"]) for name in ("cart-1", "cart-2", "cart-3")], [2, 1, 0])

    def test_the_version_that_was_read_or_none(self):
        store = self.store
        first = store.append("cart-1", added(), added(), expect="none")
        second = store.append("cart-1", ("DiscountApplied", {"percent": 10}), expect=first["version"])
        self.assertTrue(second["ok"])
        for stale in (first["version"], second["version"] + 1, 0):
            self.refused(store.append("cart-1", added(), added(), expect=stale), "version_conflict", expected=stale,
                         actual=second["version"])
        self.assertEqual(len(store.read("cart-1")["events"]), 3)

    def test_what_happens_on_other_streams_is_no_conflict(self):
        store = self.store
        version = store.append("cart-1", added())["version"]
        for number in range(5):
            store.append(f"cart-{number + 2}", added())
        self.assertTrue(store.append("cart-1", added(), expect=version)["ok"])

    def test_of_writers_that_saw_the_same_one_wins(self):
        version = self.store.append("cart-1", added())["version"]
        answers = []

        def write():
            store = Store(self.daemon.url)
            answers.append(store.append("cart-1", added(), expect=version))
            store.commands.close()

        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(sorted(a["ok"] for a in answers), [False] * 7 + [True])
        self.assertEqual({a.get("error") for a in answers if not a["ok"]}, {"version_conflict"})
        self.assertEqual(len(self.store.read("cart-1")["events"]), 2)

    def test_in_a_batch_each_append_expects_the_stream_as_it_was_before(self):
        each = {"do": "append", "stream": "cart-1", "type": "ItemAdded", "data": {"quantity": 1, "price": 1}, "expect": "none"}
        batch = {"id": "b1", "do": "batch", "commands": [each, each, {**each, "stream": "cart-2"}]}
        self.assertTrue(self.store.commands.ask(batch)["ok"])
        self.assertEqual([(e["subject"], e["index"]) for e in self.store.read(type="ItemAdded")["events"]],
                         [("cart-1", 0), ("cart-1", 1), ("cart-2", 2)])
        self.refused(self.store.commands.ask({**batch, "id": "b2", "commands": [{**each, "stream": "cart-3"}, each]}),
                     "version_conflict", at=1)
        self.assertEqual(self.store.read("cart-3")["events"], [])


class Idempotence(Served):
    def test_the_same_command_again_is_the_same_event(self):
        command = {"id": "c1", "do": "append", "stream": "cart-1", "type": "ItemAdded", "data": {"quantity": 1, "price": 2}}
        first = self.store.commands.ask(command)
        self.assertTrue(self.store.append("cart-1", added())["ok"])
        self.assertEqual({k: v for k, v in self.store.commands.ask(command).items() if k != "cursor"},
                         {**{k: v for k, v in first.items() if k != "cursor"}, "again": True})
        self.refused(self.store.commands.ask({**command, "data": {"quantity": 2, "price": 2}}), "id_reused")
        self.assertEqual(len(self.store.read("cart-1")["events"]), 2)

    def test_what_was_refused_may_be_sent_again_with_its_id(self):
        command = {"id": "c1", "do": "append", "stream": "cart-1", "type": "CartConfirmed", "expect": "exists"}
        self.refused(self.store.commands.ask(command), "version_conflict")
        self.store.append("cart-1", added())
        self.assertTrue(self.store.commands.ask(command)["ok"])

    def test_everything_sent_again_after_a_kill_is_there_once(self):
        sent = [{"id": f"k{i}", "do": "append", "stream": f"cart-{i % 3}", "type": "ItemAdded", "data": {"quantity": i, "price": 1}}
                for i in range(300)]
        numbers = [self.store.commands.start(command) for command in sent]
        self.store.commands.finish(numbers[99])
        self.restart()
        answers = self.store.commands.ask(sent)
        self.assertTrue(all(a["ok"] for a in answers))
        self.assertTrue(all(a.get("again") for a in answers[:100]))
        self.assertEqual([e["data"]["quantity"] for e in self.store.read(type="ItemAdded")["events"]], list(range(300)))


class Reads(Served):
    def setUp(self):
        super().setUp()
        for number in range(4):  # entries of 1, 2, 3, 4 events, others between
            self.store.append("cart-1", *[added(number * 10 + i) for i in range(number + 1)])
            self.store.append("other", added())

    def quantities(self, **more):
        return [e["data"]["quantity"] for e in self.store.read("cart-1", **more)["events"]]

    def test_forward_from_a_version_to_a_version(self):
        everything = [0, 10, 11, 20, 21, 22, 30, 31, 32, 33]
        events = self.store.read("cart-1")["events"]
        self.assertEqual(self.quantities(), everything)
        versions = sorted({e["streamversion"] for e in events})
        self.assertEqual(self.quantities(**{"from": versions[1] + 1}), everything[3:])
        self.assertEqual(self.quantities(to=versions[1]), everything[:3])
        self.assertEqual(self.quantities(**{"from": versions[1], "to": versions[2]}), everything[1:6])
        self.assertEqual(self.quantities(**{"from": versions[-1] + 1}), [])

    def test_backward_the_newest_event_comes_first(self):
        self.assertEqual(self.quantities(reverse=True), [33, 32, 31, 30, 22, 21, 20, 11, 10, 0])
        self.assertEqual(self.quantities(reverse=True, limit=1)[0], 33)
        self.assertEqual([e["index"] for e in self.store.read("cart-1", reverse=True, limit=1)["events"]], [3, 2, 1, 0])

    def test_pages_have_whole_entries_and_nothing_twice(self):
        for reverse in (False, True):
            for limit in (1, 2, 3, 4, 5, 100):
                got, range_, pages = [], {}, 0
                while pages < 20:
                    answer = self.store.read("cart-1", limit=limit, reverse=reverse, **range_)
                    sizes = [e["position"] for e in answer["events"]]
                    self.assertTrue(len(sizes) <= limit or len(set(sizes)) == 1, sizes)
                    got += [e["data"]["quantity"] for e in answer["events"]]
                    pages += 1
                    if "next" not in answer:
                        break
                    range_ = {"to" if reverse else "from": answer["next"]}
                self.assertEqual(got if not reverse else got[::-1], [0, 10, 11, 20, 21, 22, 30, 31, 32, 33], (limit, reverse))

    def test_every_event_has_its_place_and_its_own_id(self):
        events = self.store.read()["events"]
        self.assertEqual([(e["position"], e["index"]) for e in events], sorted({(e["position"], e["index"]) for e in events}))
        self.assertEqual(len({e["id"] for e in events}), len(events))
        self.assertEqual({e["position"] for e in events}, set(range(1, 10)))

    def test_metadata_stays_with_the_event(self):
        self.store.append("cart-9", added(), actor="ann", correlation="order-7", causation="click-3")
        event = self.store.read("cart-9")["events"][0]
        self.assertEqual((event["actor"], event["correlationid"], event["causationid"]), ("ann", "order-7", "click-3"))

    def test_names_that_other_stores_use(self):
        names = [("shopping_cart-5f0c", "ItemRemoved"), ("$all", "$metadata"), ("Warteschlange ä/1", "user-registered"),
                 ("a" * 2048, "com.example.Order:v2"), ("100%", "order/created")]
        for stream, kind in names:
            self.assertTrue(self.store.append(stream, (kind, {}))["ok"], stream)
        data = {"n": 12345678901234567890, "text": "\u2028\U0001f600\0", "inner": {"list": [None, 1.5, {}]}}
        self.store.append("data-1", ("Tested", data))
        self.assertEqual(self.store.read("data-1")["events"][0]["data"], data)
        self.assertEqual([self.store.read(stream)["events"][0]["type"] for stream, _ in names], [kind for _, kind in names])


class Aggregates(Served):
    def test_a_state_as_of_each_event_and_its_row_as_of_each_position(self):
        versions = [self.store.append("cart-1", event)["version"] for event in (added(), added(), ("DiscountApplied", {"percent": 10}))]
        for version, wanted in zip(versions, ((10, 30), (20, 60), (20, 54))):
            state = (0, 0)
            for event in self.store.read("cart-1", to=version)["events"]:
                state = evolve(state, event)
            self.assertEqual(state, wanted)
            answer = self.store.commands.ask({"do": "query", "sql": "SELECT items, cents FROM carts", "at": version})
            self.assertEqual(answer["rows"], [list(wanted)])


class Projections(Served):
    def rows(self):
        return self.store.commands.ask({"do": "query", "sql": "SELECT * FROM carts ORDER BY id"})["rows"]

    def test_a_receipt_means_that_the_rows_show_it(self):
        for number in range(1, 6):
            receipt = self.store.append("cart-1", added(1, 5))
            answer = self.store.commands.ask({"do": "query", "sql": "SELECT items, cents FROM carts"})
            self.assertEqual((answer["rows"], answer["position"]), ([[number, number * 5]], receipt["position"]))

    def test_what_a_projection_refuses_is_not_in_the_stream(self):
        self.store.append("cart-1", added())
        self.assertTrue(self.store.append("cart-1", ("CartConfirmed", {}))["ok"])
        for events in ([("CartConfirmed", {})], [added(), ("CartConfirmed", {})]):
            self.assertFalse(self.store.append("cart-1", *events)["ok"])
        self.assertEqual(len(self.store.read("cart-1")["events"]), 2)
        self.assertEqual(self.rows(), [["cart-1", 10, 30, True]])

    def test_rows_made_anew_are_the_same(self):
        for number in range(60):
            self.store.append(f"cart-{number % 7}", added(number % 4 + 1, number), ("DiscountApplied", {"percent": number % 50}))
        before, print_ = self.rows(), self.store.commands.ask({"do": "fingerprint"})["fingerprint"]
        status = self.store.commands.ask({"do": "status"})
        self.assertTrue(self.store.commands.ask({"do": "rebuild"})["ok"])
        self.assertEqual((self.rows(), self.store.commands.ask({"do": "fingerprint"})["fingerprint"]), (before, print_))
        self.assertEqual(self.store.commands.ask({"do": "status"})["generation"], status["generation"] + 1)


class Subscriptions(Served):
    def follow(self, store, position, until, **wish):
        """Reads on from behind `position`, as a consumer with a checkpoint does."""
        got = []
        while position < until:
            answer = store.read(wait_ms=20000, **{"from": position + 1}, **wish)
            got += [(e["position"], e["index"], e["type"]) for e in answer["events"]]
            position = answer["next"] - 1 if "next" in answer else answer["position"]
        return got, position

    def test_catch_up_then_live_without_a_gap(self):
        for number in range(40):
            self.store.append(f"cart-{number % 3}", *[added()] * (number % 3 + 1))
        end = self.store.append("cart-1", added())["position"]
        result = []
        follower = threading.Thread(target=lambda: result.extend(self.follow(self.connect(), 0, end + 50)[0]))
        follower.start()
        for number in range(50):
            self.store.append(f"cart-{number % 3}", *[added()] * (number % 2 + 1))
        follower.join(60)
        events = self.store.read(limit=5000)["events"]
        self.assertEqual(result, [(e["position"], e["index"], e["type"]) for e in events])

    def test_a_consumer_with_a_checkpoint_goes_on_after_a_kill(self):
        end = [self.store.append("cart-1", added(), added()) for _ in range(20)][-1]["position"]
        first, checkpoint = self.follow(self.store, 0, end)
        self.restart()
        end = [self.store.append("cart-1", added()) for _ in range(20)][-1]["position"]
        second, _ = self.follow(self.store, checkpoint, end)
        self.assertEqual(first + second, [(e["position"], e["index"], e["type"]) for e in self.store.read(limit=5000)["events"]])

    def test_of_one_stream_and_of_one_type(self):
        for number in range(30):
            self.store.append(f"cart-{number % 3}", added())
        end = self.store.append("cart-1", ("DiscountApplied", {"percent": 5}))["position"]
        for wish, count in (({"stream": "cart-1"}, 11), ({"type": "DiscountApplied"}, 1), ({"stream": "cart-1", "type": "ItemAdded"}, 10)):
            self.assertEqual(len(self.follow(self.store, 0, end, **wish)[0]), count, wish)

    def test_two_consumers_see_the_same_order(self):
        results = [[], []]
        end = self.store.read()["position"] + 80
        followers = [threading.Thread(target=lambda r=r: r.extend(self.follow(self.connect(), 0, end)[0])) for r in results]
        writers = [threading.Thread(target=lambda w=w, s=self.connect(): [s.append(f"cart-{w}", added()) for _ in range(20)])
                   for w in range(4)]
        for thread in followers + writers:
            thread.start()
        for thread in followers + writers:
            thread.join(60)
        self.assertEqual(results[0], results[1])
        self.assertEqual(len(results[0]), 81)


class LiveRows(Served):
    def put(self, number, text):
        return self.store.commands.ask({"id": self.store.new_id(), "do": "put", "table": "notes", "key": f"n{number}", "data": {"text": text}})

    def equal(self, mirror):
        rows = self.store.commands.ask({"do": "query", "sql": f"SELECT * FROM {mirror.table}"})
        held = sorted(tuple(row[c] for c in rows["columns"]) for row in mirror.rows.values())
        self.assertEqual(held, sorted(map(tuple, rows["rows"])))
        self.assertEqual(mirror.seen, sorted(mirror.seen))

    def test_rows_of_collections_and_of_projections(self):
        self.put(0, "before")
        notes, carts = self.mirror("notes"), self.mirror("carts")
        for number in range(100):
            last = self.put(number % 10, f"text {number}")
            self.store.append(f"cart-{number % 4}", added())
        last = self.store.commands.ask({"id": "d1", "do": "delete", "table": "notes", "key": "n3"})
        self.assertTrue(notes.until(last["position"]))
        self.assertTrue(carts.until(last["position"] - 1))
        self.equal(notes)
        self.equal(carts)
        self.assertNotIn('"n3"', notes.rows)

    def test_away_meanwhile_and_back_from_its_position(self):
        notes = self.mirror("notes")
        self.assertTrue(notes.until(self.put(1, "one")["position"]))
        notes.changes.close()
        for number in range(50):
            self.put(number, "while away")
        self.store.commands.ask({"id": "d1", "do": "delete", "table": "notes", "key": "n1"})
        self.restart()
        notes.commands, notes.changes = self.connect().commands, Changes(self.daemon.url.replace("/commands", "/changes"), "notes")
        self.addCleanup(notes.changes.close)
        self.assertTrue(notes.until(self.put(2, "back")["position"]))
        self.equal(notes)

    def test_made_anew_under_a_subscriber(self):
        notes = self.mirror("notes")
        for number in range(20):
            last = self.put(number, "x")
        self.assertTrue(notes.until(last["position"]))
        self.assertTrue(self.store.commands.ask({"do": "rebuild"})["ok"])
        self.assertTrue(notes.until(self.put(5, "after")["position"]))
        self.assertEqual(notes.life[1], 2)
        self.equal(notes)

    def test_a_row_too_big_for_a_message_arrives_all_the_same(self):
        notes = self.mirror("notes")
        last = self.store.commands.ask({"id": "b1", "do": "batch", "commands": [
            {"do": "put", "table": "notes", "key": f"n{i}", "data": {"text": "y" * 60000}} for i in range(30)]})
        self.assertTrue(notes.until(last["position"]))
        self.equal(notes)


if __name__ == "__main__":
    unittest.main()
