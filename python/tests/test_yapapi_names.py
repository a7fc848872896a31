"""The names of yapapi: which are there, and what the table in the docs says of them.

``yapapi-names.txt`` lists them, by module or class. Without pytest this file writes the table: ``python python/tests/test_yapapi_names.py``.
"""

import asyncio
import importlib
import inspect
import re
from pathlib import Path

import pytest

from golem_tasks.yapapi import NotAvailable, _absent

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "python-yapapi.md"
BEGIN, END = "<!-- names: begin -->\n", "<!-- names: end -->\n"

SERVICES, NETWORKS, REST, BY_ENGINE = (
    "there are no services yet: run a long task, or keep yapapi for this program",
    "there are no virtual networks yet: keep yapapi for this program",
    "send the request to the daemon's REST API yourself",
    "the engine does it",
)

#: What the table says of absent names, where their own sentence is longer.
SHORT = {
    _absent.SERVICES: SERVICES,
    _absent.NETWORKS: NETWORKS,
    _absent.REST: REST,
    _absent.STORAGE: "files move within the process: `Script.upload_file`, `Script.download_file` and their like",
    _absent.ENGINE: "a part of yapapi's own engine: `Golem` and its events",
}

#: Members that raise when they are called, and the way out. Whole absent names say their way out themselves.
REFUSES = {
    "yapapi.golem.Golem.run_service": SERVICES,
    "yapapi.golem.Golem.resume_service": SERVICES,
    "yapapi.golem.Golem.create_network": NETWORKS,
    "yapapi.golem.Golem.resume_network": NETWORKS,
    "yapapi.props.builder.DemandBuilder.subscribe": REST,
    "yapapi.rest.market.OfferProposal.reject": "return `SCORE_REJECTED` from `score_offer`",
    "yapapi.rest.market.OfferProposal.respond": BY_ENGINE,
    "yapapi.rest.market.OfferProposal.create_agreement": BY_ENGINE,
    "yapapi.rest.market.Agreement.confirm": BY_ENGINE,
    "yapapi.rest.market.Agreement.terminate": "return from the worker, or raise in it",
    "yapapi.strategy.base.MarketStrategy.respond_to_provider_offer": "the engine negotiates",
    "yapapi.strategy.base.MarketStrategy.invoice_accepted_amount": "the engine checks bills against use, terms and budget",
    "yapapi.strategy.base.MarketStrategy.debit_note_accepted_amount": "the engine checks bills against use, terms and budget",
}

