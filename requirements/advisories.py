"""Compare what the locks pin with known advisories (`make scan-dependencies`), or fetch them.

python requirements/advisories.py                 exit status 1: a locked version is affected
python requirements/advisories.py --refresh       fetch advisories.json from OSV (`make advisories`)
python requirements/advisories.py --refresh ZIP   the same from a downloaded export of OSV

advisories.json has the advisories on packages of the locks, in OSV's format, and `accepted`, which
people write: id → why the advisory does not concern Slipstream. A comparison needs no network and
fails by what is locked, never by the date.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

HERE = Path(__file__).parent
NAME = "advisories.json"
SOURCE = "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"
MAX_AGE_DAYS = 60
MAX_SUMMARY = 160

Json = dict[str, Any]


class Pin(NamedTuple):
    """A version that a lock names."""

    package: str
    version: Version
    lock: str


def main(arguments: Sequence[str], folder: Path = HERE) -> int:
    """Compare or refresh; return the exit status."""
    if arguments[:1] == ["--refresh"]:
        return refresh(folder, *arguments[1:2])
    known = json.loads((folder / NAME).read_text())
    pins = read_locks(folder)
    for warning in warnings(known, pins):
        sys.stderr.write(f"warning: {NAME}: {warning}\n")
    found = list(findings(known, pins))
    sys.stderr.writelines(f"{line}\n" for line in found)
    if not found:
        number = len(known["advisories"])
        sys.stdout.write(f"{len(pins)} pins, {number} advisories: no locked version is affected\n")
    return 1 if found else 0


def read_locks(folder: Path) -> list[Pin]:
    """Return every version that the locks of a folder name."""
    pins = []
    for lock in sorted(folder.glob("*.lock")):
        for line in lock.read_text().splitlines():
            if line[:1].isalnum():
                required = Requirement(line.rstrip(" \\"))
                (pinned,) = required.specifier
                name = canonicalize_name(required.name)
                pins.append(Pin(name, Version(pinned.version), lock.name))
    return pins


def findings(known: Json, pins: Iterable[Pin]) -> Iterator[str]:
    """Yield a line for each locked version that an advisory names."""
    for pin in pins:
        for advisory in known["advisories"]:
            if advisory["id"] in known["accepted"]:
                continue
            for affected in advisory["affected"]:
                if affected["package"]["name"] == pin.package and _affects(affected, pin.version):
                    yield _describe(pin, advisory, _fixed_version(affected, pin.version))


def warnings(known: Json, pins: Iterable[Pin]) -> Iterator[str]:
    """Yield what makes a comparison incomplete."""
    again = "run `make advisories`"
    if known["retrieved"] is None:
        yield f"it was never retrieved, and has only what was entered by hand; {again}"
        return
    age = (_today() - date.fromisoformat(known["retrieved"])).days
    if age > MAX_AGE_DAYS:
        yield f"expected at most {MAX_AGE_DAYS} days since it was retrieved, got {age}; {again}"
    if unknown := sorted({pin.package for pin in pins} - set(known["packages"])):
        yield f"it was retrieved before these were locked: {', '.join(unknown)}; {again}"


def refresh(folder: Path, export: str | None = None) -> int:
    """Write advisories.json from OSV's export of PyPI; on an error leave it unchanged."""
    target = folder / NAME
    names = sorted({pin.package for pin in read_locks(folder)})
    accepted = json.loads(target.read_text())["accepted"] if target.exists() else {}
    try:
        if export:
            advisories = read_export(Path(export), names)
        else:
            with tempfile.NamedTemporaryFile(suffix=".zip") as file:
                _download(file.name)
                advisories = read_export(Path(file.name), names)
    except (httpx.HTTPError, OSError, zipfile.BadZipFile, ValueError, KeyError) as error:
        sys.stderr.write(
            f"{NAME} is unchanged: {export or SOURCE}: {type(error).__name__}: {error}. "
            "Run `make advisories` on a machine that reaches it, or download it there and run "
            "`make advisories ARGS=all.zip` here\n"
        )
        return 1
    head = {"retrieved": f"{_today()}", "source": SOURCE, "packages": names, "accepted": accepted}
    # One advisory per line, so that a refresh is readable as a diff.
    members = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    listed = ",\n".join(json.dumps(advisory) for advisory in advisories)
    target.write_text("{\n" + ",\n".join(members) + f',\n"advisories": [\n{listed}\n]\n}}\n')
    sys.stdout.write(f"{NAME}: {len(advisories)} advisories on {len(names)} packages\n")
    return 0


