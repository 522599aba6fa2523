# The chat example, played by script/run.
# shellcheck shell=bash disable=SC2154
ask() { "$daybook" query "$url" "$@" | columns; }
one() { "$daybook" query "$url" "$1" --csv | tail -n 1 | tr -d '\r'; }
orphans="SELECT (SELECT count(*) FROM conversations WHERE projectId NOT IN (SELECT id FROM projects)) + (SELECT count(*) FROM interactions WHERE conversationId NOT IN (SELECT id FROM conversations)) AS n"

step "1. A store from a folder of text, and its daemon"
show "init chat.daybook --app examples/chat/app"
"$daybook" init "$store" --app examples/chat/app | indent
show "serve chat.daybook"
serve 1
url=$(json '["commands"]' <"$store/run.json")

step "2. Some months of use"
examples/chat/feed.py "${1:-2000}" >"$work/feed.ndjson"
commands=$(wc -l <"$work/feed.ndjson")
show "send chat.daybook feed.ndjson"
loaded=$(now)
"$daybook" send "$url" "$work/feed.ndjson" --quiet >"$work/refused" 2>"$work/summary" || { head -3 "$work/refused" >&2; die "a command was refused"; }
load=$(since "$loaded")
indent <"$work/summary"
ask "SELECT (SELECT count(*) FROM projects) AS projects, (SELECT count(*) FROM conversations) AS conversations, (SELECT count(*) FROM interactions) AS interactions"

step "3. A question, its answer, and a fork, by the app's own commands"
say() { # the command's receipt, its key in $key
    note "$1"
    printf '%s\n' "$1" | "$daybook" send "$url" >"$work/receipt" || true
    key=$(json '.get("key", "")' <"$work/receipt")
    python3 -c 'import json,sys; d = json.load(sys.stdin); print("   ", json.dumps(d["result"]) if "result" in d else d.get("message") or "position %d" % d["position"])' <"$work/receipt"
}
say '{"id":"s1","do":"chat.start","args":{"title":"Trees"}}'
conversation=$key
say "{\"id\":\"s2\",\"do\":\"chat.ask\",\"args\":{\"conversationId\":\"$conversation\",\"prompt\":\"How old is an oak?\"}}"
question=$key
say "{\"id\":\"s3\",\"do\":\"chat.answered\",\"args\":{\"id\":\"$question\",\"response\":\"Too early\"}}"
say "{\"id\":\"s4\",\"do\":\"chat.streaming\",\"args\":{\"id\":\"$question\"}}"
say "{\"id\":\"s5\",\"do\":\"chat.answered\",\"args\":{\"id\":\"$question\",\"response\":\"Some, a thousand years\"}}"
say "{\"id\":\"s6\",\"do\":\"chat.fork\",\"args\":{\"interactionId\":\"$question\"}}"

step "4. A project goes, and all that was in it"
project=$(one "SELECT projectId FROM conversations WHERE projectId IS NOT NULL GROUP BY projectId ORDER BY count(*) DESC, projectId LIMIT 1")
before=$(one "SELECT count(*) FROM interactions")
say "{\"id\":\"s7\",\"do\":\"delete\",\"table\":\"projects\",\"key\":\"$project\"}"
deleted=$(json '["position"]' <"$work/receipt")
after=$(one "SELECT count(*) FROM interactions")
note "$((before - after)) interactions went with it; $(one "$orphans") rows lost their parent"
[ "$(one "$orphans")" = 0 ] && [ "$after" -lt "$before" ] || die "the cascade left something behind"
show "query chat.daybook \"SELECT count(*) AS interactions FROM interactions\" --at $((deleted - 1))"
ask "SELECT count(*) AS interactions FROM interactions" --at $((deleted - 1))
show "undo chat.daybook $deleted"
"$daybook" undo "$url" "$deleted" | indent
[ "$(one "SELECT count(*) FROM interactions")" = "$before" ] || die "the undo brought not everything back"
note "$before interactions again"

step "5. Settings"
show "set chat.daybook settings streaming false"
"$daybook" set "$url" settings streaming false
show "get chat.daybook settings"
"$daybook" get "$url" settings | indent
show "set chat.daybook settings theme pink"
"$daybook" set "$url" settings theme pink 2>&1 | indent || true

step "6. Proof: all rows again, from nothing but the log"
live=$("$daybook" fingerprint "$url" --json | json '["fingerprint"]')
show "rebuild chat.daybook"
rebuilt=$("$daybook" rebuild "$url" --json | json '["fingerprint"]')
note "before   $live"
note "rebuilt  $rebuilt"
[ "$live" = "$rebuilt" ] || die "the fingerprints differ"
show "verify chat.daybook"
"$daybook" verify "$store" | indent
kill -TERM "$serve_pid" && wait "$serve_pid" || die "the daemon did not close cleanly"
serve_pid=''
awk -v c="$commands" -v s="$load" -v t="$(since "$started")" 'BEGIN { if (s < 0.1) s = 0.1; printf "  %d commands/s in step 2, %.1f s in all\n", c / s, t }'
