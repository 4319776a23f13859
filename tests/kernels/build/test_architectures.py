"""Names of architectures, however they are written."""

from __future__ import annotations

import pytest

from kernels.build.architectures import architecture_name, normalize


@pytest.mark.parametrize("name", ["90", "9.0", "sm90", "sm_90", "SM_90", "compute_90", " sm_90a", "90a"])
def test_hopper(name: str) -> None:
    assert normalize(name) == architecture_name(9, 0) == "sm_90a"


def test_others() -> None:
    names = ["8.6", "sm_80", "100", "120", "10.3", "sm_120a", "compute_100f"]
    assert [normalize(name) for name in names] == [
        *("sm_86", "sm_80", "sm_100", "sm_120", "sm_103", "sm_120a", "sm_100f"),
    ]


@pytest.mark.parametrize("name", ["hopper", "", "9", "sm_", "sm_9000", "sm_80b", "-90", "gfx90a"])
def test_what_is_no_architecture(name: str) -> None:
    with pytest.raises(ValueError, match="is no architecture of a GPU; write it as sm_80, sm_90a or sm_120"):
        normalize(name)
