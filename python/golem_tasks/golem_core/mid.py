"""The pipeline of ``golem_core`` from offers to activities. The engine has its own, so each of these names raises when it is used."""

from ._absent import missing

Buffer = missing("Buffer", __name__)
Chain = missing("Chain", __name__)
DefaultPaymentHandler = missing("DefaultPaymentHandler", __name__)
Limit = missing("Limit", __name__)
Map = missing("Map", __name__)
SimpleScorer = missing("SimpleScorer", __name__)
Zip = missing("Zip", __name__)
default_create_activity = missing("default_create_activity", __name__)
default_create_agreement = missing("default_create_agreement", __name__)
default_negotiate = missing("default_negotiate", __name__)
