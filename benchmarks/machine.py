"""On what the times were taken."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path


def machine(versions: Mapping[str, str]) -> str:
    """The machine and the programs, in a sentence each."""
    programs = ", ".join(f"{name} {version}" for name, version in versions.items())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{_processor()}, {cores} cores; {platform.system()}, Python {platform.python_version()}. "
        f"{programs}."
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
