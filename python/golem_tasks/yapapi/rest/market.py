"""Offers and agreements as strategies and events see them."""

from __future__ import annotations

from typing import Any, Dict, Optional, Type, TypeVar

from golem_tasks.yapapi._absent import REST, absent, refuse
from golem_tasks.yapapi.props import NodeInfo
from golem_tasks.yapapi.props.base import Model

__all__ = ["Agreement", "AgreementDetails", "AsyncResource", "Market", "OfferProposal", "Subscription"]

ModelType = TypeVar("ModelType", bound=Model)


class OfferProposal:
    """An offer of a provider."""

    def __init__(self, issuer: str, props: Dict[str, Any], name: Optional[str] = None) -> None:
        self._issuer = issuer
        self._props = props
        self._name = name or props.get("golem.node.id.name")

    @property
    def id(self) -> str:
        """The id of the provider, which has one offer at a time."""
        return self._issuer

    @property
    def issuer(self) -> str:
        """The id of the provider."""
        return self._issuer

    @property
    def props(self) -> Dict[str, Any]:
        """The properties of the offer; none in events."""
        return self._props

    @property
    def provider_name(self) -> Optional[str]:
        """The provider's name for itself."""
        return self._name

    @property
    def is_draft(self) -> bool:
        """False: strategies are asked about offers, and the engine negotiates."""
        return False

    async def reject(self, reason: str = "Rejected") -> None:
        """Not available: a strategy rejects an offer by its score."""
        refuse("yapapi.rest.market.OfferProposal.reject", "Return `SCORE_REJECTED` from `score_offer`.")

    async def respond(self, props: Dict[str, Any], constraints: str) -> str:
        """Not available: the engine negotiates."""
        refuse("yapapi.rest.market.OfferProposal.respond", REST)

    async def create_agreement(self, timeout: Any = None) -> "Agreement":
        """Not available: the engine signs agreements."""
        refuse("yapapi.rest.market.OfferProposal.create_agreement", REST)

    def __repr__(self) -> str:
        return f"OfferProposal(issuer={self._issuer!r}, provider_name={self._name!r})"


class _View:
    def __init__(self, properties: Dict[str, Any]) -> None:
        self.properties = properties

    def extract(self, m: Type[ModelType]) -> ModelType:
        """Make a model of these properties."""
        return m.from_properties(self.properties)


class AgreementDetails:
    """An agreement as the two sides signed it."""

    def __init__(self, agreement_id: Optional[str], provider: Dict[str, Any], requestor: Optional[Dict[str, Any]] = None) -> None:
        self._id = agreement_id
        self._provider = _View(provider)
        self._requestor = _View(requestor or {})

    @property
    def agreement_id(self) -> Optional[str]:
        """The id of the agreement."""
        return self._id

    @property
    def provider_view(self) -> _View:
        """The provider's side."""
        return self._provider

    @property
    def requestor_view(self) -> _View:
        """The requestor's side; nothing is known of it where only events tell of the agreement."""
        return self._requestor

    @property
    def provider_node_info(self) -> NodeInfo:
        """The provider's name and subnet."""
        return self._provider.extract(NodeInfo)


class Agreement:
    """An agreement with a provider."""

    def __init__(self, provider_id: str, provider_name: str, agreement_id: Optional[str] = None) -> None:
        self._id = agreement_id
        self.provider_id = provider_id
        self.provider_name = provider_name
        self._terminated = False

    @property
    def id(self) -> Optional[str]:
        """The id of the agreement; ``None`` before the daemon gave one."""
        return self._id

    @property
    def details(self) -> AgreementDetails:
        """The known facts of the agreement: the provider's name."""
        return AgreementDetails(self._id, {"golem.node.id.name": self.provider_name})

    async def get_details(self) -> AgreementDetails:
        """Return :attr:`details`."""
        return self.details

    @property
    def terminated(self) -> bool:
        """True once the agreement has ended."""
        return self._terminated

    async def get_provider_property(self, prop_key: str) -> Any:
        """Return a property of the provider's side; ``None`` if it isn't known here."""
        return self.details.provider_view.properties.get(prop_key)

    async def confirm(self) -> bool:
        """Not available: the engine signs agreements."""
        refuse("yapapi.rest.market.Agreement.confirm", REST)

    async def terminate(self, reason: Dict[str, Any]) -> bool:
        """Not available: the engine ends agreements."""
        refuse("yapapi.rest.market.Agreement.terminate", "Let the worker return or raise: the engine ends its agreement.")

    def __repr__(self) -> str:
        return f"Agreement(id={self._id!r}, provider_name={self.provider_name!r})"


class Subscription:
    """A demand on the market."""

    def __init__(self, subscription_id: str) -> None:
        self._id = subscription_id

    @property
    def id(self) -> str:
        """The id of the demand."""
        return self._id

    def __repr__(self) -> str:
        return f"Subscription(id={self._id!r})"


Market = absent(__name__, "Market", REST)
AsyncResource = absent(__name__, "AsyncResource", REST)
