"""What this package supplies. halo imports this module and calls what is marked; torch is not imported here."""

from __future__ import annotations

from halo.plugin import PAIRED, DataFormat, hookimpl
from my_format.reading import COLUMNS, read


@hookimpl
def halo_data_formats() -> list[DataFormat]:
    return [DataFormat("my-format", PAIRED, COLUMNS, read)]
