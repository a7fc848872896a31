"""What a notebook needs: cells that share one event loop, a progress bar, a summary as a table."""

import asyncio
import sys
import types
from datetime import timedelta
from decimal import Decimal

import pytest
from conftest import IMAGE

import golem_tasks as gt
from golem_tasks._progress import bar


async def double(ctx, number):
    return number * 2


@pytest.fixture
def bars(monkeypatch):
    """A stand-in for tqdm, and the bars that it has made."""
    made = []

    class Bar:
        def __init__(self, total=None, unit="it"):
            self.total, self.unit, self.steps, self.is_closed = total, unit, 0, False
            made.append(self)

        def update(self, steps=1):
            self.steps += steps

        def close(self):
            self.is_closed = True

    auto = types.ModuleType("tqdm.auto")
    auto.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    return made


def test_cells_share_a_golem(bars):
    loop = asyncio.new_event_loop()
    cell = lambda coroutine: loop.run_until_complete(asyncio.wait_for(coroutine, 20))  # noqa: E731
    try:
        golem = gt.Golem(devnet=2, image=IMAGE, progress=True)
        cell(golem.start())

        async def in_a_cell():
            return await golem.map(double, range(5))

        assert cell(in_a_cell()) == [0, 2, 4, 6, 8]
        assert cell(in_a_cell()) == [0, 2, 4, 6, 8]

        async def counted():
            while golem.summary.done < 10:
                await asyncio.sleep(0.01)

        cell(counted())
        assert "10 done, 0 failed" in golem._repr_html_()
        summary = cell(golem.close())
    finally:
        loop.close()
    assert summary.is_over and summary.done == 10 and summary.cost > 0
    assert [(bar.total, bar.steps, bar.unit, bar.is_closed) for bar in bars] == [(5, 5, "task", True)] * 2


def test_the_bar_of_a_map_that_is_left_early_is_closed(bars, in_loop):
    async def main():
        async with gt.Golem(devnet=2, image=IMAGE, progress=True) as golem:
            mapped = golem.map(double, iter(range(10**9)))
            async for _ in mapped:
                mapped.cancel()
                break

    in_loop(main)
    [shown] = bars
    assert shown.total is None and shown.steps >= 1 and shown.is_closed


def test_a_summary_is_a_table_in_which_names_cannot_be_code():
    summary = gt.Summary(done=3, failed=1, cost=Decimal("0.5"))
    summary.providers["0x1"] = gt.ProviderSummary("<script>alert(1)</script>", 3, 1, Decimal("0.5"), timedelta(seconds=2.25))
    html = summary._repr_html_()
    assert "3 done, 1 failed, 0.5 GLM" in html
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "<td>3</td><td>1</td><td>2.2 s</td><td>0.5</td>" in html


def test_a_bar_that_is_wanted_and_cannot_be_had_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"A progress bar needs tqdm. Install it by `pip install 'golem-tasks\[progress\]'`"):
        bar(True, 3)
    # Nobody asked for this one.
    bar(None, 3).step()


def test_nothing_is_shown_outside_of_notebooks_unless_it_is_wanted(bars):
    bar(None, 3).step()
    bar(False, 3).step()
    assert bars == []
