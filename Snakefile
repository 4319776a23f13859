# Compile, measure, aggregate, draw, judge: `snakemake --cores all`. The rules are in workflow/rules, one file a stage;
# what is measured is in conf/, and workflow/experiment/request.py explains the keys of --config.
from snakemake.utils import min_version

from workflow.jobs.run import start
from workflow.session.begin import begin, explain
from workflow.session.slurm import require

min_version("9.0")

RUN = start(config, workflow.is_main_process)
RESULTS = RUN.results


wildcard_constraints:
    device=RUN.request.device or "none",
    experiment=RUN.request.experiment or "none",
    group="[a-z0-9_/]+",
    number="[0-9]+",
    gpu="GPU-[0-9A-Za-z-]+",
    program="[a-z0-9_]+",
    architecture="sm_[0-9]+[a-z]?",
    dataset="|".join(RUN.datasets.folders) or "none",


# Snakemake's own lock outlives a run that is killed; this one does not.
onstart:
    if RUN.request.sweep:
        require(workflow.executor_plugin.name, RUN.cluster, RUN.request.catalog.names("cluster"))
    begin(RESULTS, log)


onerror:
    explain(RESULTS)


STAGES = "container compile ceilings tune measure aggregate figures compare tables claims report summary local"
for stage in STAGES.split():

    include: f"workflow/rules/{stage}.smk"


rule all:
    default_target: True
    input:
        RUN.everything,
        f"{RESULTS}/summary.txt",
    message:
        "Done"
