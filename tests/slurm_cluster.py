"""A real Slurm cluster of one machine for tests: munged, slurmctld and slurmd on 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
SEARCH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
# A requeued job waits for cred_expire seconds before it starts again: 120 by default, 5 at least.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
# Like cgroups on a real cluster, this ends what a task has started when the task ends.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=2,sched_interval=2
JobRequeue=1
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# Take the number of CPUs below on any hardware.
SlurmdParameters=config_overrides
NodeName=localhost NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000000
PartitionName=low Nodes=localhost Default=YES MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=localhost MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
"""


def why_not() -> str | None:
    """Say why no cluster can be started here, or give None where one can."""
    missing = [program for program in PROGRAMS if not shutil.which(program, path=SEARCH)]
    if missing:
        return f"not installed: {', '.join(missing)} (on Debian: apt install slurm-wlm munge)"
    return None if os.geteuid() == 0 else "only root can start a Slurm cluster for tests"


@contextlib.contextmanager
def slurm_cluster(folder: Path, cpus: int = 2) -> Iterator[dict[str, str]]:
    """Run a cluster that keeps all it writes in the folder; give the variables its clients need."""
    if reason := why_not():
        raise RuntimeError(reason)
    folder = folder.resolve()
    for path in (folder / "state", folder / "spool"):
        path.mkdir(parents=True, exist_ok=True)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o600)
    config, host = folder / "slurm.conf", socket.gethostname().split(".")[0]
    config.write_text(CONFIG.format(folder=folder, host=host, cpus=cpus, ports=free_ports(2)))
    variables = {"SLURM_CONF": str(config)}
    daemons: list[subprocess.Popen[bytes]] = []

    def start(program: str, *options: str) -> None:
        with (folder / f"{program}.log").open("wb") as log:
            command = [shutil.which(program, path=SEARCH) or program, *options]
            environment = os.environ | variables
            daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))

    munge = {"socket": "munge.socket", "key-file": "munge.key"}
    munge |= {f"{name}-file": f"munged.{name}" for name in ("pid", "seed")}
    try:
        start("munged", "-F", "--force", *(f"--{k}={folder / v}" for k, v in munge.items()))
        start("slurmctld", "-D")
        start("slurmd", "-D")
        end = time.monotonic() + 60
        while node_state(variables) != "idle":
            if time.monotonic() > end or any(daemon.poll() is not None for daemon in daemons):
                logs = [f"{log}:\n{log.read_text()[-2000:]}" for log in folder.glob("*.log")]
                raise RuntimeError("\n".join(["the Slurm cluster did not start", *logs]))
            time.sleep(0.2)
        yield variables
    finally:
        kill_all_with(f"SLURM_CONF={config}")
        for daemon in daemons:
            daemon.wait()


def node_state(variables: dict[str, str]) -> str:
    """Ask the controller how the node is: "idle" where it can take jobs."""
    command = ["sinfo", "--noheader", "--partition=low", "--format=%T"]
    answer = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    return answer.stdout.strip()


def kill_all_with(variable: str) -> None:
    """Kill all processes that were started with this variable: the daemons and what jobs run."""
    found = True
    while found:
        found = False
        for process in Path("/proc").glob("[0-9]*"):
            # A process that has ended has no variables, and one may go while we look at it.
            with contextlib.suppress(OSError):
                if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)
                    found = True
        time.sleep(0.1)


def free_ports(number: int) -> list[int]:
    """Give TCP ports that nothing on this machine uses."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("", 0))) for _ in range(number)]
        return [one.getsockname()[1] for one in sockets]
