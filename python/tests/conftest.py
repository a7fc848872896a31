"""What tests have in common: a devnet in this process, and asserts about what is left of it."""

import asyncio
import contextlib

import pytest

import golem_tasks as gt

IMAGE = "golem/alpine:latest"


@contextlib.asynccontextmanager
async def network(providers=2, **settings):
    """A devnet that answers at once; at its end nothing may be left open on it."""
    devnet = await gt.Devnet.start(providers, instant=True, seed=7, **settings)
    try:
        yield devnet
        assert devnet.open_agreements() == 0
        assert devnet.unpaid_invoices() == 0
    finally:
        await devnet.stop()


@contextlib.asynccontextmanager
async def golem(providers=2, scripted=None, **settings):
    """A Golem on a devnet of its own."""
    async with network(providers, scripted=scripted) as devnet:
        async with gt.Golem(devnet=devnet, **{"image": IMAGE, **settings}) as golem:
            yield golem


@pytest.fixture
def in_loop():
    """Runs a coroutine function in an event loop, for at most half a minute."""

    def run(main):
        return asyncio.run(asyncio.wait_for(main(), 30))

    return run