DIFFERS = {
    "yapapi.Executor": "the one of 0.5; `payload` is another name of `package`",
    "yapapi.__version__": "`0.13.1+golem.tasks.` and the version of golem-tasks",
    "yapapi.NoPaymentAccountError": "is raised, as in 0.5: by `Executor` when it is entered, by `Golem` when the first call begins",
    "yapapi.windows_event_loop_fix": "gives Python 3.14 an event loop",
    "yapapi.config.ApiConfig": "the app key may be missing with a devnet; addresses of single APIs are read from the environment",
    "yapapi.golem.Golem.execute_tasks": "`UnfinishedTasks` or `TasksTimeout` where tasks have no result; 4 attempts each; new: `budget`, a share",
    "yapapi.golem.Golem.stop": "`wait_for_payments=False` leaves agreements to their end, with bills unsettled",
    "yapapi.executor.task.Task.reject_result": "never waits for ever: a retry counts as an attempt",
    "yapapi.executor.task.Task.running_time": "that of the last attempt",
    "yapapi.ctx.WorkContext.get_raw_usage": "what `get_usage` gives",
    "yapapi.ctx.WorkContext.get_raw_state": "`.state` has the present state and `None`",
    "yapapi.ctx.WorkContext.new_script": "without a `timeout` a script may take as long as its job",
    "yapapi.ctx.WorkContext.commit": "the same as a script",
    "yapapi.script.Script.run": "`env` reaches the command",
    "yapapi.script.Script.download_bytes": "more bytes than `limit` are an error",
    "yapapi.script.Script.download_json": "more bytes than `limit` are an error",
    "yapapi.script.Script.download_file": "the file appears whole or not at all",
    "yapapi.script.command.ProgressArgs": "is ignored: with `stream_output` progress is told of anyway",
    "yapapi.script.command.Command.evaluate": "may be `run`, `deploy`, `start`, `terminate` or a transfer from http(s)",
    "yapapi.payload.vm.repo": "the registry is asked when work begins, and `PackageException` raised then; `dev_mode` is ignored",
    "yapapi.payload.vm.manifest": "JSON or its base64, told apart by looking; the manifest is checked",
    "yapapi.payload.package.check_package_url": "asks nobody: providers check the hash",
    "yapapi.strategy.LeastExpensiveLinearPayuMS": "has caps where none are given: 0.5 GLM for the start, 5 GLM for an hour at full use",
    "yapapi.strategy.DecreaseScoreForUnconfirmedAgreement": "needn't be registered for events; the engine also puts back those that failed",
    "yapapi.strategy.MarketStrategy": "is asked again before each agreement, in a thread of the engine; `score_offer` should not wait",
    "yapapi.strategy.PropValueRange": "of the overrides only a minimum for `PROP_DEBIT_NOTE_ACCEPTANCE_TIMEOUT` is heeded; others are warned about",
    "yapapi.contrib.strategy.ProviderFilter": "counts at the next choice, not only for new offers",
    "yapapi.log.enable_default_logger": "a second call replaces the first; the flags of the APIs do nothing",
    "yapapi.events.Event": "has the time at which it happened; fields are given by name",
    "yapapi.events.NoProposalsConfirmed": "new: `explanation`, the reasons, counted",
    "yapapi.events.CommandExecuted": "has the output with `stream_output` too; new: `exit_code`, `stdout_bytes`",
    "yapapi.events.ProposalFailed": "never comes: `ProposalRejected` has the reason",
    "yapapi.events.ServiceEvent": "never comes",
    "yapapi.events.ServiceFinished": "never comes",
    "yapapi.events.ServiceStateChanged": "never comes",
    "yapapi.rest.Configuration": "the addresses only",
    "yapapi.rest.activity.Activity": "the id only",
    "yapapi.rest.activity.BatchTimeoutError": "names the command that it was at",
    "yapapi.rest.activity.CommandExecutionError": "new: `exit_code`",
    "yapapi.rest.market.Agreement": "what events know of it",
    "yapapi.rest.market.OfferProposal": "what strategies and events know of it; `id` is the provider's",
    "yapapi.rest.payment.Invoice": "id, amount and agreement",
    "yapapi.rest.payment.DebitNote": "id and amount",
    "yapapi.network.NetworkError": "is never raised",
    "yapapi.services.service_runner.ServiceRunnerError": "is never raised",
}


def names():
    """Each line's owner with its names."""
    lines = (HERE / "yapapi-names.txt").read_text().splitlines()
    return [(owner, members) for owner, *members in (line.split() for line in lines if not line.startswith("#"))]


def found(name):
    """What a name of yapapi stands for here."""
    parts = f"golem_tasks.{name}".split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            annotated = any(part in getattr(kind, "__annotations__", {}) for kind in getattr(value, "__mro__", ()))
            value = None if annotated and not hasattr(value, part) else getattr(value, part)
        return value
    raise AssertionError(name)


def state(name):
    """``works``, ``differs`` or ``absent`` with what there is to say."""
    full = getattr(found(name), "_absent", None) if inspect.isclass(found(name)) else None
    if full is not None:
        return "absent", SHORT.get(_absent.ABSENT[full], _absent.ABSENT[full])
    if name in REFUSES:
        return "absent", REFUSES[name]
    return ("differs", DIFFERS[name]) if name in DIFFERS else ("works", "")


