"""Strategies and payloads of yapapi: which offers are taken, and what a demand asks for."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import List

import pytest

from golem_tasks.yapapi import Golem, Task, _mode, events
from golem_tasks.yapapi.contrib.strategy import ProviderFilter
from golem_tasks.yapapi.errors import TasksTimeout
from golem_tasks.yapapi.payload import Payload, vm
from golem_tasks.yapapi.payload.manifest import Manifest
from golem_tasks.yapapi.props import InvalidPropertiesError, NodeInfo, com, constraint, inf, prop
from golem_tasks.yapapi.props.base import ConstraintException, Model, join_str_constraints
from golem_tasks.yapapi.props.builder import DemandBuilder
from golem_tasks.yapapi.rest.market import Agreement, OfferProposal
from golem_tasks.yapapi.strategy import (
    PROP_DEBIT_NOTE_ACCEPTANCE_TIMEOUT,
    PROP_PAYMENT_TIMEOUT_SEC,
    SCORE_REJECTED,
    DecreaseScoreForUnconfirmedAgreement,
    DummyMS,
    LeastExpensiveLinearPayuMS,
    MarketStrategy,
    PropValueRange,
    WrappingMarketStrategy,
)

IMAGE = "9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae"


@pytest.fixture(autouse=True)
def devnet():
    _mode.turn_devnet_on(_mode.DevnetMode(providers=4, instant=True, seed=1, scripted=[]))
    yield
    _mode.turn_devnet_on(None)


async def worker(ctx, tasks):
    async for task in tasks:
        yield ctx.new_script()
        task.accept_result((ctx.provider_id, ctx.provider_name))


def providers(strategy=None, payload=None, tasks=4, timeout=20.0, **settings):
    """Who does some tasks under this strategy, and the events."""
    heard = []

    async def main():
        async with Golem(budget=1, strategy=strategy, event_consumer=heard.append) as golem:
            image = payload or await vm.repo(image_hash=IMAGE)
            pile = [Task(data=n) for n in range(tasks)]
            limit = timedelta(seconds=timeout)
            return {t.result async for t in golem.execute_tasks(worker, pile, image, timeout=limit, **settings)}

    return asyncio.run(asyncio.wait_for(main(), 30)), heard


def rejections(heard):
    return {event.reason for event in heard if isinstance(event, events.ProposalRejected)}


# ---- strategies on a market ----


class Recorder(MarketStrategy):
    """Takes one provider, and notes what it is asked about."""

    def __init__(self, choose):
        self.choose = choose
        self.seen = {}

    async def score_offer(self, offer):
        self.seen[offer.issuer] = offer
        return 1.0 if self.choose(offer) else SCORE_REJECTED


def test_a_strategy_of_the_program_sees_whole_offers_and_decides():
    first = []
    strategy = Recorder(lambda offer: offer.issuer == (first.append(offer.issuer) or first[0]))
    done, heard = providers(strategy)
    ((provider_id, name),) = done
    assert provider_id == first[0] and len(strategy.seen) == 4
    offer = strategy.seen[provider_id]
    assert NodeInfo.from_properties(offer.props).name == name == offer.provider_name
    prices = com.ComLinear.from_properties(offer.props)
    assert prices.price_for[com.Counter.TIME] == prices.price_for["golem.usage.duration_sec"] >= 0
    assert prices.fixed_price >= 0 and com.Counter.CPU in prices.price_for
    assert inf.InfBase.from_properties(offer.props).runtime == "vm"
    assert rejections(heard) == {"Score too low"}


def test_the_highest_score_is_chosen():
    class ByName(MarketStrategy):
        def __init__(self):
            self.names = set()

        async def score_offer(self, offer):
            self.names.add(offer.provider_name)
            return float(len(offer.provider_name))

    strategy = ByName()
    ((_, name),), _ = providers(strategy, tasks=1, max_workers=1)
    assert len(strategy.names) == 4 and len(name) == max(map(len, strategy.names))


def test_a_strategy_that_waits_is_warned_about_and_works(caplog):
    class Waits(MarketStrategy):
        async def score_offer(self, offer):
            await asyncio.sleep(0.01)
            return 1.0

    done, _ = providers(Waits())
    assert done
    assert "The strategy Waits waits while it scores an offer" in caplog.text


def test_a_strategy_that_fails_on_an_offer_rejects_that_offer(caplog):
    class Picky(MarketStrategy):
        async def score_offer(self, offer):
            if not good:
                good.append(offer.issuer)
            if offer.issuer not in good:
                raise KeyError("no such provider")
            return 1.0

    good = []
    done, heard = providers(Picky())
    assert {provider_id for provider_id, _ in done} == set(good)
    assert rejections(heard) == {"The strategy failed on this offer"}
    assert "no such provider" in caplog.text


def test_a_strategy_of_0_5_gets_the_history_of_providers():
    from golem_tasks.yapapi.executor.strategy import LeastExpensiveLinearPayuMS as Least

    asked = []

    class Old(Least):
        async def score_offer(self, offer, history):
            asked.append(history.rejected_last_agreement(offer.issuer))
            return await super().score_offer(offer, history)

    done, _ = providers(Old())
    assert done and set(asked) == {False}


@pytest.mark.parametrize("later", [False, True])
def test_a_provider_filter_may_be_a_function_or_a_coroutine_function(later):
    only = []

    def allowed(provider_id):
        if not only:
            only.append(provider_id)
        return provider_id in only

    async def allowed_later(provider_id):
        return allowed(provider_id)

    done, _ = providers(ProviderFilter(LeastExpensiveLinearPayuMS(), allowed_later if later else allowed))
    assert {provider_id for provider_id, _ in done} == set(only)


@pytest.mark.parametrize(
    "caps",
    [
        {"max_price_for": {com.Counter.TIME: Decimal("1e-12")}},
        {"max_price_for": {"golem.usage.cpu_sec": Decimal("1e-12")}},
        {"max_price_for": {com.Counter.TIME: Decimal("1e-12")}, "expected_time_secs": 30},
    ],
)
def test_offers_above_a_cap_are_not_taken(caps):
    strategy = DecreaseScoreForUnconfirmedAgreement(LeastExpensiveLinearPayuMS(**caps), 0.5)
    with pytest.raises(TasksTimeout):
        providers(strategy, timeout=0.4)


@pytest.mark.parametrize("memory, fits", [(0.1, True), (100000, False)])
def test_a_strategy_adds_to_the_demand(memory, fits):
    class Demanding(LeastExpensiveLinearPayuMS):
        async def decorate_demand(self, demand):
            await super().decorate_demand(demand)
            demand.ensure(f"(golem.inf.mem.gib>={memory})")
            demand.add_properties({"golem.example.wish": 1.5})

    if fits:
        assert providers(Demanding())[0]
    else:
        with pytest.raises(TasksTimeout):
            providers(Demanding(), timeout=0.4)


def test_what_the_engine_decides_itself_is_warned_about(caplog):
    class Negotiates(LeastExpensiveLinearPayuMS):
        acceptable_prop_value_range_overrides = {
            PROP_DEBIT_NOTE_ACCEPTANCE_TIMEOUT: PropValueRange(45, None),
            PROP_PAYMENT_TIMEOUT_SEC: PropValueRange(60, 600),
        }

        async def invoice_accepted_amount(self, invoice):
            return Decimal(0)

    done, _ = providers(Negotiates())
    assert done, "its minimum for debit notes fits"
    assert "sets `invoice_accepted_amount`, `golem.com.scheme.payu.payment-timeout-sec?`, which the engine decides itself" in caplog.text


# ---- strategies alone ----


def offer(fixed=0.0, cpu=0.01, time=0.02, counters=("golem.usage.cpu_sec", "golem.usage.duration_sec"), **changes):
    props = {
        "golem.com.scheme": "payu",
        "golem.com.pricing.model": "linear",
        "golem.com.pricing.model.linear.coeffs": [cpu, time, fixed],
        "golem.com.usage.vector": list(counters),
        **changes,
    }
    return OfferProposal("0x1", {key: value for key, value in props.items() if value is not None})


def score(strategy, proposal):
    return asyncio.run(strategy.score_offer(proposal))


def test_the_least_expensive_has_the_highest_score_and_caps_reject():
    plain = LeastExpensiveLinearPayuMS()
    assert score(plain, offer()) == pytest.approx(100 / (60 * 0.03 + 1.01))
    assert score(plain, offer(cpu=0, time=0)) > score(plain, offer(cpu=0)) > score(plain, offer()) > score(plain, offer(fixed=1))
    assert score(plain, offer(cpu=1, time=0, fixed=2)) > 0, "whole numbers are prices too"
    for bad in (offer(cpu=-1), offer(fixed=-1), offer(**{"golem.com.pricing.model": "square"}), offer(counters=["a"])):
        assert score(plain, bad) == SCORE_REJECTED
    capped = LeastExpensiveLinearPayuMS(max_fixed_price=Decimal("0.5"), max_price_for={com.Counter.CPU: Decimal("0.01")})
    assert score(capped, offer(fixed=0.5)) > 0
    assert score(capped, offer(fixed=0.51)) == score(capped, offer(cpu=0.011)) == SCORE_REJECTED
    assert score(DummyMS(), offer(cpu=0.01, time=0.002)) == 0
    assert score(DummyMS(), offer(cpu=0.01, time=0.003)) == SCORE_REJECTED


def test_a_provider_that_did_not_approve_is_put_back_until_it_does():
    strategy = DecreaseScoreForUnconfirmedAgreement(LeastExpensiveLinearPayuMS(), 0.5)
    whole = score(strategy, offer())
    about = {"job": None, "agreement": Agreement("0x1", "one")}
    strategy.on_event(events.AgreementRejected(**about))
    assert score(strategy, offer()) == whole / 2
    assert score(strategy, offer(fixed=-1)) == SCORE_REJECTED
    strategy.on_event(events.AgreementConfirmed(**about))
    assert score(strategy, offer()) == whole


def test_a_wrapping_strategy_passes_everything_on():
    class Inner(LeastExpensiveLinearPayuMS):
        colour = "red"

        async def decorate_demand(self, demand):
            demand.ensure("(a=b)")

    class Outer(WrappingMarketStrategy):
        pass

    outer, demand = Outer(Inner()), DemandBuilder()
    asyncio.run(outer.decorate_demand(demand))
    assert (outer.colour, demand.constraints) == ("red", "(a=b)")
    assert score(outer, offer()) == score(outer.base_strategy, offer())
    with pytest.raises(AttributeError):
        outer.nothing  # noqa: B018


def test_ranges_contain_and_clamp():
    both = PropValueRange(10, 20)
    assert [both.clamp(n) for n in (5, 15, 25)] == [10, 15, 20]
    assert 10 in both and 20 in both and 9.9 not in both and 5 in PropValueRange(None, 5)
    assert PropValueRange().clamp(7) == 7
    with pytest.raises(ValueError, match="is empty"):
        PropValueRange(2, 1).clamp(0)


# ---- payloads and properties ----


@dataclass
class Needs(Payload):
    package: str = prop("golem.srv.comp.task_package", default=f"hash:sha3:{IMAGE}:http://127.0.0.1/image")
    format: str = prop("golem.srv.comp.vm.package_format", default="gvmkit-squash")
    ratio: float = prop("golem.example.ratio", default=0.5)
    runtime: str = constraint(inf.INF_RUNTIME_NAME, default=inf.RUNTIME_VM)
    memory: float = constraint(inf.INF_MEM, operator=">=", default=0.25)


def test_a_payload_of_the_program_is_what_is_asked_for():
    done, _ = providers(payload=Needs())
    assert done
    with pytest.raises(TasksTimeout):
        providers(payload=Needs(memory=100000.0), timeout=0.4)


def test_a_demand_is_made_of_models():
    @dataclass
    class Several(Model):
        many: List[str] = constraint("some.many", default_factory=list)
        when: datetime = prop("some.when", default=datetime(2026, 1, 1, tzinfo=timezone.utc))
        money: Decimal = prop("some.money", default=Decimal("0.25"))
        nothing: str = prop("some.nothing", default=None)
        enabled: bool = constraint("some.enabled", default=True)
        other: int = field(default=1)

    demand = DemandBuilder()
    demand.add(Several(many=["a", "b"]))
    demand.ensure("(x<=3)")
    assert demand.properties == {"some.when": 1767225600000, "some.money": 0.25}
    assert demand.constraints == "(&(&(some.many=a)\n\t(some.many=b))\n\t(some.enabled=true)\n\t(x<=3))"
    assert json.dumps(demand.properties)
    with pytest.raises(TypeError, match="`some.object` is of the type `object`"):
        demand.add_properties({"some.object": object()})
    assert DemandBuilder().constraints == "(&)"


def test_constraints_join_by_and_or_and_not():
    assert join_str_constraints(["(a=1)", "(b=2)"], "|") == "(|(a=1)\n\t(b=2))"
    assert join_str_constraints(["(a=1)"]) == "(a=1)"
    assert join_str_constraints(["(a=1)"], "!") == "(!(a=1))"
    for wrong in ([], ["(a=1)", "(b=2)"]):
        with pytest.raises(ConstraintException):
            join_str_constraints(wrong, "!")
    with pytest.raises(ConstraintException, match="`<>` is not an operator"):
        constraint("a", operator="<>")


def test_models_are_read_from_properties_or_say_why_not():
    assert NodeInfo.from_properties({"golem.node.id.name": "ada", "other": 1}) == NodeInfo(name="ada")
    assert [key.value for key in NodeInfo.property_keys()] == ["golem.node.id.name", "golem.node.debug.subnet"]
    with pytest.raises(InvalidPropertiesError, match="golem.com.scheme"):
        com.ComLinear.from_properties(offer(**{"golem.com.scheme": "barter"}).props)
    with pytest.raises(InvalidPropertiesError, match="runtime"):
        inf.InfBase.from_properties({"golem.inf.mem.gib": 1.0})
    prices = com.ComLinear.from_properties(offer(fixed=1).props)
    assert prices.calculate_cost([10, 100]) == pytest.approx(1 + 0.1 + 2)
    assert prices.usage_as_dict([1, 2]) == {"golem.usage.cpu_sec": 1, "golem.usage.duration_sec": 2}


def test_a_machine_says_what_its_demand_will_say():
    async def main():
        demand = DemandBuilder()
        machine = await vm.repo(image_hash=IMAGE, min_mem_gib=1.5, capabilities=["vpn"])
        await machine.decorate_demand(demand)
        return demand, await machine.resolve_url()

    demand, url = asyncio.run(main())
    assert url == demand.properties["golem.srv.comp.task_package"]
    assert url.startswith(f"hash:sha3:{IMAGE}:http")
    for part in ("golem.inf.mem.gib>=1.5", "golem.runtime.capabilities=vpn", "golem.runtime.name=vm"):
        assert part in demand.constraints


# ---- manifests ----

MANIFEST = {
    "version": "0.1.0",
    "createdAt": "2026-01-01T00:00:00+00:00",
    "expiresAt": "2100-01-01T00:00:00+00:00",
    "metadata": {"name": "crawler", "version": "1.0.0", "authors": ["ada"]},
    "payload": [{"hash": f"sha3:{IMAGE}", "urls": ["http://127.0.0.1/image"], "platform": {"arch": "x86_64", "os": "linux"}}],
    "compManifest": {
        "version": "0.1.0",
        "script": {"commands": ["run .*"], "match": "regex"},
        "net": {"inet": {"out": {"protocols": ["https"], "urls": ["https://example.org"]}}},
    },
}


def test_a_manifest_is_read_and_written_the_same():
    manifest = Manifest.parse_obj(MANIFEST, by_alias=True)
    assert manifest.dict(by_alias=True) == MANIFEST
    assert manifest.comp_manifest.net.inet.out.urls == ["https://example.org"]
    assert Manifest.parse_obj(manifest.dict()) == manifest
    with pytest.raises(TypeError, match="`paylod` is not a field of `Manifest`"):
        Manifest.parse_obj({"paylod": []})


def test_certificates_come_as_pem_as_der_and_as_base64_of_them():
    import base64

    der = b"\x30\x82" + bytes(range(200))
    pem = "-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der).decode() + "-----END CERTIFICATE-----\n"

    async def certificate(given):
        parts = {"manifest_sig": b"signed", "manifest_sig_algorithm": "sha256", "manifest_cert": given}
        return (await vm.manifest(manifest="{}", **parts)).certificate

    for given in (pem, pem.encode(), der, base64.b64encode(der), base64.b64encode(pem.encode()).decode()):
        assert asyncio.run(certificate(given)) == pem
    with pytest.raises(ValueError, match="neither PEM nor DER"):
        asyncio.run(certificate("no certificate"))


def test_a_manifest_becomes_a_payload_from_text_bytes_and_base64():
    import base64

    text = json.dumps(MANIFEST)

    async def demand_of(manifest):
        demand = DemandBuilder()
        await (await vm.manifest(manifest=manifest)).decorate_demand(demand)
        return demand

    for form in (text, text.encode(), base64.b64encode(text.encode()).decode()):
        demand = asyncio.run(demand_of(form))
        assert json.loads(base64.b64decode(demand.properties["golem.srv.comp.payload"])) == MANIFEST
        assert "golem.runtime.capabilities=manifest-support" in demand.constraints
