"""Events of ``golem_core``. There is no event bus here: the engine keeps what happens in the database of runs.

The names can be imported, so that a module that mentions them runs; nothing ever sends such an event.
"""

from ._absent import missing

BatchFinished = missing("BatchFinished", __name__)
Event = missing("Event", __name__)
NewResource = missing("NewResource", __name__)
ResourceClosed = missing("ResourceClosed", __name__)
ResourceDataChanged = missing("ResourceDataChanged", __name__)
ResourceEvent = missing("ResourceEvent", __name__)
ShutdownFinished = missing("ShutdownFinished", __name__)
