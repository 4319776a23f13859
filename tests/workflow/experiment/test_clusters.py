"""The files of conf/cluster: taken as typed, or refused in one line with file, key, value and what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workflow.experiment import catalog
from workflow.experiment.clusters import gpu_request
from workflow.experiment.errors import ConfigFileError

HEAD = "defaults:\n  - /schema/cluster@_here_\n  - _self_\nname: ours\n"
H100 = "gpus: {h100: {device: NVIDIA H100 80GB HBM3}}\n"


def read(folder: Path, text: str) -> dict[str, Any]:
    (folder / "cluster").mkdir(exist_ok=True)
    (folder / "cluster/ours.yaml").write_text(HEAD + text)
    return catalog.read(folder).groups["cluster"]["ours"]


def test_what_may_be_left_out(tmp_path: Path) -> None:
    found = read(tmp_path, H100)
    gpu = found["gpus"]["h100"]
    assert (gpu["architecture"], gpu["type"], gpu["partition"]) == ("sm_90a", "h100", "")
    assert (found["seconds_per_point"], found["minutes_per_point"], found["gpu_option"]) == (10.0, 1, "gpus")


@pytest.mark.parametrize("typed", ["no", "0123", "1e3", "1:30", "2026-11-25", "0x10", "'quoted'"])
def test_words_are_taken_as_typed(tmp_path: Path, typed: str) -> None:
    """YAML reads False, 83, 1000, 90, a date and 16."""
    text = f"partition: {typed}\ngpus: {{h100: {{device: NVIDIA H100, account: {typed}, type: {typed}}}}}\n"
    if ":" in typed:
        text = text.replace(f"type: {typed}", "type: one")
    found = read(tmp_path, text)
    wanted = typed.strip("'")
    assert (found["partition"], found["gpus"]["h100"]["account"]) == (wanted, wanted)
    assert found["gpus"]["h100"]["type"] in (wanted, "one")


def test_the_entry_of_a_model_comes_first(tmp_path: Path) -> None:
    models = "gpus: {a: {device: NVIDIA A100, partition: one}, b: {device: NVIDIA A100, qos: ''}}\n"
    gpus = read(tmp_path, f"partition: both\nqos: long\n{models}")["gpus"]
    assert [(gpu["partition"], gpu["qos"]) for gpu in gpus.values()] == [("one", "long"), ("both", "")]


@pytest.mark.parametrize(
    ("device", "architecture"),
    [
        ("NVIDIA H200", "sm_90a"),
        ("NVIDIA GH200 480GB", "sm_90a"),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", "sm_80"),
        ("NVIDIA A30", "sm_80"),
        ("NVIDIA RTX A6000", "sm_86"),
        ("NVIDIA A10", "sm_86"),
        ("NVIDIA L40S", "sm_89"),
        ("NVIDIA RTX 6000 Ada Generation", "sm_89"),
        ("NVIDIA GeForce RTX 4090", "sm_89"),
        ("NVIDIA B200", "sm_100"),
        ("NVIDIA GeForce RTX 5090", "sm_120"),
        ("Tesla V100-SXM2-32GB", "sm_70"),
        ("NVIDIA T4", "sm_75"),
    ],
)
def test_the_architecture_follows_from_the_device(tmp_path: Path, device: str, architecture: str) -> None:
    assert read(tmp_path, f"gpus: {{g: {{device: {device}}}}}\n")["gpus"]["g"]["architecture"] == architecture


@pytest.mark.parametrize("typed", ["90", "9.0", "sm90", "sm_90", "sm_90a", "SM_90a", "compute_90", "'90'"])
def test_an_architecture_is_written_in_many_ways(tmp_path: Path, typed: str) -> None:
    found = read(tmp_path, f"gpus: {{g: {{device: Some new GPU, architecture: {typed}}}}}\n")
    assert found["gpus"]["g"]["architecture"] == "sm_90a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("minutes_per_point: 1:30", ["minutes_per_point is 1:30", "positive whole number"]),
        ("minutes_per_point: 1.5", ["minutes_per_point is 1.5", "positive whole number"]),
        ("minutes_per_point: 010", ["minutes_per_point is 010", "positive whole number"]),
        ("seconds_per_point: 0", ["seconds_per_point is 0", "positive number"]),
        ("seconds_per_point: 0.0", ["seconds_per_point is 0.0", "positive number"]),
        ("seconds_per_job: .nan", ["seconds_per_job is .nan", "positive number"]),
        ("cores_per_job: -2", ["cores_per_job is -2", "positive whole number"]),
        ("cores_per_job: yes", ["cores_per_job is yes", "positive whole number"]),
        ("memory_mb_per_core: 8G", ["memory_mb_per_core is 8G", "positive whole number"]),
        ("cores_per_job: ${oc.decode:'-1'}", ["cores_per_job is -1", "positive"]),
        ("account:", ["account is empty", 'write ""']),
        ("options: --partition=other", ["options has --partition=other", "other keys"]),
        ("options: -p other", ["options has -p"]),
        ("options: --nice=$(id)", ["options has --nice=$(id)", "shell"]),
        ("gpu_option: gpu", ["gpu_option", "'gpu'", "gres"]),
    ],
)
def test_wrong_values(tmp_path: Path, text: str, said: list[str]) -> None:
    check_refused(tmp_path, f"{H100}{text}\n", said)


@pytest.mark.parametrize(
    ("gpus", "said"),
    [
        ("", ["gpus", "device for each model"]),
        ("{}", ["gpus", "device for each model"]),
        ("[h100]", ["gpus", "device for each model"]),
        ("{h100: NVIDIA H100}", ["gpus", "device for each model"]),
        ('{"": {device: NVIDIA H100}}', ["''", "gpu:COUNT", 'type: ""']),
        ("{gpu: {device: NVIDIA H100}}", ["gpu in gpus", 'type: ""']),
        ("{'gpu:h100:4': {device: NVIDIA H100}}", ["'gpu:h100:4'", "gpu:NAME:COUNT"]),
        ("{h100: {device: NVIDIA H100, type: 'h100:4'}}", ["gpus.h100.type is 'h100:4'", "gpu:NAME:COUNT"]),
        ("{h100: {device: NVIDIA H100, type: }}", ["gpus.h100.type is empty"]),
        ("{4090: {device: NVIDIA GeForce RTX 4090}}", ["the name 4090", 'write "4090"']),
        ("{h100: {device: ''}}", ["gpus.h100.device is empty", "nvidia-smi -L"]),
        ("{new: {device: Some new GPU}}", ["gpus.new.architecture is missing", "Some new GPU", "compute_cap"]),
        ("{new: {device: Some new GPU, architecture: hopper}}", ["is hopper", "such as 9.0", "compute_cap"]),
        ("{h100: {device: NVIDIA H100, architecture: sm_80}}", ["is sm_80", "NVIDIA H100 is sm_90a", "leave"]),
        ("{a-b: {device: NVIDIA A100}}\ngpu_option: gres", ["--gres", "hyphens of a-b", "gpu_option: gpus"]),
    ],
)
def test_wrong_gpus(tmp_path: Path, gpus: str, said: list[str]) -> None:
    check_refused(tmp_path, f"gpus: {gpus}\n", said)


def check_refused(folder: Path, text: str, said: list[str]) -> None:
    with pytest.raises(ConfigFileError) as caught:
        read(folder, text)
    message = str(caught.value)
    assert "\n" not in message
    for part in ["conf/cluster/ours.yaml: ", *said]:
        assert part in message


def test_a_file_without_its_schema(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster/ours.yaml").write_text(f"name: ours\n{H100}")
    with pytest.raises(ConfigFileError, match=r"ours\.yaml: it must begin with three lines, .*/schema/cluster@_here_"):
        catalog.read(tmp_path)


def test_how_slurm_is_asked() -> None:
    assert gpu_request({"type": "h100"}, "gpus") == {"gpu_model": "h100"}
    assert gpu_request({"type": "a100_1g.5gb"}, "gpus") == {"gpu_model": "a100_1g.5gb"}
    assert gpu_request({"type": "nvidia_a100-sxm4-80gb"}, "gpus") == {
        "slurm_extra": "--gpus-per-node=nvidia_a100-sxm4-80gb:1"
    }
    assert gpu_request({"type": ""}, "gpus") == {"gpu": 1}
    assert gpu_request({"type": "h100"}, "gres") == {"gres": "gpu:h100:1"}
    assert gpu_request({"type": ""}, "gres") == {"gres": "gpu:1"}
