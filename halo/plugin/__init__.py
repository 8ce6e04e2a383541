"""Everything a plugin author imports."""

from halo.backends.interface import Backend, BackendContext
from halo.data.examples import Example, Message, Text
from halo.data.interface import DataFormat
from halo.errors import DataError, HaloError, Place, SettingsError
from halo.plugin.spec import hookimpl
from halo.reference.interface import FollowingReference, FullReference, Reference, ReferenceContext, ReferenceStrategy

__all__ = [
    "Backend",
    "BackendContext",
    "DataError",
    "DataFormat",
    "Example",
    "FollowingReference",
    "FullReference",
    "HaloError",
    "Message",
    "Place",
    "Reference",
    "ReferenceContext",
    "ReferenceStrategy",
    "SettingsError",
    "Text",
    "hookimpl",
]
