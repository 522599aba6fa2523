# The jobs example, played by script/run.
# shellcheck shell=bash disable=SC2154
ask() { "$daybook" query "$url" "$@" | columns; }
id() { printf '0192f0c1-7e2a-7000-8000-%012x' "$1"; }
jobs_count=${1:-200} workers=4

step "1. A store from a folder of text, and its daemon"
show "init jobs.daybook --app examples/jobs/app"
"$daybook" init "$store" --app examples/jobs/app | indent
show "serve jobs.daybook"
serve 1
url=$(json '["commands"]' <"$store/run.json")

step "2. $jobs_count jobs, each sent twice"
for i in $(seq "$jobs_count"); do
    printf '{"id":"add-%d","do":"job.add","args":{"id":"%s","url":"https://example.org/%d","priority":%d}}\n' "$i" "$(id "$i")" "$i" $((i % 5))
done >"$work/add.ndjson"
cat "$work/add.ndjson" "$work/add.ndjson" | "$daybook" send "$url" --quiet 2>&1 | indent

step "3. $workers workers claim them at the same time"
claimers=''
for worker in $(seq "$workers"); do
    for i in $(seq $((jobs_count / workers))); do
        printf '{"id":"claim-%d-%d","do":"job.claim","args":{"worker":"downloader-%d"}}\n' "$worker" "$i" "$worker"
    done | "$daybook" send "$url" >"$work/claims.$worker" &
    claimers="$claimers $!"
done
# shellcheck disable=SC2086
wait $claimers || die "a claim was refused"
claimed=$(cat "$work"/claims.* | python3 -c 'import json,sys; print(*[json.loads(l)["result"][0]["id"] for l in sys.stdin], sep="\n")' | sort)
note "$(wc -l <<<"$claimed") claims, $(uniq <<<"$claimed" | wc -l) different jobs"
[ "$(uniq <<<"$claimed" | wc -l)" -eq $((jobs_count / workers * workers)) ] || die "a job was given out twice"
head -n 1 "$work/claims.1" | indent

step "4. What is not its turn is refused"
one=$(head -n 1 <<<"$claimed")
for do in "\"job.complete\",\"args\":{\"id\":\"$one\",\"video_path\":\"v.mkv\",\"size\":1}" "\"job.fail\",\"args\":{\"id\":\"$one\",\"error\":\"no route\"}" \
    "\"job.retry\",\"args\":{\"id\":\"$one\"}" "\"job.retry\",\"args\":{\"id\":\"$one\"}"; do
    number=$((${number:-0} + 1))
    note "{\"id\":\"turn-$number\",\"do\":$do}"
    printf '{"id":"turn-%d","do":%s}\n' "$number" "$do" | "$daybook" send "$url" >"$work/receipt" || true
    json '.get("message") or "position %d" % d["position"]' <"$work/receipt" | sed 's/^/    /'
done

step "5. Where they are, and what became of one"
show "query jobs.daybook --name counts"
ask --name counts
show "history jobs.daybook jobs $one"
"$daybook" history "$url" jobs "$one" --limit 3 2>&1 | indent

step "6. Proof: all rows again, from nothing but the log"
live=$("$daybook" fingerprint "$url" --json | json '["fingerprint"]')
rebuilt=$("$daybook" rebuild "$url" --json | json '["fingerprint"]')
note "before   $live"
note "rebuilt  $rebuilt"
[ "$live" = "$rebuilt" ] || die "the fingerprints differ"
kill -TERM "$serve_pid" && wait "$serve_pid" || die "the daemon did not close cleanly"
serve_pid=''
note "$(since "$started") s in all"
