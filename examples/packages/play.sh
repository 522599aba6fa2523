# The packages example, played by script/run.
# shellcheck shell=bash disable=SC2154
step "1. The input: what this machine knows about packages"
examples/packages/feed.py "$@" >"$work/feed.ndjson" 2>"$work/feed.txt" || { cat "$work/feed.txt" >&2; die "no input"; }
indent <"$work/feed.txt"
commands=$(wc -l <"$work/feed.ndjson")
bytes=$(stat -c %s "$work/feed.ndjson")
note "$commands commands, $((bytes / 1000000)) MB of JSON"

step "2. A store from three text files"
show "init packages.daybook --app examples/packages/app"
"$daybook" init "$store" --app examples/packages/app | indent

step "3. The daemon, and a second process that watches"
show "serve packages.daybook"
serve 1
url=$(json '["commands"]' <"$store/run.json")
watch

step "4. Everything over the bus … and SIGKILL in the middle"
show "send packages.daybook < the first half of feed.ndjson"
half=$(((commands + 1) / 2))
head -n "$half" "$work/feed.ndjson" | "$daybook" send "$url" >"$work/receipts.1" 2>"$work/send.log" &
send_pid=$!
wait_for_receipts "$work/receipts.1" $((half / 2))
stop "$serve_pid" KILL
stop "$send_pid" && stop "$watch_pid"
serve_pid='' send_pid='' watch_pid=''
acknowledged=$(grep -c '"ok":true' "$work/receipts.1" || true)
note "killed when $acknowledged receipts were out"

step "5. Again: it reopens, and the whole input is sent once more (nothing doubles)"
reopened=$(now)
serve 2
reopen=$(since "$reopened")
note "open and serving again after $reopen s"
watch
before=$("$daybook" fingerprint "$url" --json | json '["position"]')
[ "$before" -ge "$acknowledged" ] || die "acknowledged entries are missing: $before of $acknowledged"
show "send packages.daybook feed.ndjson"
loaded=$(now)
"$daybook" send "$url" "$work/feed.ndjson" >"$work/receipts.2" || { grep -m3 '"ok":false' "$work/receipts.2" >&2; die "a command was refused"; }
load=$(since "$loaded")
again=$(grep -c '"again":true' "$work/receipts.2" || true)
entries=$("$daybook" fingerprint "$url" --json | json '["position"]')
note "$(wc -l <"$work/receipts.2") receipts in $load s, $again of them \"again\" (accepted before the kill)"
note "$entries entries: the definition, and each command once"
[ "$(wc -l <"$work/receipts.2")" -eq "$commands" ] || die "receipts are missing"
[ "$again" -ge "$acknowledged" ] || die "an acknowledged command was not known any more"
[ "$entries" -eq $((commands + 1)) ] || die "$commands commands made $entries entries"

step "6. Questions, now and then"
for name in maintainers sections; do
    show "query packages.daybook --name $name top=4"
    "$daybook" query "$url" --name "$name" top=4 | columns
done
package=$(tail -n 1 "$work/feed.ndjson" | json '["data"].get("package", "")')
question="SELECT package, state, version, events FROM installation WHERE package = '$package'" past=$((entries - 3))
if [ -z "$package" ]; then # a catalogue without history
    question="SELECT count(*) AS packages, max(name) AS last FROM package" past=$((entries / 2))
fi
for at in "" "--at $past"; do
    show "query packages.daybook \"$question\"${at:+ $at}"
    # shellcheck disable=SC2086
    "$daybook" query "$url" "$question" $at | columns
done

step "7. Proof: the read model from nothing but the log, and every byte checked"
show "replay packages.daybook --into fresh.sqlite"
"$daybook" replay "$store" --into "$work/fresh.sqlite" | indent
live=$("$daybook" fingerprint "$url" --json | json '["fingerprint"]')
fresh=$("$daybook" fingerprint "$store" --at "$entries" --json | json '["fingerprint"]')
note "the model that served all this has fingerprint $live"
[ "$live" = "$fresh" ] || die "the fingerprints differ: replayed $fresh"
show "verify packages.daybook"
"$daybook" verify "$store" --json >"$work/verify.json" || { cat "$work/verify.json" >&2; die "verify found faults"; }
"$daybook" verify "$store" | indent
stop "$watch_pid"
watch_pid=''
kill -TERM "$serve_pid"
wait "$serve_pid" || die "the daemon did not close cleanly"
serve_pid=''
note "the watcher saw $(wc -l <"$work/changes.ndjson") messages; the daemon has closed"

step "8. In figures"
batches=$(json '["batches"]' <"$work/verify.json")
record=$(($(json '["bytes"]' <"$work/verify.json") / entries))
group=$((entries / batches > 0 ? entries / batches : 1))
raw=$(build/release/bench/raw_sync "$work" "$group" "$record")
awk -v e="$entries" -v n="$((entries - before))" -v c="$commands" -v s="$load" -v b="$(json '["file_bytes"]' <"$work/verify.json")" \
    -v r="$reopen" -v raw="$raw" -v g="$group" -v z="$record" -v t="$(since "$started")" 'BEGIN {
    if (s < 0.1) s = 0.1
    printf "  %-64s %12d\n", "new entries/s: over the bus, on disk, projected into SQLite", n / s
    printf "  %-64s %12d\n", "the disk alone: records/s of " z " bytes, " g " to one synced write", raw
    printf "  %-64s %12.3f\n", "  the first as a share of the second", (raw > 0 ? n / s / raw : 0)
    printf "  %-64s %12d\n", "commands answered/s, those known before the kill too", c / s
    printf "  %-64s %12d\n", "bytes of the log on disk, preallocated ones too", b
    printf "  %-64s %12.1f\n", "seconds to serve again after SIGKILL", r
    printf "  %-64s %12.1f\n", "seconds in all, without the build", t
}'
