# CUDA programs, compiled by NVRTC: no GPU is needed. White space and comments do not count: the sources are ancient(),
# and what repeats the job is the hash of their meaning.


rule compile:
    input:
        sources=lambda wildcards: ancient(RUN.kernels.sources(wildcards.program)),
    output:
        cubin=f"{RESULTS}/kernels/{{architecture}}/{{program}}.cubin",
        report=f"{RESULTS}/kernels/{{architecture}}/{{program}}.json",
    log:
        f"{RESULTS}/kernels/{{architecture}}/{{program}}.log",
    priority: 10
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        source_hash=lambda wildcards: RUN.kernels.source_hash(wildcards.program),
    message:
        "Compiling {wildcards.program} for {wildcards.architecture}"
    shell:
        "python -m workflow.compile --program {wildcards.program:q} --architecture {wildcards.architecture}"
        " --cubin {output.cubin:q} --report {output.report:q} > {log:q} 2>&1"


rule kernel_resources:
    input:
        reports=RUN.kernels.reports,
    output:
        csv=report(
            f"{RESULTS}/kernels/resources.csv",
            caption="../report/resources.rst",
            category="Kernels",
            labels={"table": "registers, shared memory, spills"},
        ),
        markdown=f"{RESULTS}/kernels/resources.md",
    log:
        f"{RESULTS}/kernels/resources.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    message:
        "Writing what registers and memory the kernels take"
    shell:
        "python -m workflow.resources --csv {output.csv:q} --markdown {output.markdown:q} {input.reports:q} > {log:q} 2>&1"


# Every program, for the architectures of the experiment or of the GPU at hand.
rule compile_all:
    input:
        RUN.kernels.all_cubins,