def read_export(export: Path, names: Iterable[str]) -> list[Json]:
    """Return the advisories on some packages, by id; of copies with other ids the first."""
    wanted = frozenset(names)
    advisories = []
    seen: set[tuple[str, str]] = set()
    with zipfile.ZipFile(export) as archive:
        for member in sorted(archive.namelist()):
            advisory = _reduced(json.loads(archive.read(member)), wanted)
            if advisory is None:
                continue
            what = json.dumps(advisory["affected"])
            ids = {(identifier, what) for identifier in (advisory["id"], *advisory["aliases"])}
            if not ids & seen:
                advisories.append(advisory)
            seen |= ids
    return advisories


def _download(target: str) -> None:
    """Write OSV's export to a file; raise httpx.HTTPError."""
    with (
        httpx.stream("GET", SOURCE, follow_redirects=True, timeout=60) as response,
        Path(target).open("wb") as file,
    ):
        response.raise_for_status()
        for piece in response.iter_bytes():
            file.write(piece)


def _reduced(record: Json, names: frozenset[str]) -> Json | None:
    """Return the part of a record that a comparison needs; None if it concerns none of `names`."""
    affected = []
    for one in record.get("affected", ()):
        package = one.get("package", {})
        name = canonicalize_name(package.get("name", ""))
        if package.get("ecosystem") == "PyPI" and name in names:
            kept: Json = {"package": {"ecosystem": "PyPI", "name": name}}
            affected.append(kept | _affected_versions(one))
    if not affected or "withdrawn" in record:
        return None
    summary = record.get("summary") or record.get("details", "").partition("\n")[0]
    return {
        "id": record["id"],
        "aliases": record.get("aliases", []),
        "summary": summary[:MAX_SUMMARY],
        "affected": affected,
    }


def _affected_versions(affected: Json) -> Json:
    """Return the ranges, or the list of versions where there are none or they are not PEP 440's."""
    ranges = [
        {"type": "ECOSYSTEM", "events": one["events"]}
        for one in affected.get("ranges", ())
        if one["type"] == "ECOSYSTEM"
    ]
    if ranges and all(_is_version(v) for r in ranges for e in r["events"] for v in e.values()):
        return {"ranges": ranges}
    return {"versions": [text for text in affected.get("versions", ()) if _is_version(text)]}


def _today() -> date:
    return datetime.now(UTC).date()


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _affects(affected: Json, version: Version) -> bool:
    """Evaluate a record's ranges and versions as OSV's schema says."""
    if any(Version(text) == version for text in affected.get("versions", ())):
        return True
    return any(_within(one["events"], version) for one in affected.get("ranges", ()))


def _within(events: Sequence[dict[str, str]], version: Version) -> bool:
    within = False
    for event in sorted(events, key=lambda event: Version(next(iter(event.values())))):
        ((kind, text),) = event.items()
        at = Version(text)
        if kind == "introduced" and at <= version:
            within = True
        elif (kind == "fixed" and at <= version) or (kind == "last_affected" and at < version):
            within = False
    return within


def _fixed_version(affected: Json, version: Version) -> Version | None:
    """Return the first version after `version` that fixes it."""
    fixed = (
        Version(event["fixed"])
        for one in affected.get("ranges", ())
        for event in one["events"]
        if "fixed" in event
    )
    return min((one for one in fixed if one > version), default=None)


def _describe(pin: Pin, advisory: Json, fixed: Version | None) -> str:
    name = ", ".join([advisory["id"], *advisory["aliases"]])
    if fixed:
        remedy = f'run `make lock ARGS="--upgrade-package {pin.package}"`'
    else:
        remedy = f"replace {pin.package}, or write under `accepted` in {NAME} why it is harmless"
    return (
        f"{pin.lock}: {pin.package}: expected {f'{fixed} or newer' if fixed else 'another package'}"
        f", got {pin.version}, which {name} affects ({advisory['summary']}); {remedy}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
