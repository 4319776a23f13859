# The figures of every results table: this run's and each archive's.

from workflow.jobs.code import analysis_hash
from workflow.jobs.datasets import FIGURE_LABELS, FIGURES

UNREPORTED = [name for name in FIGURES if name not in [f"figures/{one}.svg" for one in FIGURE_LABELS]]


rule draw_figures:
    input:
        table=lambda wildcards: RUN.datasets.files(wildcards.dataset),
        beside=lambda wildcards: RUN.datasets.companion_files(wildcards.dataset),
    output:
        [f"{RESULTS}/{{dataset}}/{name}" for name in UNREPORTED],
        **{
            name: report(
                f"{RESULTS}/{{dataset}}/figures/{name}.svg",
                caption=f"../report/{name}.rst",
                category="Figures",
                subcategory="{dataset}",
                labels={"figure": what},
            )
            for name, what in FIGURE_LABELS.items()
        },
    log:
        f"{RESULTS}/{{dataset}}/logs/figures.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=lambda wildcards: analysis_hash(),
        table=lambda wildcards: RUN.datasets.folders[wildcards.dataset],
        folder=subpath(output.tflops, parent=True),
    message:
        "Drawing the figures of {wildcards.dataset}"
    shell:
        "python -m analysis.figures --table {params.table:q} --output {params.folder:q} > {log:q} 2>&1"


rule figures:
    input:
        RUN.datasets.each(*FIGURES),
        RUN.datasets.compared,
