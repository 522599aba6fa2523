"""docs/performance.md from what script/performance kept: rows of the harness, figures of script/bench."""
import json
import os
import platform
import re
import statistics
import subprocess
import time

SURVIVES = {"P": "power loss", "p": "process death", "-": "nothing"}
PEERS = {"raw": "raw file", "sqlite": "SQLite", "lmdb": "LMDB", "rocksdb": "RocksDB", "redis": "Redis", "nats": "NATS JetStream",
         "node": "Node", "daybook-store": "**Daybook**", "daybook-callback": "**Daybook**", "daybook-arrays": "**Daybook**",
         "daybook-log": "**Daybook, log alone**"}
# How Daybook did a work; the harness has one word for all that is added to it.
DOES = {("A", "store"): "dbk_do", ("B", "store"): "dbk_do, 64 threads", ("C", "store"): "dbk_do, arrays of 1,000",
        ("D", "store"): "dbk_read_log, JSON parsed", ("E", "store"): "dbk_read_log of a stream, JSON parsed",
        ("F", "store"): "dbk_open, dbk_read_log_range", ("B", "callback"): "dbk_send, 64 in flight",
        ("B", "arrays"): "dbk_do, arrays of 64", ("A", "log"): "dbk_log_append", ("B", "log"): "dbk_log_append, 64 threads in groups",
        ("C", "log"): "dbk_log_append of 1,000", ("D", "log"): "cursor", ("E", "log"): "selection by stream", ("F", "log"): "dbk_log_open, dbk_log_read"}
TITLES = {"A": "A. One writer, one event per acknowledgement", "B": "B. 64 events in flight", "C": "C. Bulk load, and G. bytes on disk",
          "G": "G. Bytes on disk after compaction", "D": "D. Replay of all events, from page cache", "E": "E. One stream of 100 events",
          "F": "F. Open and read the last event, warm", "Fcold": "F. The same, the files out of page cache"}
LATENCY = [("p50 us", "p50_us"), ("p99 us", "p99_us")]
COLUMNS = {"A": [("events/s", "ev_s"), *LATENCY, ("CPU us/event", "cpu_us")], "B": [("events/s", "ev_s"), ("CPU us/event", "cpu_us")],
           "C": [("events/s", "ev_s"), ("MB/s", "mb_s"), ("CPU us/event", "cpu_us"), ("bytes/event on disk", "disk_b_ev")],
           "G": [("bytes/event on disk", "disk_b_ev")], "D": [("events/s", "ev_s"), ("MB/s", "mb_s"), ("CPU us/event", "cpu_us")],
           "E": [("reads/s", "reads_s"), *LATENCY], "F": [("ms", "open_ms")], "Fcold": [("ms", "open_ms")]}
LOWER = {"open_ms", "disk_b_ev"}
NOISE = 1.1  # times; by what two runs of one program differ easily


def threads(row):
    return "threads" in row["label"] or "connections" in row["label"]


def acknowledged(row):
    return row["durable"] == "P"


def everyone(row):
    return row.get("durable") != "-"


# What is compared: name, work, measure, which rows of the others and the raw limits are its equals.
COMPARED = [("A: one writer, one event per acknowledgement", "A", "ev_s", acknowledged),
            ("B: one writer, 64 in flight", "B", "ev_s", lambda row: acknowledged(row) and not threads(row)),
            ("B: 64 blocked threads", "B", "ev_s", lambda row: acknowledged(row) and threads(row)),
            ("C: bulk load, each 1,000 on disk when acknowledged", "C", "ev_s", lambda row: acknowledged(row) or row["peer"] == "raw"),
            ("C: bulk load, beside those that sync once, at the end", "C", "ev_s", everyone),
            ("G: bytes on disk per event of 256", "C", "disk_b_ev", everyone),
            ("D: replay", "D", "ev_s", everyone), ("E: one stream of 100 events", "E", "reads_s", everyone),
            ("F: open, warm", "F", "open_ms", everyone), ("F: open, cold", "Fcold", "open_ms", everyone)]