#: The kinds of events, as the engine's source has them.
KINDS = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
    for kind in re.findall(r"^    ([A-Z]\w+)[ ,{]", (HERE.parents[1] / "crates/golem-core/src/event.rs").read_text(), re.M)
}

ALL = [f"{owner}.{member}" for owner, members in names() for member in members]


def table():
    rows = ["| of | name | | |\n", "|---|---|---|---|\n"]
    for owner, members in names():
        said = {}
        for member in members:
            said.setdefault(state(f"{owner}.{member}"), []).append(f"`{member}`")
        for kind in ("works", "differs", "absent"):
            for (which, note), which_names in said.items():
                if which == kind:
                    rows.append(f"| `{owner}` | {', '.join(which_names)} | {which} | {note} |\n")
    return "".join(rows)


@pytest.mark.parametrize("owner, members", names())
def test_each_name_of_yapapi_is_there(owner, members):
    for member in members:
        found(f"{owner}.{member}")


def test_absent_names_say_the_way_out_when_they_are_used():
    absent = sorted({name for name in ALL if state(name)[0] == "absent"})
    assert len(absent) > 50
    for name in absent:
        assert_refuses(name)


def assert_refuses(name):
    thing = found(name)
    owner = found(name.rpartition(".")[0])
    try:
        if inspect.isclass(owner) and name in REFUSES:
            arguments = [None] * (len(inspect.signature(thing).parameters))
            answer = thing(*arguments)
            if inspect.iscoroutine(answer):
                asyncio.run(answer)
        else:
            thing()
    except NotAvailable as error:
        assert "isn't available in golem_tasks.yapapi. " in str(error)
        assert len(str(error)) > len(name) + 60
    else:
        raise AssertionError(f"{name} doesn't raise")


def test_what_is_said_is_said_of_names_that_there_are():
    assert set(DIFFERS) | set(REFUSES) <= set(ALL)


def test_programs_find_each_module_in_yapapis_place():
    import subprocess
    import sys

    modules = sorted({owner for owner, _ in names() if not owner.rpartition(".")[2][0].isupper()})
    lines = [f"import {module}; assert {module} is golem_tasks.{module}" for module in modules]
    code = "\n".join(["from golem_tasks.yapapi import _alias", "import golem_tasks.yapapi", "_alias.install()", *lines])
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_the_python_column_of_coming_from_yapapi_names_what_there_is():
    import golem_tasks as gt

    lines = (HERE.parents[1] / "docs" / "coming-from-yapapi.md").read_text().splitlines()
    cells = [line.split(" | ")[2] for line in lines if line.startswith("| ") and not line.startswith("| yapapi |")]
    assert len(cells) > 150
    code = {name for cell in cells for name in re.findall("`([^`]+)`", cell)}
    settings = {name for call in (gt.Golem, gt.Golem.map, gt.Context.run) for name in inspect.signature(call).parameters}
    for name in code - {"async with", "await ctx.run(..)", "await batch", "asyncio.create_task", "return", "raise", "logging", "properties"}:
        owner, _, member = name.rpartition(".")
        if name in settings or name in KINDS or name in ("golem_tasks", "golem_tasks.yapapi", "map"):
            continue
        if name in ("vm.manifest", "Manifest", "Payload"):
            found({"vm.manifest": "yapapi.payload.vm.manifest", "Manifest": "yapapi.payload.manifest.Manifest"}.get(name, "yapapi.payload.Payload"))
        elif owner in ("", "gt"):
            assert hasattr(gt, member), name
        else:
            kind = getattr(gt, owner)
            assert hasattr(kind, member) or member in getattr(kind, "__annotations__", {}) or member == "provider", name


def test_the_table_in_the_docs_says_this():
    page = PAGE.read_text()
    assert page.split(BEGIN)[1].split(END)[0] == table(), "Run `python python/tests/test_yapapi_names.py`."


if __name__ == "__main__":
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.split(END)[1])
