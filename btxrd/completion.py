"""Shell completion: print the code for a shell, and answer what that code asks."""

import sys

from btxrd.config import parsers
from btxrd.config.complete import FILES, FOLDERS, completions
from btxrd.errors import InputError
from btxrd.runtime.surroundings import settle_in

BASH = """\
_btxrd() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\\n'
    COMPREPLY=($("$1" completion bash "$line" 2> /dev/null))
    case "${COMPREPLY[0]}" in
        "FILES") COMPREPLY=(); compopt -o default ;;
        "FOLDERS") COMPREPLY=(); compopt -o dirnames ;;
        *)  # bash takes what follows `=` for a word of its own
            local word="${line##*[[:space:]]}"
            local before="${word%"$2"}"
            COMPREPLY=("${COMPREPLY[@]#"$before"}") ;;
    esac
}
complete -o nospace -F _btxrd btxrd
"""
ZSH = """\
_btxrd() {
    local -a found
    found=("${(@f)$("${words[1]}" completion zsh "${(j: :)words[1,CURRENT]}" 2> /dev/null)}")
    case "${found[1]}" in
        "") ;;
        "FILES") compset -P '*='; _files ;;
        "FOLDERS") _files -/ ;;
        *) compadd -Q -S '' -a found ;;
    esac
}
compdef _btxrd btxrd
"""
FISH = """\
function __btxrd_complete
    set -l word (commandline -ct)
    set -l found (btxrd completion fish (commandline -cp | string collect) 2> /dev/null)
    switch "$found[1]"
        case 'FILES'
            set -l key (string match -r '^.*=' -- $word)
            for path in (__fish_complete_path (string replace -r '^.*=' '' -- $word))
                echo $key$path
            end
        case 'FOLDERS'
            __fish_complete_directories $word
        case '*'
            string trim --right -- $found
    end
end
complete -c btxrd -f -a '(__btxrd_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def main() -> int:
    """Run the command line; return the exit status."""
    settle_in()
    parser = parsers.completion()
    if parser.answer_help(sys.argv[1:]):
        return 0
    try:
        args = parser.parse_args()
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if args.line is None:
        script = SCRIPTS[args.shell]
        print(script.replace("FILES", FILES).replace("FOLDERS", FOLDERS), end="")
    else:
        print("\n".join(completions(args.line)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
