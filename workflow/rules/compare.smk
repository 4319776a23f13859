# Several archives side by side, where a run redraws more than one.

from workflow.jobs.code import analysis_hash
from workflow.jobs.datasets import COMPARED


rule compare:
    input:
        tables=[file for dataset in RUN.datasets.folders for file in RUN.datasets.files(dataset)],
    output:
        [f"{RUN.datasets.comparison}/{name}" for name in COMPARED if not name.endswith((".svg", ".csv"))],
        figures=report(
            [f"{RUN.datasets.comparison}/{name}" for name in COMPARED if name.endswith(".svg")],
            caption="../report/comparison.rst",
            category="Comparison",
        ),
        table=report(
            [f"{RUN.datasets.comparison}/{name}" for name in COMPARED if name.endswith(".csv")],
            caption="../report/comparison.rst",
            category="Comparison",
        ),
    log:
        f"{RUN.datasets.comparison}/logs/compare.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=lambda wildcards: analysis_hash(),
        tables=list(RUN.datasets.folders.values()),
        folder=subpath(output[0], ancestor=2),
    message:
        "Comparing the archives"
    shell:
        "python -m analysis.compare {params.tables:q} --output {params.folder:q} > {log:q} 2>&1"
