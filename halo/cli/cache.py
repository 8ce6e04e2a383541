"""`halo cache`: what is kept so as not to be computed again, and how to be rid of it."""

from __future__ import annotations

import json
import time
from typing import Any

from halo.cache import LIMITED, ROOMS, Entry, cache_folder, entries, limit, prune
from halo.cli.arguments import split
from halo.errors import Place, SettingsError, nearest

HELP = """halo cache list [--json]
halo cache prune [--unused-for DAYS] [--room ROOM]

What halo keeps so as not to compute it again, by kind, and how to be rid of it. It lies in HALO_CACHE, or in ~/.cache/halo. Checks and
hashes of files are kept below HALO_CACHE_LIMIT (MiB, 256 by default); the other kinds grow until you prune them.
--unused-for removes what nobody used for so many days (default 0: all).
--room removes of one kind only; left out: of checks and weights, which are computed again in seconds.
"""


def run(arguments: list[str]) -> int:
    """Lists, or removes."""
    given = split(arguments, {"json", "unused_for", "room"}, lambda name: name == "json")
    if given.help:
        print(HELP, end="")
        return 0
    if given.words == ["list"]:
        return _list(as_json="--json" in given.flags)
    if given.words == ["prune"]:
        return _prune(given.flags.get("--unused-for"), given.flags.get("--room"))
    said = " ".join(given.words) or "nothing"
    raise SettingsError("wrong-value", f"expected list or prune, found {said}", hint="halo cache --help says more")


def _list(as_json: bool) -> int:
    rows = [_row(room, [entry for entry in entries() if entry.room == room]) for room in ROOMS]
    if as_json:
        print(json.dumps({"folder": str(cache_folder("")), "limit": limit(), "rooms": rows}, indent=1))
        return 0
    print(f"{cache_folder('')}, checks and weights together at most {limit() >> 20:,} MiB")
    for row in rows:
        print(f"{row['room']:<10} {row['entries']:>7,} entries {row['bytes'] / 2**20:>10,.1f} MiB  {row['meaning']}")
    return 0


def _row(room: str, held: list[Entry]) -> dict[str, Any]:
    return {"room": room, "entries": len(held), "bytes": sum(entry.size for entry in held), "meaning": ROOMS[room]}


def _prune(days: str | None, room: str | None) -> int:
    rooms: tuple[str, ...] = LIMITED
    if room is not None:
        if room not in ROOMS:
            raise SettingsError("wrong-value", f"there is no room {room!r}", place=Place("--room"), hint=nearest(room, ROOMS))
        rooms = (room,)
    gone = prune(_seconds(days or "0"), rooms)
    print(f"removed {len(gone):,} entries, {sum(entry.size for entry in gone) / 2**20:,.1f} MiB, of {' and '.join(rooms)}")
    return 0


def _seconds(days: str) -> float:
    try:
        found = float(days) * 24 * 3600
    except ValueError:
        found = -1.0
    if not 0 <= found < time.time():
        raise SettingsError("wrong-value", f"{days!r} is no number of days", place=Place("--unused-for"), hint="such as --unused-for 30")
    return found