# Why it costs what it costs, said where Daybook is behind.
WHY = {"A": "A command is JSON, checked, known by its id and projected into SQLite in one transaction before it is acknowledged; the log alone has none of this.",
       "B": "The others take bytes; a command of Daybook is parsed, looked up by its id and answered with a receipt.",
       "C": "The others take bytes and sync once at the end; Daybook parses commands, looks each id up, hashes each entry, and syncs each 1,000.",
       "G": "Beside the events lie indexes of streams and of command ids; the newest segments are not compressed yet, and the next one is made beforehand.",
       "D": "An event comes as a CloudEvent in JSON, which the reader parses; the log's own cursor gives bytes.",
       "E": "The events of a stream lie where they were written, all over the log: one read of the file and one small cell decompressed for each; what is not packed yet is checked by the whole batch that it came in, once, and read in parts of 4 KiB from then on.",
       "F": "Opening takes the write lock, looks at the log's end, at the model, and starts the store's threads, which pack meanwhile what was not.",
       "Fcold": "Opening reads daybook.json, the log's end with its indexes, and the model."}


# ---- where and what

def words(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def field(path, name):
    try:
        found = re.search(rf"^{name}\s*[:=]\s*(.*)$", open(path).read(), re.M)
    except OSError:
        found = None
    return found.group(1).strip().strip('"') if found else "unknown"


def machine(folder):
    disk = words("findmnt", "-no", "SOURCE,FSTYPE,OPTIONS", "-T", str(folder)).split(None, 2) or ["unknown"]
    model = words("lsblk", "-dno", "MODEL", disk[0])
    return {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "kernel": f"{platform.system()} {platform.release()}",
            "system": field("/etc/os-release", "PRETTY_NAME"), "cpu": field("/proc/cpuinfo", "model name"), "cores": os.cpu_count(),
            "memory": f"{int(field('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB", "disk": " ".join(disk) + (f" ({model})" if model else ""),
            "load": round(os.getloadavg()[0], 1), "commit": words("git", "-C", str(folder), "rev-parse", "--short", "HEAD")}


def versions(folder, with_node):
    found = {name: words("pkg-config", "--modversion", package) for name, package in
             (("SQLite", "sqlite3"), ("LMDB", "lmdb"), ("RocksDB", "rocksdb"), ("hiredis", "hiredis"), ("nats.c", "libnats"))}
    found["Redis"] = "".join(re.findall(r"v=(\S+)", words("redis-server", "--version")))
    found["nats-server"] = "".join(re.findall(r"[0-9.]+\d", words("nats-server", "--version"))[:1])
    for name in ("better-sqlite3", "electron-store", "@event-driven-io/emmett-sqlite") if with_node else ():
        path = folder / "peers-node/node_modules" / name / "package.json"
        found[name.split("/")[-1]] = json.loads(path.read_text())["version"] if path.exists() else ""
    if with_node:
        found["Node"] = words("node", "--version").lstrip("v")
    return {name: version or "unknown" for name, version in found.items()}


# ---- rows to numbers

def prepared(rows):
    """Medians, one row for each work, peer and configuration, with Daybook's own words."""
    groups = {}
    for row in rows:
        groups.setdefault((row["w"], row["peer"], row["label"]), []).append(row)
    out = []
    for (work, peer, label), same in groups.items():
        row = {"w": work, "peer": peer, "label": label, "durable": same[0].get("durable", ""), "runs": len(same)}
        for key in {key for one in same for key in one}:
            values = [one[key] for one in same if isinstance(one.get(key), (int, float))]
            if values and key not in row:
                row[key] = statistics.median(values)
        if peer.startswith("daybook-"):
            row["label"] = DOES.get((work.removesuffix("cold"), peer[len("daybook-"):]), label)
            row["durable"] = "P"
        if work == "G":
            row["label"] = "ended segments packed" if peer.startswith("daybook-") else "log rewritten"
        out.append(row)
    return out


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(head, rows):
    """Lines of a table of Markdown; the cells are text."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return ["| " + " | ".join(head) + " |", "|" + "---|" * 2 + "---:|" * (len(head) - 2), *("| " + " | ".join(row) + " |" for row in cells), ""]


def work_table(work, rows):
    columns = COLUMNS[work]
    kept = [row for row in rows if row["w"] == work]
    if not kept:
        return []
    measure = columns[0][1]
    with_ack = work in "ABC"
    rank = "Pp-"
    kept.sort(key=lambda row: (rank.find(row["durable"]) if with_ack else 0, row[measure] if measure in LOWER else -row[measure]))
    head = ["", "configuration", *(["an acknowledgement survives"] if with_ack else []), *(title for title, _ in columns)]
    lines = [[PEERS.get(row["peer"], row["peer"]), row["label"], *([SURVIVES.get(row["durable"], "")] if with_ack else []),
              *(number(row[key]) if key in row else "" for _, key in columns)] for row in kept]
    return [f"### {TITLES[work]}", "", *table(head, lines)]


# ---- who is ahead

def best(rows, measure):
    rows = [row for row in rows if measure in row]
    pick = min if measure in LOWER else max
    return pick(rows, key=lambda row: row[measure], default=None)


def times(ours, other, measure):
    """How much better ours is: 2 is twice as good, whichever way the measure goes."""
    return other[measure] / ours[measure] if measure in LOWER else ours[measure] / other[measure]


def compare(rows):
    out = []
    for name, work, measure, equal in COMPARED:
        of_work = [row for row in rows if row["w"] == work]
        mine = [row for row in of_work if row["peer"].startswith("daybook-") and (work != "B" or equal(row))]
        others = [row for row in of_work if row not in mine and not row["peer"].startswith(("daybook-", "raw")) and equal(row)]
        out.append({"name": name, "work": work, "measure": measure, "other": best(others, measure),
                    "store": best([row for row in mine if row["peer"] != "daybook-log"], measure),
                    "log": best([row for row in mine if row["peer"] == "daybook-log"], measure),
                    "raw": best([row for row in of_work if row["peer"] == "raw" and equal(row)], measure)})
    return [one for one in out if one["store"] and one["other"]]


def told(row):
    return f"{PEERS.get(row['peer'], row['peer'])}, {row['label']}"


def summary(compared):
    lines = []
    for one in compared:
        measure = one["measure"]
        beside = lambda row, other: f"{number(times(row, other, measure))}x" if row and other else ""
        unit = {"ev_s": "events/s", "reads_s": "reads/s", "open_ms": "ms", "disk_b_ev": "bytes"}[measure]
        lines.append([one["name"], told(one["other"]), f"{number(one['other'][measure])} {unit}", f"{number(one['store'][measure])} {unit}",
                      beside(one["store"], one["other"]), beside(one["log"], one["other"]), beside(one["log"], one["raw"])])
    return table(["work", "the best other of equal durability", "it", "Daybook", "Daybook / it", "log alone / it", "log alone / raw file"], lines)


def behind(compared):
    lines = []
    for one in compared:
        ratio = times(one["store"], one["other"], one["measure"])
        if ratio >= 1:
            continue
        text = f"- **{one['name']}**: {told(one['other'])}, is {number(1 / ratio)} times better"
        text += " (two runs differ by as much)." if ratio > 1 / NOISE else "."
        if one["log"]:
            log = times(one["log"], one["other"], one["measure"])
            text += f" The log alone is {'ahead by ' + number(log) if log >= 1 else 'behind by ' + number(1 / log)}."
        reason = WHY.get("G" if one["measure"] == "disk_b_ev" else one["work"], "")
        lines.append(f"{text} {reason}".rstrip())
    return lines or ["Nowhere, in this run."]


# ---- the parts

def figures_of(text):
    """The lines of script/bench: name, goal, reached, whether it was met, detail."""
    found = re.findall(r"^(\S.*?) +(>=|<=) (\S+) +(\S+) +(met|MISSED) *(.*)$", text, re.M)
    return [{"name": name, "goal": f"{sign} {goal}", "reached": reached, "met": met == "met", "detail": detail.strip()} for name, sign, goal, reached, met, detail in found]


def growth_of(root, printed):
    """docs/growth.md without its title, else the table that script/growth printed; with the plots that neither shows."""
    path = root / "docs/growth.md"
    text = re.sub(r"^#[^\n]*\n+", "", path.read_text(), count=1) if path.exists() else printed or ""
    plots = [plot.relative_to(root / "docs").as_posix() for plot in sorted((root / "docs").rglob("*growth*.svg"))]
    images = [f"![{plot.rsplit('/', 1)[-1].removesuffix('.svg')}]({plot})" for plot in plots if plot not in text]
    return "\n\n".join(part for part in [text.strip(), *images] if part)


def where(kept):
    m = kept["machine"]
    lines = [f"Measured {m['date']}" + (f" at commit {m['commit']}" if m["commit"] else "") + ", on:", "",
             f"- {m['cpu']}, {m['cores']} cores, {m['memory']} of memory", f"- {m['system']}, {m['kernel']}", f"- disk: {m['disk']}"]
    if m["load"] > 1:
        lines.append(f"- a busy machine: the load average was {m['load']} before it began, so the figures here are worth little")
    if kept.get("quick"):
        lines.append("- a short run (`--quick`): few events, one repetition")
    if kept.get("cut"):
        lines.append(f"- not all of the works {', '.join(kept['cut'])}: the time was over, or a program failed")
    return lines + [""]


def repetitions(rows):
    runs = {work: max((row["runs"] for row in rows if row["w"] == work), default=0) for work in "ABCDEF"}
    return "Runs of each program, the medians of which are shown: " + ", ".join(f"{work} {count}" for work, count in runs.items() if count) + "."


def peers_part(kept):
    if not kept:
        return ["No run of the others is kept: `script/performance` needs their harness in `../shared/peers`.", ""]
    rows = prepared(kept["rows"])
    compared = compare(rows)
    out = where(kept)
    out += ["The others: " + ", ".join(f"{name} {version}" for name, version in kept["versions"].items()) + ".", ""]
    out += ["All programs ran in turns in one run, each on fresh files, with the same 256-byte events. What a work wrote was read",
            "back by a new process and compared; a run that failed this has no row.", repetitions(rows), ""]
    out += ["`Daybook` is the embedding interface: JSON commands with ids, receipts, one SQLite transaction a turn (no table of an app",
            "is projected: the others keep events and an index by stream, too), CloudEvents back. `Daybook, log alone` is what lies",
            "under it: bytes in, bytes out.", "", "Above 1 Daybook is better.", "", *summary(compared)]
    out += ["## Where Daybook is behind", "", *behind(compared), "", "## All of them, work by work", ""]
    out += ["`raw file` is no store: it is what the disk and the page cache give to a program that only writes or reads.", ""]
    for work in ("A", "B", "C", "G", "D", "E", "F", "Fcold"):
        out += work_table(work, rows)
    return out


def bench_part(kept):
    if not kept:
        return ["Not measured yet (`script/performance --only bench`).", ""]
    lines = [[one["name"], one["detail"], one["goal"], one["reached"], "met" if one["met"] else "**missed**"] for one in kept["figures"]]
    missed = sum(not one["met"] for one in kept["figures"])
    return [*where(kept), f"{len(lines) - missed} of {len(lines)} met. Each is measured beside its limit in the same run (`script/bench`).", "",
            *table(["figure", "measured", "goal", "reached", ""], lines)]


PARTS = ("Beside other stores", "Figures and goals", "Growth")


def section(text, title):
    """What stands under a title of PARTS, to the next of them; "" where it is not there."""
    found = re.search(rf"^## {title}\n\n(.*?)(?=^## (?:{'|'.join(PARTS)})$|\Z)", text, re.M | re.S)
    return found.group(1).strip() if found else ""


def write(peers, bench, growth, before=""):
    """The page; a part that this checkout has not measured stays as it was `before`."""
    parts = ["\n".join(peers_part(peers)) if peers else "", "\n".join(bench_part(bench)) if bench else "", growth or ""]
    instead = ["\n".join(peers_part(None)), "\n".join(bench_part(None)), "Not measured yet (`script/growth`)."]
    out = ["# Performance", "", "<!-- made by script/performance: change that, not this -->", "",
           "Daybook beside other stores, its own figures beside their goals, and what growth changes. `script/performance`",
           "measures it and writes this page; the numbers are of the one machine named, and a disk's sync decides most of them.", ""]
    for title, part, none in zip(PARTS, parts, instead):
        out += [f"## {title}", "", part.strip() or section(before, title) or none.strip(), ""]
    return "\n".join(out).rstrip() + "\n"
