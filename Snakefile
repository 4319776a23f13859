# Compile, measure, aggregate, draw, judge: `snakemake --cores all`. The rules are in workflow/rules, one file a stage;
# what is measured is in conf/, and workflow/experiment/request.py explains the keys of --config.
import re

from snakemake.utils import min_version

from workflow.jobs.run import start
from workflow.session.begin import begin, explain

min_version("9.0")

RUN = start(config, workflow)
RESULTS = RUN.results


wildcard_constraints:
    device=RUN.request.device or "none",
    experiment=re.escape(RUN.request.experiment) or "none",
    group=".+",
    number="[0-9]+",
    gpu="GPU-[0-9A-Za-z-]+",
    program="[^/]+",
    architecture="sm_[0-9]+[a-z]?",
    dataset="|".join(map(re.escape, RUN.datasets.folders)) or "none",


# Snakemake's own lock outlives a run that is killed; this one does not.
onstart:
    RUN.check_executor(workflow.executor_plugin.name)
    begin(RESULTS, log, RUN.devices, RUN.missing)


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
