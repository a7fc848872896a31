"""Logs, settings of old programs and helpers of yapapi."""

import asyncio
import logging
import re
import warnings

import pytest

from golem_tasks.yapapi import Golem, _legacy, events, get_version, utils, windows_event_loop_fix
from golem_tasks.yapapi.engine import Job, NoPaymentAccountError
from golem_tasks.yapapi.log import SummaryLogger, enable_default_logger, log_event, log_event_repr, log_summary, pluralize, str_capped
from golem_tasks.yapapi.rest.market import Agreement


@pytest.fixture
def logger():
    """The logger of yapapi, as it was afterwards."""
    logger = logging.getLogger("yapapi")
    level, handlers = logger.level, list(logger.handlers)
    yield logger
    for handler in [handler for handler in logger.handlers if handler not in handlers]:
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(level)


def rejected():
    return events.AgreementRejected(job=Job("7", None, None), agreement=Agreement("0x1", "ada", "agr"), reason="no time")


def test_the_default_logger_writes_to_the_screen_and_all_to_a_file(logger, tmp_path, capsys):
    file = tmp_path / "ü.log"
    for _ in range(2):
        enable_default_logger(log_file=file)
    assert len([handler for handler in logger.handlers if getattr(handler, "_yapapi_default", False)]) == 2
    try:
        raise ValueError("a mistake with ß")
    except ValueError:
        logging.getLogger("yapapi.executor").warning("it failed", exc_info=True)
    logging.getLogger("yapapi.executor").debug("a detail")
    screen, whole = capsys.readouterr().err, file.read_text(encoding="utf-8")
    stamp = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} "
    assert re.fullmatch(stamp + r"WARNING yapapi\.executor\] it failed\nValueError: a mistake with ß\n", screen), screen
    assert re.match(stamp, whole) and "Traceback" in whole and "DEBUG yapapi.executor] a detail" in whole


def test_tracebacks_are_shown_where_they_are_asked_for(logger, capsys, monkeypatch):
    monkeypatch.setenv("YAPAPI_TRACEBACK", "1")
    enable_default_logger()
    try:
        raise ValueError("a mistake")
    except ValueError:
        logging.getLogger("yapapi").error("it failed", exc_info=True)
    assert "Traceback" in capsys.readouterr().err


def test_events_are_logged_in_words_and_as_python_writes_them(caplog):
    event = rejected()
    with caplog.at_level(logging.DEBUG, "yapapi.events"):
        log_event(event)
        log_event_repr(event)
    words, written = caplog.messages
    assert words == "Agreement rejected, job = Job(id='7'), agreement = Agreement(id='agr', provider_name='ada'), reason = no time"
    assert written == "AgreementRejected(job=Job(id='7'), agreement=Agreement(id='agr', provider_name='ada'), reason='no time')"
    failed = events.ShutdownFinished(exc_info=(ValueError, ValueError("x"), None))
    assert repr(failed) == "ShutdownFinished(exception=ValueError('x'))" and failed.exception.args == ("x",)


def test_a_summary_hands_events_on_and_survives_its_own_mistakes(caplog):
    heard = []
    consumer = log_summary(heard.append)
    event = rejected()
    broken = events.AgreementRejected(job=None, agreement=None)
    with caplog.at_level(logging.DEBUG, "yapapi"):
        consumer(event)
        consumer(broken)
    assert heard == [event, broken]
    assert caplog.messages[0] == "[Job 7] No agreement with provider 'ada': no time"
    assert "The summary failed on" in caplog.messages[1]
    assert callable(SummaryLogger().log)


def test_words_for_counts_and_long_texts():
    assert (pluralize(1, "task"), pluralize(0, "task")) == ("1 task", "0 tasks")
    assert (str_capped("abcdef", 6), str_capped("abcdefg", 6), str_capped(12, 6)) == ("abcdef", "abc...", "12")


# ---- settings of old programs ----


@pytest.mark.parametrize(
    "translate, old, new",
    [
        (_legacy.driver, "ZkSync", "erc20"),
        (_legacy.network, "rinkeby", "hoodi"),
        (_legacy.network, "Goerli", "hoodi"),
        (_legacy.network, "holesky", "hoodi"),
        (_legacy.subnet, "community.4", "public"),
        (_legacy.subnet, "devnet-beta", "public"),
    ],
)
def test_dead_names_are_translated_with_one_warning(translate, old, new, monkeypatch):
    monkeypatch.setattr(_legacy, "_told", set())
    with pytest.warns(UserWarning, match=f"no longer exists. The program uses `{new}` instead."):
        assert translate(old) == new
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert translate(old) == new


def test_what_a_program_says_wins_over_the_environment_and_that_over_defaults(monkeypatch):
    for name in ("YAGNA_PAYMENT_DRIVER", "YAGNA_PAYMENT_NETWORK", "YAGNA_SUBNET"):
        monkeypatch.delenv(name, raising=False)
    golem = Golem(budget=1)
    assert (golem.payment_driver, golem.payment_network, golem.subnet_tag) == ("erc20", "hoodi", "public")
    for name, value in (("YAGNA_PAYMENT_DRIVER", "Other"), ("YAGNA_PAYMENT_NETWORK", "Polygon"), ("YAGNA_SUBNET", "mine")):
        monkeypatch.setenv(name, value)
    golem = Golem(budget=1)
    assert (golem.payment_driver, golem.payment_network, golem.subnet_tag) == ("other", "polygon", "mine")
    golem = Golem(budget=1, payment_driver="erc20", network="Mainnet", subnet_tag="")
    assert (golem.driver, golem.network, golem.subnet_tag) == ("erc20", "mainnet", "")


def test_the_app_key_as_an_argument_is_an_old_way():
    with pytest.warns(DeprecationWarning, match="api_config=ApiConfig"):
        assert Golem(budget=1, app_key="secret")._api.app_key == "secret"


def test_a_missing_account_names_the_command_that_mends_it():
    text = str(NoPaymentAccountError("erc20", "polygon"))
    assert "`yagna payment init --sender --driver erc20 --network polygon`" in text


# ---- helpers ----


def test_helpers():
    assert utils.explode_dict({"a.b": 1, "a.c": {"d.e": 2}, "l.1": "y", "l.0": "x"}) == {"a": {"b": 1, "c": {"d": {"e": 2}}}, "l": ["x", "y"]}
    assert utils.strtobool(" Yes ") and not utils.strtobool("off")
    with pytest.raises(ValueError, match="Write `1` or `0`"):
        utils.strtobool("perhaps")
    assert utils.utc_now().tzinfo is not None and utils.get_local_timezone() is not None
    assert get_version().startswith("0.13.1+golem.tasks.")
    with pytest.warns(DeprecationWarning, match="The parameter `old` is deprecated since 1.0. Use `new` instead."):
        utils.warn_deprecated("old", "new", "1.0", utils.Deprecated.parameter)


def test_the_logger_with_a_job_names_it(caplog):
    with caplog.at_level(logging.INFO, "yapapi"):
        utils.get_logger("yapapi.mine").info("hello", job_id="3")
    assert caplog.messages == ["[Job 3] hello"]


def test_the_event_loop_fix_leaves_a_loop_to_work_with():
    def in_a_thread():
        asyncio.set_event_loop(asyncio.new_event_loop())
        windows_event_loop_fix()
        asyncio.get_event_loop().close()
        return True

    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(in_a_thread).result()
