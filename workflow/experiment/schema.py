"""What may stand in the files of conf/: a dataclass for each group, which Hydra registers and enforces."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


class Backend(Enum):
    """Where an algorithm runs, and what a device is."""

    cuda = "cuda"
    cpu = "cpu"


class Timed(Enum):
    """The timed region: `run` has the layout transform inside, `compute` outside."""

    run = "run"
    compute = "compute"


class Clock(Enum):
    """`device` is the GPU's own time; `wall` is the host's, until the GPU is idle."""

    device = "device"
    wall = "wall"


class Statistic(Enum):
    """`authors` is the minimum for im2win and direct and the mean for libraries, as in the artifact."""

    median = "median"
    authors = "authors"


class Arithmetic(Enum):
    """What computes the products, which bounds how fast they can come: see workflow.harness.lower_bounds.

    `fp32` is a multiply and an add for each product, on the FP32 units or, if the class allows TF32, the tensor cores;
    `tf32` and `fp16x3`, three FP16 products, run on those. What is `_transformed` (FFT, Winograd) takes fewer.
    """

    fp32 = "fp32"
    fp32_transformed = "fp32_transformed"
    tf32 = "tf32"
    fp16x3 = "fp16x3"
    fp16x3_transformed = "fp16x3_transformed"


class Role(Enum):
    """What an algorithm stands for in figures, tables and sentences.

    `paper` is the paper's own kernel, on which its claims are judged; `ours` goes beyond it; `baseline` is what both
    are compared with; `ablation` is the paper's kernel without one optimization, and `base` without any; `ceiling` is
    no convolution, but what bounds one.
    """

    paper = "paper"
    ours = "ours"
    baseline = "baseline"
    ablation = "ablation"
    base = "base"
    ceiling = "ceiling"


class AuthorsStatistic(Enum):
    """What the authors' artifact takes of its runs: the minimum for its own programs, the mean for the libraries."""

    minimum = "minimum"
    mean = "mean"


@dataclass
class Layer:
    """One convolution layer; sizes in elements, as kernels.problem.ConvProblem explains them."""

    name: str = MISSING
    in_channels: int = MISSING
    height: int = MISSING
    width: int = MISSING
    out_channels: int = MISSING
    kernel_h: int = MISSING
    kernel_w: int = MISSING
    #: One number, or [rows, columns].
    stride: Any = MISSING
    #: One number, [rows, columns], or [[above, below], [left, right]].
    padding: Any = 0
    #: As `stride`.
    dilation: Any = 1
    groups: int = 1


@dataclass
class Network:
    """The model of which a suite has the convolutions."""

    #: MODULE:CALLABLE, FILE.py:CALLABLE or FILE.onnx.
    model: str = ""
    #: The package and its version, the file and its SHA-256, or where else the sizes are from.
    source: str = ""
    #: The sizes of each input without the batch, such as "3,224,224".
    inputs: list[str] = field(default_factory=list)
    #: What the callable was called with.
    arguments: dict[str, Any] = field(default_factory=dict)
    #: What else one has to know, such as why a layer counts several times for one image.
    note: str = ""


@dataclass
class Unsupported:
    """A convolution of a network that cannot be measured here: transposed, sparse, in three dimensions."""

    layer: str = MISSING
    count: int = MISSING
    reason: str = MISSING
    flops: int = MISSING  # of one image and one run; 0 if they depend on the data


@dataclass
class Suite:
    """A set of layers, and what it changes in some of them: layer -> size -> value.

    A layer is the name of a file of conf/layer, or a descriptor in its normal form (see kernels.benchdnn).
    """

    name: str = MISSING
    #: Empty: those of `counts`.
    layers: list[str] = field(default_factory=list)
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: The batch at which it is measured by an experiment that names none.
    batch: int | None = None
    #: Layer -> how many times one forward pass of one image runs it; empty for a suite that is no network.
    counts: dict[str, int] = field(default_factory=dict)
    network: Network = field(default_factory=Network)
    unsupported: list[Unsupported] = field(default_factory=list)


class Groups(Enum):
    """Of how many groups a layer is: `depthwise` convolves each channel by itself, `several` has larger groups."""

    any = "any"
    one = "one"
    several = "several"
    depthwise = "depthwise"


