# bash completion of culprit: commands, options from each program's own table,
# their choices, file names.

_culprit_commands() {
    local folder
    folder=$("$1" --exec-path 2>/dev/null) || return
    (cd "$folder" && printf '%s\n' *)
    printf '%s\n' run help
}

_culprit() {
    local program=$1 word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command= i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -*) ;;
        *)
            command=${COMP_WORDS[i]}
            break
            ;;
        esac
    done
    if [ "$command" = help ] || { [ -z "$command" ] && [[ $word != -* ]]; }; then
        # help knows the pages of formats too
        mapfile -t COMPREPLY < <(compgen -W "$(_culprit_commands "$program") ${command:+rules baseline flowrec}" -- "$word")
        return
    fi
    # A line an option: name, letter, argument, choices, default.
    local name letter argument choices
    local options=() table
    table=$("$program" ${command:+"$command"} --list-options 2>/dev/null | tr '\t' '\037')
    while IFS=$'\037' read -r name letter argument choices _; do
        [ -n "$name" ] || continue
        options+=("--$name" ${letter:+"-$letter"})
        if [ "$before" = "--$name" ] || { [ -n "$letter" ] && [ "$before" = "-$letter" ]; }; then
            if [ -n "$choices" ]; then
                mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
                return
            elif [ -n "$argument" ]; then
                mapfile -t COMPREPLY < <(compgen -f -- "$word")
                return
            fi
        fi
    done <<<"$table"
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "${options[*]}" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}

complete -o filenames -F _culprit culprit
