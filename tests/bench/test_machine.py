"""What a record says of the machine, and what it must not say."""

import platform
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from survbench.bench.machine import hardware, spending, told, versions


def test_an_error_is_told_without_folders_or_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "node7")
    try:
        Path("/nowhere/secret/data.csv").read_text()
    except FileNotFoundError as error:
        kept = told(error)
    assert kept["error"] == (
        "FileNotFoundError: [Errno 2] No such file or directory: '.../data.csv'"
    )
    assert kept["traceback"][0].startswith("tests/bench/test_machine.py:")
    assert kept["traceback"][-1].startswith("pathlib.py:")
    other = ValueError("node7 and node77 read C:\\data\\x.csv, a/b and P/G")
    assert told(other)["error"] == "ValueError: host and node77 read .../x.csv, a/b and P/G"


def test_a_record_names_hardware_and_versions_but_no_host() -> None:
    found = hardware("cpu")
    assert set(found) == {"cpu", "system"}
    found = versions("cox")
    assert {"survbench", "python", "numpy", "torch"} <= set(found)
    assert found["numpy"] == np.__version__


@pytest.mark.usefixtures("fakes")
def test_versions_name_the_package_that_brings_the_method() -> None:
    assert versions("plain") == versions("cox") | {"fakes": "1.0"}
    assert "fakes" not in versions("oracle")  # no method of the registry


def test_time_and_peak_memory_of_a_block_are_measured() -> None:
    with spending("cpu") as before:
        pass
    with spending("cpu") as spent:
        block = np.ones(2**25)  # 256 MiB
    assert block.sum() == 2**25
    assert spent.peak_memory_mib is not None
    assert before.peak_memory_mib is not None
    assert spent.peak_memory_mib > before.peak_memory_mib + 128
    assert spent.peak_gpu_memory_mib is None


KEPT = """
import resource
import numpy as np
from survbench.bench.machine import keep_freed_memory, resident_mib, spending

def faults():
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**25)  # 256 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin

print(keep_freed_memory(), faults(), faults(), end=" ")
with spending("cpu") as spent:
    pass
print(resident_mib(), spent.peak_memory_mib)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to")
def test_freed_memory_is_kept_until_the_next_measurement() -> None:
    command = [sys.executable, "-c", KEPT]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    kept, first, second, resident, peak = said
    assert kept == "True"
    assert int(first) > 100  # pages of 2 MiB at the most
    assert int(second) < int(first) / 10
    assert max(float(resident), float(peak)) < 256