@dataclass
class Takes:
    """The layers that an algorithm can take, as far as that follows from their sizes. It decides no measurement."""

    #: The sides of a square filter; empty: any filter.
    kernel: list[int] = field(default_factory=list)
    #: The longest stride; null: any.
    stride: int | None = None
    #: The largest dilation; null: any.
    dilation: int | None = None
    groups: Groups = Groups.any


@dataclass
class About:
    """What figures, tables and sentences say of an algorithm. It decides no measurement: changing it repeats none."""

    #: Its name for people; empty: its name in the table.
    label: str = ""
    role: Role = Role.ours
    #: Its place in tables and legends, the lowest first; of equal ones the first by name.
    order: int = 1000
    #: A number of seaborn's colour-blind palette (0 to 9), a grey level ("0.2") or any colour that Matplotlib knows.
    color: str = "0.5"
    marker: str = "o"  # as Matplotlib names them
    authors_statistic: AuthorsStatistic = AuthorsStatistic.mean
    #: The library of whose algorithms the best one is compared (cudnn); empty: it stands for itself alone.
    best_of: str = ""
    #: Whether the library chooses the algorithm at run time, so that it is not known what is computed.
    autotuned: bool = False
    #: Whether it is in the paper's figures.
    in_paper: bool = False
    #: Whether errors are compared with its errors, of the same class or of strict FP32.
    error_reference: bool = False
    #: Whether `kernel_only` leaves a transform out of the timed region whose share is worth a figure.
    transform_outside_kernel: bool = False


@dataclass
class Algorithm:
    """A registered algorithm: its module, its CUDA programs and the classes of arithmetic that it offers."""

    name: str = MISSING
    module: str = MISSING
    backend: Backend = MISSING
    programs: list[str] = field(default_factory=list)
    numerics: list[str] = MISSING
    arithmetic: Arithmetic = MISSING
    #: The algorithm whose stored winners it uses (see workflow.experiment.winners); empty: none.
    tuned_as: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    takes: Takes = field(default_factory=Takes)
    about: About = field(default_factory=About)


@dataclass
class Numerics:
    """A class of arithmetic and the largest error that passes as correct, against float64."""

    name: str = MISSING
    tf32: bool = MISSING
    max_error_fro: float = MISSING
    max_error_max: float = MISSING


@dataclass
class Protocol:
    """What is timed, by which clock, and when there are enough samples."""

    name: str = MISSING
    timed: Timed = MISSING
    clock: Clock = MISSING
    statistic: Statistic = MISSING
    cold_l2: bool = MISSING
    warmup_seconds: float = 0.05
    min_samples: int = 20
    max_samples: int = 1000
    max_seconds: float = 1.0
    target_half_width: float = 0.005
    #: How long the CPU backend waits at most for other programs to end, to measure again what was measured beside them.
    quiet_seconds: float = 2.0


@dataclass
class Sampling:
    """An experiment's own values for the sampling of every protocol; null keeps the protocol's."""

    warmup_seconds: float | None = None
    min_samples: int | None = None
    max_samples: int | None = None
    max_seconds: float | None = None
    target_half_width: float | None = None
    quiet_seconds: float | None = None


@dataclass
class Device:
    """A kind of device, and how long the measuring of one point may take there."""

    kind: Backend = MISSING
    time_limit_seconds: float = MISSING
    #: A result this share above a measured ceiling of the machine is an error of measuring, and stops the run.
    ceiling_tolerance: float = MISSING
    #: Threads of the CPU backend; 0: as many as there are cores that the process may use.
    threads: int = 0


@dataclass
class Extra:
    """A further product of an experiment's axes: those that are given here replace the experiment's."""

    suite: list[str] = field(default_factory=list)
    layer: list[str] = field(default_factory=list)
    batch: list[int] = field(default_factory=list)
    algorithm: list[str] = field(default_factory=list)
    numerics: list[str] = field(default_factory=list)


@dataclass
class Anchors:
    """Points that every GPU of a host measures, so that a report can tell how much the GPUs differ."""

    layer: list[str] = field(default_factory=list)
    algorithm: list[str] = field(default_factory=list)


