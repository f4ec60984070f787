"""A few members of `benchmarks/mending.py`: drawn scenes, damaged, coded and mended."""

import runpy
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "mending.py"


@pytest.fixture(scope="module")
def benchmark():
    return runpy.run_path(str(BENCHMARK))


def long(*values):
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.mark.parametrize("scene", ["snow", long("rain"), long("confetti"), long("fast pan")])
def test_what_moves_is_no_damage(benchmark, scene):
    one = benchmark["measure"](benchmark["scene"](scene), "none")
    assert one.false <= 1 and one.sound[0] - one.sound[1] < 0.1


@pytest.mark.parametrize(
    ("scene", "damage", "gained"),
    [
        ("calm", "specks", 20),
        ("pan", "torn frames", 10),
        long("pan and subject", "doubled frames", 5),
        long("leaves", "lost frames", 20),
        long("fast pan", "flicker", 3),
        long("pan", "blocking", 0.2),
        long("snow and pan", "logo", None),  # left to the net
    ],
)
def test_damage_is_found_and_mended(benchmark, scene, damage, gained):
    one = benchmark["measure"](benchmark["scene"](scene), damage)
    assert one.found >= 0.9 * one.count and one.false <= 1
    assert gained is None or one.broken[1] - one.broken[0] > gained
    assert not one.sound[0] - one.sound[1] > 0.5


@pytest.mark.long
def test_answers_are_the_same_each_time_and_in_threads(benchmark):
    from concurrent.futures import ThreadPoolExecutor

    measure, frames = benchmark["measure"], benchmark["scene"]("calm, pale ground")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda name: measure(frames, name), ["specks"] * 2)
    assert first == second
