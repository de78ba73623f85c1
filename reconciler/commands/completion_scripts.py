"""The completion script of each shell: constant text."""

from __future__ import annotations

from typing import Final

BASH: Final = r"""# reconcile: completion for bash. In ~/.bashrc: eval "$(reconcile completion bash)"
_reconcile() {
  local line=${COMP_LINE:0:COMP_POINT} word description
  local current=${line##*[[:space:]]}
  # bash replaces only what follows the last of these characters.
  local kept=${current%"${current##*[$COMP_WORDBREAKS]}"}
  COMPREPLY=()
  while IFS=$'\t' read -r word description; do
    if [ "$word" = :files ]; then
      compopt -o default
      return
    fi
    COMPREPLY+=("${word#"$kept"}")
  done < <(command reconcile completion --line "$line" 2>/dev/null)
}
complete -F _reconcile reconcile
"""

ZSH: Final = r"""#compdef reconcile
# reconcile: completion for zsh. In ~/.zshrc, after compinit: eval "$(reconcile completion zsh)"
_reconcile() {
  local word description
  local -a found
  while IFS=$'\t' read -r word description; do
    if [[ $word == :files ]]; then
      _files
      return
    fi
    found+=("${word//:/\\:}${description:+:$description}")
  done < <(command reconcile completion --line "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)
  (( $#found )) && _describe reconcile found
}
if [ "$funcstack[1]" = _reconcile ]; then
  _reconcile "$@"
else
  compdef _reconcile reconcile
fi
"""

FISH: Final = r"""# reconcile: completion for fish. Save it as ~/.config/fish/completions/reconcile.fish
function __reconcile_complete
    set -l found (command reconcile completion --line (commandline -cp | string collect) 2>/dev/null)
    if test "$found[1]" = :files
        __fish_complete_path (commandline -ct)
    else if set -q found[1]
        printf '%s\n' $found
    end
end
complete -c reconcile -f -a '(__reconcile_complete)'
"""

SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH}