@dataclass
class Models:
    """The models of suites, of which whole forward passes are timed: in every mode, with every backend of a network."""

    suite: list[str] = MISSING
    batch: list[int] = MISSING
    backend: list[str] = MISSING
    mode: list[str] = MISSING


@dataclass
class Experiment:
    """The axes of a sweep. An empty `layer` means every layer of the suites, an empty `batch` each suite's own."""

    name: str = MISSING
    device: str = MISSING
    suite: list[str] = field(default_factory=list)
    layer: list[str] = field(default_factory=list)
    batch: list[int] = field(default_factory=list)
    algorithm: list[str] = field(default_factory=list)
    protocol: list[str] = MISSING
    numerics: list[str] = field(default_factory=list)
    models: list[Models] = field(default_factory=list)
    sampling: Sampling = field(default_factory=Sampling)
    #: What is measured besides. A request that sets an axis leaves out those that set it too; of the suites that one
    #: sets, those asked for stay.
    extra: list[Extra] = field(default_factory=list)
    #: Plan no point of which the algorithm's file (`takes`) tells that it would be unsupported.
    only_taken: bool = False
    #: At the first suite, class, batch and protocol that are measured; only where a host has several GPUs.
    anchors: Anchors = field(default_factory=Anchors)
    #: Compile every CUDA program for these; empty: those that are measured, for the GPU at hand. A request that sets an
    #: axis compiles those of its algorithms alone.
    architectures: list[str] = field(default_factory=list)
    #: Compare errors on several kinds of data too, on each layer (workflow.accuracy).
    compare_errors: bool = True
    #: Draw the figures of every archive too, unless the request sets an axis.
    redraw_archives: bool = True


class GpuOption(Enum):
    """The option of sbatch that asks for a GPU."""

    gpus = "gpus"
    gres = "gres"


@dataclass
class ClusterGpu:
    """A model of GPU of a cluster: how NVML names it, what its kernels are compiled for, how Slurm is asked for it."""

    device: str = MISSING
    #: Its compute capability; empty: it follows from the device's name.
    architecture: str = ""
    #: Slurm's name of the model; null: the name here. Empty: Slurm has GPUs without a type.
    type: str | None = None
    #: Null: as the cluster's.
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    options: str | None = None


@dataclass
class Cluster:
    """What a run needs to know of a Slurm cluster whose GPUs are not at hand where it is planned."""

    name: str = MISSING
    #: Empty: the cluster's default.
    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    #: Further options of sbatch.
    options: str = ""
    gpu_option: GpuOption = GpuOption.gpus
    #: By a name for `gpu_model=`; the first one is the default.
    gpus: dict[str, ClusterGpu] = MISSING
    #: How long a point and a job are expected to take: together they say how many points make a job.
    seconds_per_point: float = 10.0
    seconds_per_job: float = 180.0
    #: What a job asks for: cores, each for a process that gets ready while another one measures, with so much memory;
    #: and these minutes for each of its points.
    cores_per_job: int = 4
    memory_mb_per_core: int = 8000
    minutes_per_point: int = 1


#: Group of conf/ -> what one of its files holds.
GROUPS: dict[str, type] = {
    "suite": Suite,
    "layer": Layer,
    "algorithm": Algorithm,
    "protocol": Protocol,
    "numerics": Numerics,
    "device": Device,
    "experiment": Experiment,
    "cluster": Cluster,
}

#: What an entry holds that is a mapping of its own.
PARTS: tuple[type, ...] = (Network, Unsupported, Takes, About, Extra, Models, Sampling, Anchors, ClusterGpu)


@dataclass
class PointConfig:
    """The primary config: one point, measured by hand under one protocol on the device of its algorithm."""

    suite: Suite = MISSING
    layer: Layer = MISSING
    algorithm: Algorithm = MISSING
    protocol: Protocol = MISSING
    numerics: Numerics = MISSING
    batch: int = MISSING


def register() -> None:
    """Make the schemas known to Hydra."""
    store = ConfigStore.instance()
    for group, node in GROUPS.items():
        store.store(group="schema", name=group, node=node)
    store.store(group="schema", name="point", node=PointConfig)
