"""The beat that a worker with `-B` starts."""

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection

import psutil
from celery.signals import beat_embedded_init

from workbench import celery


def beat(told: Connection) -> None:
    celery.SECONDS = 0.05
    beat_embedded_init.send(sender=None)
    told.send(os.getpid())
    time.sleep(60)


def worker(told: Connection) -> None:
    fork.Process(target=beat, args=(told,)).start()
    time.sleep(60)


fork = multiprocessing.get_context("fork")


def test_it_does_not_outlive_a_worker_that_was_killed() -> None:
    here, there = fork.Pipe()
    process = fork.Process(target=worker, args=(there,))
    process.start()
    assert here.poll(20)
    child = psutil.Process(here.recv())
    time.sleep(0.2)
    assert child.is_running(), "it lives as long as its worker does"
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
