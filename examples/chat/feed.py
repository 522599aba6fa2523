#!/usr/bin/env python3
"""What a user of a chat app has after some months, as commands: one JSON object per line, always the same.
usage: feed.py [CONVERSATIONS]"""
import json
import random
import sys

WORDS = "cat dog tree river stone light bread ship winter garden letter bridge cloud paper song".split()


def put(table, key, data, number=[0]):
    number[0] += 1
    print(json.dumps({"id": f"feed-{number[0]}", "do": "put", "table": table, "key": key, "data": data}))


def main(conversations):
    chance = random.Random(7)
    say = lambda count: " ".join(chance.choice(WORDS) for _ in range(count))
    projects = max(4, conversations // 10)
    for i in range(projects):
        parent = {"parentId": f"p{chance.randrange(i)}"} if i >= 4 else {}
        put("projects", f"p{i}", {"name": f"{chance.choice(WORDS)} {i}", **parent})
    for name in WORDS[:6]:
        put("rules", f"r-{name}", {"name": f"about {name}", "type": "system", "content": say(12)})
        put("tags", f"t-{name}", {"name": name})
        put("tagRuleLinks", [f"t-{name}", f"r-{name}"], {})
    put("apiKeys", "k1", {"name": "mine", "providerId": "openai", "reference": "keyring:chat/openai"})
    put("providerConfigs", "c1", {"name": "openai", "type": "openai", "apiKeyId": "k1", "models": [{"id": "large"}]})
    for i in range(conversations):
        put("conversations", f"c{i}", {"title": say(3), **({"projectId": f"p{chance.randrange(projects)}"} if i % 5 else {})})
        for place in range(1, chance.randrange(2, 12)):
            put("interactions", f"c{i}-{place}", {"conversationId": f"c{i}", "place": place, "status": "COMPLETED",
                                                  "prompt": say(8), "response": say(60)})


main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
