"""Names of ``golem_core`` that rent, negotiate and pay: the engine does that, and they say so when they are used."""

from typing import Any, NoReturn

_WAY_OUT = {
    "GolemNode": "give PAYLOAD and get_tasks to `python -m golem_tasks run`, or use golem_tasks.Golem in a program",
    "Allocation": "the engine sets the money aside; --budget says how much",
    "Demand": "the engine publishes it; PAYLOAD says which machine you need",
    "Proposal": "the engine chooses providers; --max-price-per-hour, --provider and --exclude-provider limit the choice",
    "Agreement": "the engine signs and ends agreements; `golem-tasks show` lists them",
    "DebitNote": "the engine checks and accepts bills; the table `bills` of the database has them",
    "Invoice": "the engine checks and accepts bills; the table `bills` of the database has them",
    "Network": "networks between providers aren't supported yet",
    "Chain": "the engine has its own pipeline from offers to activities; give your tasks to it",
    "DefaultPaymentHandler": "the engine settles all bills",
    "DefaultLogger": "the run prints its events; `-v` prints more, and --log-file FILE keeps them",
}
_GENERAL = "golem_tasks.Golem and `python -m golem_tasks run` do what it was for"


def absent(name: str) -> NotImplementedError:
    """The error for the use of a name that golem_tasks doesn't have."""
    return NotImplementedError(f"golem_core.{name} isn't part of golem_tasks: {_WAY_OUT.get(name, _GENERAL)}.")


class _Absent(type):
    """The type of a class that can be imported and named in annotations, and nothing else."""

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise absent(cls.__name__)

    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise absent(f"{cls.__name__}.{name}")


def missing(name: str, module: str) -> type:
    """A class that stands for this name of ``golem_core`` and raises when it is used."""
    return _Absent(name, (), {"__module__": module, "__doc__": str(absent(name))})


GolemNode = missing("GolemNode", "golem_tasks.golem_core")
