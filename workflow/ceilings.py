"""Measures what the machine itself can do (workflow.harness.ceilings), before any point is measured on it.

python -m workflow.ceilings --kind cuda|cpu --output ceilings.json [--kernels DIR] [--device SLUG]
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from analysis.table.files import write_json
from workflow.harness.ceilings import document
from workflow.machine.devices import find_gpus, use
from workflow.machine.lease import lease

_TIME_LIMIT_SECONDS = 120


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.ceilings", description=__doc__.splitlines()[0])
    parser.add_argument("--kind", required=True, choices=("cuda", "cpu"), help="the kind of device")
    parser.add_argument("--output", required=True, type=Path, help="where the rates go, as JSON")
    parser.add_argument("--kernels", type=Path, help="folder of compiled programs")
    parser.add_argument("--device", help="slug of the GPU; any if left out")
    options = parser.parse_args(arguments)
    there = ["cpu"]
    if options.kind == "cuda":
        there = [gpu.uuid for gpu in find_gpus() if options.device in (None, gpu.slug)]
        if not there:
            print(f"error: there is no GPU {options.device or ''} whose ceilings could be measured", file=sys.stderr)
            return 1
    with lease(there) as device:
        signal.alarm(_TIME_LIMIT_SECONDS)
        if options.kind == "cuda":
            use(device)
        measured = document(device if options.kind == "cuda" else None, options.kernels)
    write_json(options.output, measured)
    for name, value in measured.items():
        print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
