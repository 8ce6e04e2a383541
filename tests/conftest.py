"""Test settings that must stand before anything is imported."""

import os
import tempfile
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: threads that wait for each other take minutes
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HALO_CHECK_SECONDS", "300")  # no verdict depends on how busy the machine is
if "PYTEST_XDIST_TESTRUNUID" in os.environ:  # one folder for all workers of a session: what one has examined another reads
    os.environ["HALO_CACHE"] = str(Path(tempfile.gettempdir()) / f"halo-cache-{os.environ['PYTEST_XDIST_TESTRUNUID']}")
else:
    os.environ["HALO_CACHE"] = tempfile.mkdtemp(prefix="halo-cache-")  # no test is answered by an earlier run
