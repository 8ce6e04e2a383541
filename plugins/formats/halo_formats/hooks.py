"""What this package supplies: the formats of `README.md`'s table."""

from __future__ import annotations

from halo.plugin import DataFormat, hookimpl
from halo_formats import alpaca, compared, openai, ranked, sharegpt, trl


@hookimpl
def halo_data_formats() -> list[DataFormat]:
    return [form for module in (trl, openai, sharegpt, alpaca, ranked, compared) for form in module.FORMATS]
