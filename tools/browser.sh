#!/usr/bin/env bash
# Makes sure that the browser tests have a Chromium: the system's, else one from the package manager, else Playwright's.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

python=.venv/bin/python

# A name on the PATH is not enough: on some systems `chromium` is a stub that asks for another package manager.
system_browser() {
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null && timeout 30 "$name" --version >/dev/null 2>&1; then return 0; fi
  done
  return 1
}

playwright_browser() {
  timeout 60 "$python" - >/dev/null 2>&1 <<'PY'
from playwright.sync_api import sync_playwright

with sync_playwright() as playwright:
    playwright.chromium.launch().close()
PY
}

install_with_apt() {
  command -v apt-get >/dev/null || return 1
  local as_root=()
  if [[ $(id -u) -ne 0 ]]; then
    sudo -n true >/dev/null 2>&1 || return 1
    as_root=(sudo -n)
  fi
  echo "browser: installing chromium with apt-get"
  "${as_root[@]}" apt-get update -qq >/dev/null 2>&1 || return 1
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null 2>&1
}

install_with_playwright() {
  echo "browser: downloading Chromium with Playwright"
  "$python" -m playwright install chromium >/dev/null 2>&1
}

system_browser && exit 0
playwright_browser && exit 0
install_with_apt && system_browser && exit 0
install_with_playwright && playwright_browser && exit 0
echo "browser: no Chromium on the PATH, and neither apt-get nor 'playwright install chromium' could install one;" \
  "install the package chromium and run 'make test' again" >&2
exit 1
