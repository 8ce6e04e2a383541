"""Test settings that must stand before anything is imported."""

import os
import tempfile
from pathlib import Path
from uuid import uuid4

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: threads that wait for each other take minutes
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HALO_CHECK_SECONDS", "300")  # no verdict depends on how busy the machine is

session = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid4().hex
"""One for all processes of `pytest -n`: what one has examined another reads, and no test is answered by an earlier run."""
cache = Path(tempfile.gettempdir()) / f"halo-cache-{session}"
cache.mkdir(mode=0o700, exist_ok=True)
os.environ["HALO_CACHE"] = str(cache)
