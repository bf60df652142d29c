#!/usr/bin/env bash
# Fills .venv from the locks. Called by the Makefile only when a stamp is missing or older than its sources.
#   tools/install.sh run    what `make up` needs
#   tools/install.sh test   what `make test` and `make check` need on top
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
python="$venv/bin/python"
say() { printf '%s\n' "install: $*"; }
fail() { printf '%s\n' "install: $*" >&2; exit 1; }

suitable_python() {
  local name
  for name in ${PYTHON:-} python3 python3.11 python3.12 python3.13 python; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  fail "Python 3.11 or newer is needed; put one on the PATH or name it: make install PYTHON=/path/to/python3"
}

create_venv() {
  if [[ -x $python ]] && "$python" -c '' 2>/dev/null; then return; fi
  local base
  base=$(suitable_python)
  say "creating $venv with $("$base" --version)"
  if command -v uv >/dev/null; then
    uv venv --quiet --clear --python "$base" "$venv"
  else
    "$base" -m venv --clear "$venv" ||
      fail "python -m venv failed; on Debian and Ubuntu the package python3-venv is missing"
  fi
}

# Hashes are required for everything that is downloaded; the project itself is built with the locked setuptools.
if command -v uv >/dev/null; then
  pip_install() { uv pip install --quiet --python "$python" "$@"; }
else
  pip_install() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }
fi

case "${1:-run}" in
  run)
    create_venv
    say "installing the locked dependencies"
    pip_install --require-hashes -r requirements.lock
    pip_install --no-deps --no-build-isolation --editable .
    say "fetching the browser libraries"
    "$python" tools/vendor.py
    touch "$venv/.installed"
    ;;
  test)
    say "installing the locked test dependencies"
    pip_install --require-hashes -r requirements-test.lock
    touch "$venv/.installed-test"
    ;;
  *) fail "unknown set '$1': run or test" ;;
esac
