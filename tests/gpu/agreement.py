"""Times algorithms with NVBench and with our harness, in one process; started by test_agreement.py.

    python -m tests.gpu.agreement OUTPUT.json

NVBench runs its benchmarks once in a process. Each point is timed by us, by NVBench and by us again, so that a drift
shows. Writes {"<algorithm>/<layer>": {"ours": [ms, ms], "nvbench": ms, "samples": n}}.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from cuda import bench
from cuda.bench.results import BenchmarkResult

from analysis.table.statistics import median
from kernels import algorithm as algorithms
from kernels.launch import KernelLibrary
from kernels.problem import ConvProblem
from tests.shared import known_conf
from workflow.harness import distributions, timing
from workflow.harness.monitor import monitor
from workflow.machine.devices import find_gpus

ALGORITHMS = ("im2win", "direct", "im2col_cublas", "cudnn_implicit_precomp_gemm")
#: Layer -> batch; the last one takes some 10 us.
LAYERS = {"conv3": 64, "conv8": 16, "conv10": 64, "conv12": 1}
DEVICE = torch.device("cuda", 0)


def main(output: Path) -> None:
    known = known_conf()
    protocol = known.get("protocol", "end_to_end")
    library = KernelLibrary(DEVICE)
    generator = torch.Generator(DEVICE)
    (gpu, *_) = find_gpus()
    ours: dict[str, list[float]] = {}

    def work_of(name: str) -> Any:
        algorithm, layer = name.split("/")
        chosen = known.get("algorithm", algorithm)
        problem = ConvProblem.from_layer(known.get("layer", layer), LAYERS[layer])
        shapes = (problem.input_shape, problem.filter_shape, problem.output_shape)
        x, f, y = (torch.empty(shape, device=DEVICE) for shape in shapes)
        distributions.uniform(x, f, generator)
        plan = algorithms.load(algorithm, chosen["module"], chosen["parameters"]).plan(problem, DEVICE, library, False)
        plan.run(x, f, y)  # nothing is timed that runs for the first time
        return lambda: plan.run(x, f, y)

    def time(name: str, work: Any) -> None:
        with monitor(gpu.uuid) as watch:
            clock = timing.make_clock(protocol, DEVICE)
            ours.setdefault(name, []).append(timing.measure(clock, work, protocol, median, watch).estimate.value)

    def measure(state: Any) -> None:
        name = state.get_string("point")
        work = work_of(name)
        time(name, work)
        stream = torch.cuda.ExternalStream(state.get_stream().__cuda_stream__()[1])

        def launched(launch: Any) -> None:
            with torch.cuda.stream(stream):
                work()

        torch.cuda.synchronize()
        launched(None)  # what is loaded or allocated at the first run must not wait for NVBench's blocking kernel
        torch.cuda.synchronize()
        state.exec(launched, batched=False)
        torch.cuda.synchronize()
        time(name, work)

    benchmark = bench.register(measure)
    benchmark.add_string_axis("point", [f"{algorithm}/{layer}" for layer in LAYERS for algorithm in ALGORITHMS])
    benchmark.set_timeout(1.0)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "nvbench.json"
        bench.run_all_benchmarks(["agreement", "--jsonbin", str(written), "--min-samples", "20", "--devices", "0"])
        states = [state for part in BenchmarkResult.from_json(written).values() for state in part]
    found = {}
    for state in states:
        name = state.point["point"]
        assert state.samples, f"{name}: {state.skip_reason}"
        nvbench = 1e3 * statistics.median(state.samples)
        found[name] = {"ours": ours[name], "nvbench": nvbench, "samples": len(state.samples)}
    output.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
