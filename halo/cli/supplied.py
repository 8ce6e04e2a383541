"""The help of a flag that names something with options: everything of its kind that is installed."""

from __future__ import annotations

from halo.options import described
from halo.plugin.registry import collected


def supplied_help(kind: str, flag: str, more: str = "") -> list[str]:
    """Lines: how the flag is written, then each name with its meaning and its options."""
    lines = [f"\n--{flag} NAME or NAME:OPTION=VALUE,...{more}"]
    for item in collected(kind)[0]:
        lines.append(f"  {item.name:<20} {getattr(item.thing, 'meaning', '')}".rstrip())
        lines += [f"    {option:<18} {meaning}" for option, meaning in described(item.thing.options)]
    return lines
