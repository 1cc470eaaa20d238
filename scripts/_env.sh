# Shared by the verbs in this folder: makes `.venv` hold what the caller needs, and only when it does
# not yet. Sourced, never run. Kept to bash 3.2, which is what macOS ships.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
LOG=$ROOT/.venv-install.log
STARTED=$(date +%s)

die() {
  printf 'error: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 1
}

# The first Python >= 3.11; EDGE_LLM_PYTHON overrides the search.
find_python() {
  local candidate
  for candidate in ${EDGE_LLM_PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s' "$candidate"
      return
    fi
  done
  die "edge-llm needs Python 3.11 or newer, and none was found" \
    "Debian, Ubuntu, Raspberry Pi OS: sudo apt install python3 python3-venv" \
    "macOS: brew install python, or set EDGE_LLM_PYTHON to the one to use"
}

require_compiler() {
  command -v c++ >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 \
    || command -v clang++ >/dev/null 2>&1 || [ -n "${CXX:-}" ] \
    || die "llama.cpp is compiled on this machine, and no C++ compiler was found" \
      "Debian, Ubuntu, Raspberry Pi OS: sudo apt install g++" \
      "macOS: xcode-select --install"
}

# What an install depends on: this file's caller needs a new one exactly when the sum changes.
wanted_stamp() { # extras
  printf '%s %s %s' "$1" "$(cksum <"$ROOT/pyproject.toml")" "$ROOT"
}

# Prints one line that is rewritten while pip works: elapsed time and the compiler's own count.
show_progress() { # pid
  local done_of elapsed last=0
  while kill -0 "$1" 2>/dev/null; do
    elapsed=$(($(date +%s) - STARTED))
    done_of=$(grep -aoE '^ *\[[0-9]+/[0-9]+\]' "$LOG" 2>/dev/null | tail -n 1 | tr -d ' ')
    if [ -t 2 ]; then
      printf '\r\033[K%s %dm%02ds %s' "$2" $((elapsed / 60)) $((elapsed % 60)) \
        "${done_of:+compiling llama.cpp $done_of}" >&2
    elif [ $((elapsed - last)) -ge 30 ]; then
      last=$elapsed
      printf '%s %dm%02ds %s\n' "$2" $((elapsed / 60)) $((elapsed % 60)) "$done_of" >&2
    fi
    sleep 1
  done
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

pip_install() { # extras
  printf 'Setting up %s with [%s]%s\n' "${VENV#"$ROOT"/}" "$1" \
    "${COMPILES:+; llama.cpp is compiled on the way, once, which takes minutes}" >&2
  # -v is where the compiler's progress shows; the log keeps all of it for a bad day.
  "$VENV/bin/python" -m pip install -v --disable-pip-version-check -e "$ROOT[$1]" >"$LOG" 2>&1 &
  local pid=$!
  show_progress "$pid" 'installing'
  if ! wait "$pid"; then
    tail -n 25 "$LOG" >&2
    die "the installation failed; the whole log is in $LOG" \
      "run the same command again to go on from there"
  fi
}

# One installer at a time; a lock whose owner is gone is taken over.
lock_environment() {
  local owner
  until (set -o noclobber && echo $$ >"$ROOT/.venv.lock") 2>/dev/null; do
    owner=$(cat "$ROOT/.venv.lock" 2>/dev/null)
    if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
      rm -f "$ROOT/.venv.lock"
    else
      sleep 1
    fi
  done
  trap 'rm -f "$ROOT/.venv.lock"' EXIT
}

# ensure_environment EXTRAS [ALSO_GOOD...]: a stamp left by any of the named sets of extras will do.
ensure_environment() {
  local extras=$1 set
  for set in "$@"; do
    if [ "$(cat "$VENV/.stamp-$set" 2>/dev/null)" = "$(wanted_stamp "$set")" ]; then return; fi
  done
  lock_environment
  if ! "$VENV/bin/python" -c '' 2>/dev/null; then
    local python
    python=$(find_python)
    rm -rf "$VENV"
    "$python" -m venv "$VENV" >"$LOG" 2>&1 \
      || die "could not make a virtual environment; see $LOG" \
        "Debian, Ubuntu, Raspberry Pi OS: sudo apt install python3-venv"
  fi
  COMPILES=
  if ! "$VENV/bin/python" -c 'import llama_cpp' 2>/dev/null; then
    require_compiler
    COMPILES=yes
  fi
  pip_install "$extras"
  wanted_stamp "$extras" >"$VENV/.stamp-$extras"
  rm -f "$ROOT/.venv.lock"
  trap - EXIT
}
