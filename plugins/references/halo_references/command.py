"""`halo reference build|list|remove|export|import`. What is heavy is imported by the verbs that need it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from halo.cli.arguments import no_words, one_word, split
from halo.plugin import Place, SettingsError
from halo_references.store import NAME, about, files, folder_of

HELP = """halo reference build OBJECTIVE [--settings FILE] [--SETTING VALUE ...]
halo reference list [--folder PATH] [--json]
halo reference remove FINGERPRINT|all [--folder PATH]
halo reference export OBJECTIVE OUT.jsonl --data FILE [--SETTING VALUE ...]
halo reference import OBJECTIVE --data FILE [--SETTING VALUE ...]

The log-probs that `--reference cached` keeps, one file for each pair of weights and numerics (type, autocast, attention, device).
  build    scores every row that such a run would read, training and evaluation, and trains nothing; goes on where it was stopped
  list     what is kept: model, fingerprint of its weights, numerics, rows, size, when it was last used
  remove   removes what is kept for the weights whose fingerprint begins so, or everything
  export   writes the data's rows with columns of log-probs (ref_chosen_logps, ...), one number for each scored token
  import   takes such columns into the cache, so that a run needs no reference model
OBJECTIVE and settings are those of `halo train`; --reference cached:folder=PATH says where, if not in HALO_CACHE.
"""


def run(words: list[str]) -> int:
    """Runs a verb; returns its exit code. Raises HaloError."""
    if not words or {"-h", "--help"} & set(words):
        print(HELP, end="")
        return 0
    verb, rest = words[0], words[1:]
    if verb == "list":
        _list(rest)
    elif verb == "remove":
        _remove(rest)
    elif verb == "build":
        from halo_references.filling import build

        build(rest)
    elif verb in ("export", "import"):
        from halo_references import columns

        {"export": columns.export, "import": columns.take}[verb](rest)
    else:
        raise SettingsError("wrong-value", f"halo reference does not know {verb!r}", hint="build, list, remove, export or import")
    return 0


def _list(words: list[str]) -> None:
    given = split(words, ("folder", "json"), is_bare=lambda name: name == "json")
    no_words(given.words, "halo reference list")
    folder = folder_of(given.flags.get("--folder") or "")
    found = []
    for file in files(folder):
        stat = file.stat()
        used = datetime.fromtimestamp(stat.st_mtime).astimezone().isoformat(timespec="seconds")
        found.append(asdict(about(file)) | {"path": str(file), "bytes": stat.st_size, "used": used})
    if "--json" in given.flags:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for kept in found:
        used = kept["used"][:16].replace("T", " ")
        size = f"{kept['rows']:>9,} rows  {kept['bytes'] / 1e6:>8,.1f} MB"
        print(f"{kept['fingerprint'][:12]}  {size}  {used}  {kept['numerics']:<24}  {kept['model']}")
    print(f"{len(found)} files in {folder}")


def _remove(words: list[str]) -> None:
    given = split(words, ("folder",))
    wanted = one_word(given.words, "fingerprint, or all")
    folder = folder_of(given.flags.get("--folder") or "")
    known = {file: NAME.fullmatch(file.name)[1] for file in files(folder)}  # type: ignore[index]
    chosen = [file for file, fingerprint in known.items() if wanted == "all" or (wanted and fingerprint.startswith(wanted[:32]))]
    beginnings = ", ".join(sorted({fingerprint[:12] for fingerprint in known.values()})) or "none"
    if not chosen and wanted != "all":
        raise SettingsError("not-found", f"nothing is kept for weights {wanted}", place=Place(str(folder)), hint=f"known: {beginnings}")
    if wanted != "all" and len({known[file] for file in chosen}) > 1:
        message = f"several fingerprints begin with {wanted}"
        raise SettingsError("wrong-value", message, place=Place(str(folder)), hint=f"known: {beginnings}")
    for file in chosen:
        file.unlink(missing_ok=True)
        Path(f"{file}-journal").unlink(missing_ok=True)
    print(f"{len(chosen)} files removed from {folder}")
