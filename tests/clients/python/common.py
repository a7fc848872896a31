"""What the yapapi cases share: the image they ask for, how they run, and what they look at afterwards."""

import asyncio
import os
import sys
import traceback
from datetime import timedelta

from yapapi import Golem, events
from yapapi.log import enable_default_logger
from yapapi.payload import vm

# Providers refuse a demand that ends in less than five minutes, and one of more than half an hour that promises nothing.
JOB_TIMEOUT = timedelta(minutes=10)
# One script's time: a task that hangs fails its case instead of waiting for the whole job.
SCRIPT_TIMEOUT = timedelta(seconds=30)

IMAGE_HASH = "d646d7b93083d817846c2ae5c62c72ca0507782385a2e29291a3d376"
IMAGE_TAG = "golem-tasks/hello:latest"


async def image(**needs):
    """The payload, with the image at an address of its own."""
    return await vm.repo(image_hash=IMAGE_HASH, image_url=f"{os.environ['REGISTRY_URL']}/image.gvmi", **needs)


async def image_by_tag():
    """The payload, with the image looked up in a registry."""
    return await vm.repo(image_tag=IMAGE_TAG, repository_url=os.environ["REGISTRY_URL"])


class Seen:
    """Counts what Golem tells while it works; `golem(seen)` fills it.

    yapapi tries a task again and again with other providers when a worker fails. That ends the case here, unless it
    says how many failures it expects.
    """

    def __init__(self, failures_expected=0):
        self.failures_expected = failures_expected
        self.case = asyncio.current_task()
        self.agreements = set()
        self.paid = set()
        self.failures = []
        self.events = []

    def __call__(self, event):
        self.events.append(event)
        if isinstance(event, events.AgreementConfirmed):
            self.agreements.add(event.agreement.id)
        elif isinstance(event, events.InvoiceAccepted):
            self.paid.add(event.agreement.id)
        elif isinstance(event, events.WorkerFinished) and event.exception is not None:
            self.failures_expected -= 1
            if self.failures_expected < 0:
                print(f"a worker failed: {event.exception!r}", file=sys.stderr)
                self.case.cancel()
        elif isinstance(event, (events.PaymentFailed, events.SubscriptionFailed, events.CollectFailed)):
            self.failures.append(event)

    def of(self, kind):
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def check_all_paid(self):
        """Every agreement's invoice came and was accepted, and no background work failed."""
        assert not self.failures, f"these failed: {self.failures}"
        assert self.agreements, "there was no agreement at all"
        assert self.paid == self.agreements, f"agreements {self.agreements}, paid {self.paid}"


def golem(seen, **options):
    """A `Golem` as a user would make it, which also tells `seen` what happens."""
    golem = Golem(budget=10.0, **options)
    golem.add_event_consumer(seen)
    return golem


def run(case):
    """Runs the case; the process ends with 1 and a traceback when anything in it is wrong."""
    enable_default_logger()
    try:
        asyncio.run(case())
    except BaseException:
        traceback.print_exc()
        sys.exit(1)
