# SPDX-License-Identifier: Apache-2.0
# bash completion for chasqui; bash-completion finds it as .../bash-completion/completions/chasqui
_chasqui() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' word
    local commands='init id add send listen call contacts history wallet pay help'
    local everywhere='--profile --passphrase-file --json --help'
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        if [[ " $commands " == *" $word "* ]]; then command=$word; break; fi
    done
    case $before in
        --profile) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
        --passphrase-file | --play | --record) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    esac
    if [[ $current == -* || ( -n $command && $command == init ) ]]; then
        case $command in
            init) everywhere+=' --invite --handle --words-file --keyring --wait=' ;;
            add | send | wallet | pay) everywhere+=' --wait=' ;;
            history) everywhere+=' --last' ;;
            listen) everywhere+=' --answer --play --record --microphone --speaker --no-sound --seconds --relay-only' ;;
            call) everywhere+=' --play --record --microphone --speaker --no-sound --seconds --relay-only --wait=' ;;
        esac
        mapfile -t COMPREPLY < <(compgen -W "$everywhere" -- "$current")
    elif [[ -z $command ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
    elif [[ $command == help ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands exit-codes" -- "$current")
    fi
}
complete -F _chasqui chasqui
