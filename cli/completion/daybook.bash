# bash completion of daybook: commands, options, stores, files.
_daybook() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]:-} options
    local commands="init check upgrade serve send query log history explain diff undo set get unset reset watch inbox model replay rebuild fingerprint verify salvage stats doctor types import bench help version"
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$word")
        return
    fi
    case $before in
        --depth) mapfile -t COMPREPLY < <(compgen -W "checksums proof" -- "$word"); return ;;
        --app | --into | --repair-from | --key-file | --signed-head | --public-key) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    esac
    case $command in
        help) options="--help" ;;
        version) options="--json --help" ;;
        init) options="--app --force-fs --force-location --json --help" ;;
        check) options="--json --help" ;;
        upgrade) options="--app --dry-run --accept --json --help" ;;
        serve) options="--listen --web --scrub --force-fs --force-location --json --help" ;;
        send) options="--quiet --json --help" ;;
        query) options="--name --at --order-time --model --explain --json --csv --help" ;;
        log) options="--from --to --stream --type --since --reverse --follow --json --into --sign --key-file --at --signed-head --with-entry --public-key --help" ;;
        set) options="--json --help" ;;
        get) options="--json --help" ;;
        unset) options="--json --help" ;;
        reset) options="--json --help" ;;
        history) options="--limit --json --help" ;;
        explain) options="--json --help" ;;
        diff) options="--from --to --table --limit --json --help" ;;
        undo) options="--correlation --json --help" ;;
        watch) options="--table --from --wait --json --help" ;;
        inbox) options="--all --json --help" ;;
        model) options="--json --help" ;;
        replay) options="--to --order-time --model --into --json --help" ;;
        rebuild) options="--index --json --help" ;;
        fingerprint) options="--at --order-time --model --recount --json --help" ;;
        verify) options="--depth --repair-from --json --help" ;;
        salvage) options="--into --app --force-fs --json --help" ;;
        stats) options="--json --help" ;;
        doctor) options="--json --help" ;;
        types) options="--help" ;;
        import) options="--sqlite --into --app-only --force-fs --force-location --json --help" ;;
        bench) options="--json --help" ;;
        *) return ;;
    esac
    case $word in
        -*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word") ;;
        *)
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            [ "$command" != help ] || mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
            [ "$command" != inbox ] || mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "apply dismiss" -- "$word")
            [ "$command" != model ] || mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "list retry skip unskip pause resume" -- "$word") ;;
    esac
}
complete -o filenames -F _daybook daybook
