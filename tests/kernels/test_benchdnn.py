"""Descriptors of problems: what they mean, the one normal form, and what is wrong with a bad one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from kernels.benchdnn import is_descriptor, layer_of, normal_form, parse
from kernels.problem import ConvProblem, ProblemError


def problem(text: str) -> ConvProblem:
    return ConvProblem.from_layer(parse(text).layer, 1)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("ic64ih56oc64oh56kh3ph1", "ic64ih56oc64kh3ph1"),
        ("ic64ih56oc64oh56kh3", "ic64ih56oc64kh3ph1"),  # the padding follows from the output
        ("g1mb256ic64ih56iw56_oc64oh56ow56_kh3kw3_sh1sw1_ph1pw1_dh0dw0", "ic64ih56oc64kh3ph1"),
        ('ic3ih227iw227_oc96oh55ow55_kh11kw11_sh4sw4ph0pw0_n"alexnet:conv1"', "ic3ih227oc96kh11sh4"),
        ("oc64ic3kh7sh2ph3ih224nfirst", "ic3ih224oc64kh7sh2ph3"),
        ("ic3ih224oc64oh112kh7sh2ph3", "ic3ih224oc64kh7sh2ph3"),  # what follows the last window is not read
        ("ic3ih224oc64oh112kh7sh2ph2", "ic3ih224oc64oh112kh7sh2ph2"),
        ("ic512ih1iw101oc512oh1ow101kh1kw3ph0pw5dw4", "ic512iw101oc512kw3pw5dw4"),
        ("ic512iw101oc512kw3pw5dw4", "ic512iw101oc512kw3pw5dw4"),
        ("ic16ih10iw20oc8kh3ph1", "ic16ih10iw20oc8kh3kw3ph1pw1"),
        ("ic768ih17oc192kh1kw7ph0pw3", "ic768ih17iw17oc192kh1kw7ph0pw3"),
        ("g32ic128ih56oc128kh3ph1", "g32ic128ih56oc128kh3ph1"),
        ("ic8ih9oc4kh1dh3sh2", "ic8ih9oc4kh1sh2"),
        ("ic8ih3oc4kh3sh2", "ic8ih3oc4kh3"),
    ],
)
def test_normal_form(text: str, normal: str) -> None:
    assert is_descriptor(text)
    assert parse(text).layer["name"] == normal
    assert parse(normal).layer == parse(text).layer
    assert normal_form(problem(text)) == normal


def test_what_a_descriptor_means() -> None:
    first = problem("ic3ih224oc64kh7sh2ph3")
    assert (first.out_height, first.out_width, first.padding) == (112, 112, ((3, 3), (3, 3)))
    assert problem("ic8iw20oc8kw3dw1").dilation == (1, 2)
    assert problem("ic8iw20oc8kw3").input_shape == (1, 8, 1, 20)
    assert problem("ic1ih8oc1oh8kh2ph0").padding == ((0, 1), (0, 1))
    assert problem("ic1ih8oc1oh8kh2ph1").padding == ((1, 0), (1, 0))
    assert (parse("mb4ic1ih8oc1kh2").batch, parse("ic1ih8oc1kh2").batch) == (4, None)


def random_problem(draw: random.Random) -> ConvProblem:
    """Any problem that can be, of small sizes: padded on one side, in one dimension, grouped, dilated."""
    groups = draw.choice([1, 1, 2, 3])
    is_1d, is_square = draw.random() < 0.3, draw.random() < 0.3

    def pair(low: int, high: int, rows: int) -> tuple[int, int]:
        first, second = draw.randint(low, high), draw.randint(low, high)
        return (rows if is_1d else second if is_square else first, second)

    padding = draw.choice([(0, 0), (1, 1), (2, 1), (0, 3), (5, 0)])
    while True:
        (height, width), (kernel_h, kernel_w) = pair(1, 20, 1), pair(1, 5, 1)
        try:
            return ConvProblem(
                batch=1,
                in_channels=groups * draw.randint(1, 9),
                height=height,
                width=width,
                out_channels=groups * draw.randint(1, 9),
                kernel_h=kernel_h,
                kernel_w=kernel_w,
                stride=pair(1, 4, 1),
                padding=((0, 0) if is_1d else padding if is_square else draw.choice([(0, 0), (1, 2)]), padding),
                dilation=pair(1, 3, 1),
                groups=groups,
            )
        except ProblemError:
            continue


def test_round_trips() -> None:
    """A normal form means the problem that it was made of, but for padding that no window reads, and is its own one."""
    draw = random.Random(7)
    uneven = 0
    for _ in range(3000):
        made = random_problem(draw)
        text = normal_form(made)
        back = problem(text)
        assert normal_form(back) == text
        assert ConvProblem.from_layer(layer_of(made), 1) == back
        uneven += not back.is_padded_evenly
        same = replace(made, padding=back.padding, stride=back.stride, dilation=back.dilation)
        assert back == same
        assert (back.output_shape, back.flops) == (made.output_shape, made.flops)
        assert back.flops_without_padding == made.flops_without_padding
        for ours, theirs in ((back.rows, made.rows), (back.columns, made.columns)):
            assert ours.before == theirs.before
            assert ours.stride in (theirs.stride, 1)
            assert ours.dilation == theirs.dilation or theirs.kernel == 1
    assert uneven > 300


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("ic64id8ih56oc64kd3kh3", ["id is a depth", "three dimensions are not supported"]),
        ("ih56oc64kh3", ["ic is missing", "input channels"]),
        ("ic64ih56kh3", ["oc is missing", "output channels"]),
        ("ic64oc64kh3", ["ih is missing"]),
        ("ic64iw56oc64", ["kw is missing", "the filter"]),
        ("ic64iw56oc64kh3", ["ih is missing"]),
        ("ic64ih56oc64kh3sx2", ["begins with 'sx2'", "sh sw ph pw"]),
        ("ic64ih56oc64kh3ph", ["begins with 'ph'"]),
        ("ic64ih56oc64kh3ph-1", ["begins with 'ph-1'"]),
        ("ic64ih56oc64kh3ic3", ["ic is given twice, 64 and 3"]),
        ('ic64ih56oc64kh3n"name', ["not closed"]),
        ("ic64ih56oc64kh0", ["kh is 0"]),
        ("ic64ih0oc64kh3", ["ih is 0"]),
        ("ic64ih56oc64kh3sh0", ["sh is 0"]),
        ("ic64ih56oc64oh0kh3", ["oh is 0"]),
        ("ic0ih56oc64kh3", ["in_channels is 0"]),
        ("ic64ih56oc64oh10kh3", ["oh is 10", "54 or more"]),
        ("ic64ih5oc64kh7", ["kernel_h is 7", "height is only 5"]),
        ("g3ic64ih56oc64kh3", ["groups is 3", "must divide"]),
    ],
)
def test_bad_descriptors(text: str, named: list[str]) -> None:
    with pytest.raises(ProblemError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith(f"{text}: ")
    assert "\n" not in message
    for part in named:
        assert part in message


def test_names_are_no_descriptors() -> None:
    for name in ("conv1", "odd_window", "mine", "graph1", "7x7", "ic"):
        assert not is_descriptor(name)
