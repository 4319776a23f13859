# A job measures a group of points, each in a process of its own, and leaves out those whose result still holds. It ends
# with status 0 whatever the outcomes, which it records: the results are no outputs, so Snakemake deletes none. Which
# groups have something to measure is told by the number in the name of the output (workflow/jobs/groups.py).


rule measure:
    input:
        cubins=lambda wildcards: RUN.measurements.cubins(wildcards.group),
        ceilings=ancient(f"{RESULTS}/{{device}}/ceilings.json"),
    output:
        f"{RESULTS}/{{device}}/points/{{experiment}}/{{group}}/job-{{number}}.json",
    log:
        f"{RESULTS}/{{device}}/points/{{experiment}}/{{group}}/job-{{number}}.txt",
    priority: lambda wildcards: RUN.measurements.priority(wildcards.group)
    conda:
        "../../environment.yml"
    threads: RUN.threads(workflow)
    resources:
        **RUN.measurements.resources,
        points=lambda wildcards: RUN.measurements.size(wildcards.group),
        runtime=lambda wildcards: RUN.measurements.minutes(wildcards.group),
        # No parameters, since Snakemake repeats jobs whose parameters change: these may, with nothing to measure.
        selection=RUN.measurements.selection,
        size=RUN.measurements.points_per_job,
        at_once=RUN.measurements.at_once,
    params:
        kernels=RUN.kernels.folder,
        folder=RUN.measurements.folder,
    message:
        "Measuring {wildcards.group} on {wildcards.device} (points: {resources.points})"
    shell:
        "python -m workflow.measure --selection {resources.selection:q} --size {resources.size} --group {wildcards.group:q}"
        " --folder {params.folder:q} --kernels {params.kernels:q} --device {wildcards.device:q} --at-once {resources.at_once}"
        " --output {output:q} > {log:q} 2>&1"


# The same few points on each GPU of a host that has several: how much do they differ?
rule measure_anchors:
    input:
        cubins=lambda wildcards: RUN.measurements.anchor_cubins(wildcards.gpu, wildcards.group),
        ceilings=ancient(f"{RESULTS}/{{device}}/ceilings.json"),
    output:
        f"{RESULTS}/{{device}}/gpus/{{gpu}}/points/{{experiment}}/{{group}}/job-{{number}}.json",
    log:
        f"{RESULTS}/{{device}}/gpus/{{gpu}}/points/{{experiment}}/{{group}}/job-{{number}}.txt",
    conda:
        "../../environment.yml"
    threads: RUN.threads(workflow)
    resources:
        **RUN.measurements.resources,
        runtime=30,
        selection=RUN.measurements.anchor_selection,
    params:
        kernels=RUN.kernels.folder,
        folder=RUN.measurements.folder,
    message:
        "Measuring the anchors on {wildcards.gpu}"
    shell:
        "python -m workflow.measure --selection {resources.selection:q} --size 1000 --group {wildcards.group:q}"
        " --gpu {wildcards.gpu} --folder {params.folder:q} --kernels {params.kernels:q} --device {wildcards.device:q}"
        " --output {output:q} > {log:q} 2>&1"
