# The figures of every results table: this run's and each archive's.


rule draw_figures:
    input:
        table=lambda wildcards: JOBS.table_files(wildcards.dataset),
        code=JOBS.code("analysis"),
    output:
        figures=[f"{RESULTS}/{{dataset}}/{name}" for name in FIGURES if not name.endswith(".svg")],
        tflops=report(
            f"{RESULTS}/{{dataset}}/figures/tflops.svg",
            caption="../report/tflops.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"figure": "speed per layer"},
        ),
        memory=report(
            f"{RESULTS}/{{dataset}}/figures/memory.svg",
            caption="../report/memory.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"figure": "memory per layer"},
        ),
        ablation=report(
            f"{RESULTS}/{{dataset}}/figures/ablation.svg",
            caption="../report/ablation.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"figure": "ablation"},
        ),
    log:
        f"{RESULTS}/{{dataset}}/logs/figures.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        table=lambda wildcards: JOBS.tables[wildcards.dataset],
        folder=subpath(output.tflops, parent=True),
    message:
        "Drawing the figures of {wildcards.dataset}"
    shell:
        "python -m analysis.figures --table {params.table:q} --output {params.folder:q} > {log:q} 2>&1"


rule figures:
    input:
        JOBS.of_datasets(*FIGURES),
