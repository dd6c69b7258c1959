"""Alerts on their way: to a real mail server, a webhook and an Alertmanager, each of which may fail."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from receivers import MailServer, WebServer, hanging, refused, serving

from pipelines import settings as settings_module
from pipelines.alerting import deliver as deliver_module
from pipelines.alerting.deliver import deliver
from pipelines.alerting.try_out import try_channels
from pipelines.backup.plain_settings import plain_settings
from pipelines.ledger import Ledger
from pipelines.settings import Settings

HOUR = timedelta(hours=1)
TOKEN = "T0ken-XyZ"
Set = Callable[..., Settings]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with serving(MailServer()) as server:
        yield server


@pytest.fixture
def web() -> Iterator[WebServer]:
    with serving(WebServer()) as server:
        yield server


@pytest.fixture
def ledger(home: Settings) -> Iterator[Ledger]:
    with Ledger.open(home) as opened:
        yield opened


@pytest.fixture
def set_up(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Set:
    def given(**channels: str) -> Settings:
        for name, address in channels.items():
            monkeypatch.setenv(f"AIMASS_ALERT_{name.upper()}", address)
        return settings_module.load()

    return given


def hook(web: WebServer) -> str:
    return f"{web.address}/services/{TOKEN}?thread=a%20b"


def test_mails_say_that_it_fires_and_that_it_is_over(ledger: Ledger, mail: MailServer, set_up: Set) -> None:
    settings = set_up(mail=mail.address)
    ledger.alert("churn", "drift", "1 of 3 columns shifted: Größe", "check:drift", ["Größe"])
    for _ in range(2):
        deliver(settings, ledger)
    (subject, text, recipients) = mail.mails[0]
    assert len(mail.mails) == 1, "once"
    assert subject == "[FIRING 1] churn: drift"
    assert "FIRING drift, since" in text
    assert "1 of 3 columns shifted: Größe" in text
    (row,) = ledger.alerts()
    assert f"aimass alerts silence --fingerprint {row.fingerprint} --for 2h" in text
    assert recipients == ["ops@example.com"]
    assert mail.logins == ["monitor s3cret-Pass"]
    ledger.resolve_alert("churn", "check:drift")
    for _ in range(2):
        deliver(settings, ledger)
    assert [subject for subject, _, _ in mail.mails[1:]] == ["[RESOLVED 1] churn: drift"]
    assert "RESOLVED drift, from" in mail.mails[1][1]


def test_alerts_of_one_model_are_one_message_and_other_columns_another(
    ledger: Ledger, web: WebServer, set_up: Set
) -> None:
    settings = set_up(webhook=hook(web))
    columns = [f"c{number}" for number in range(30)]
    ledger.alert("churn", "drift", "30 columns shifted", "check:drift", columns)
    ledger.alert("churn", "errors", "7 % failed", "check:errors", ())
    ledger.alert("loans", "age", "old", "check:age", ())
    ledger.alert(None, "gateway", "away", "check:gateway", ())
    deliver(settings, ledger)
    path, headers, _ = web.posts[0]
    assert path == f"/services/{TOKEN}?thread=a+b"
    assert headers["Content-Type"] == "application/json"
    assert [[*body] for _, _, body in web.posts] == [["text"]] * 3, "one field, as Slack takes it"
    texts = [body["text"].splitlines()[0] for _, _, body in web.posts]
    assert texts == ["[FIRING 1] AI Mass: gateway", "[FIRING 2] churn: drift, errors", "[FIRING 1] loans: age"]
    ledger.alert("churn", "drift", "30 columns shifted", "check:drift", columns)
    ledger.alert("churn", "errors", "8 % failed", "check:errors", ())
    deliver(settings, ledger)
    assert len(web.posts) == 3, "more of the same is no news"
    ledger.alert("churn", "drift", "31 columns shifted", "check:drift", [*columns, "new"])
    ledger.resolve_alert("churn", "check:errors")
    deliver(settings, ledger)
    ((_, _, body),) = web.posts[3:]
    assert body["text"].startswith("[CHANGED 1, RESOLVED 1] churn: drift, errors\nCHANGED drift, since")


def test_a_condition_of_a_hundred_looks_is_told_once_and_repeated_each_day(
    ledger: Ledger, web: WebServer, set_up: Set
) -> None:
    settings = set_up(webhook=hook(web), repeat_hours="24")
    begin = now()
    for number in range(100):
        ledger.alert("churn", "errors", f"{number} % failed", "check:errors", ())
        deliver(settings, ledger, begin + number * timedelta(minutes=15))
    texts = [body["text"] for _, _, body in web.posts]
    assert [text.split("]")[0] for text in texts] == ["[FIRING 1", "[STILL FIRING 1"]
    assert "96 % failed" in texts[1], "a repetition says how it is now"
    deliver(set_up(repeat_hours="0"), ledger, begin + 99 * HOUR)
    assert len(web.posts) == 2


def test_alertmanager_is_told_again_and_again_until_it_is_over(ledger: Ledger, web: WebServer, set_up: Set) -> None:
    address = web.address.replace("//", "//aimass:p%40ss-Word@")
    settings = set_up(alertmanager=f"{address}/prefix/")
    ledger.alert("churn", "drift", "amount shifted", "check:drift", ["amount"])
    begin = now()
    for minutes in (0, 1, 15):
        deliver(settings, ledger, begin + timedelta(minutes=minutes))
    assert len(web.posts) == 2
    path, headers, (alert,) = web.posts[1]
    assert path == "/prefix/api/v2/alerts"
    assert headers["Authorization"].startswith("Basic ")
    (row,) = ledger.alerts()
    assert alert["labels"] == {
        "alertname": "aimass_drift",
        "service": "aimass",
        "model": "churn",
        "fingerprint": row.fingerprint,
        "severity": "warning",
    }
    assert alert["annotations"]["description"] == "amount shifted"
    assert datetime.fromisoformat(alert["startsAt"]) == row.fired_at
    assert datetime.fromisoformat(alert["endsAt"]) > begin + HOUR
    ledger.resolve_alert("churn", "check:drift")
    deliver(settings, ledger, begin + timedelta(minutes=16))
    deliver(settings, ledger, begin + timedelta(minutes=40))
    ((_, _, (over,)),) = web.posts[2:]
    assert over["labels"] == alert["labels"]
    assert datetime.fromisoformat(over["endsAt"]) <= now()


def test_a_silence_holds_back_and_ends_by_itself(ledger: Ledger, web: WebServer, set_up: Set) -> None:
    settings = set_up(webhook=hook(web))
    made = ledger.silence("churn", "drift", None, until=now() + HOUR, why="known", actor="ann")
    ledger.alert("churn", "drift", "amount shifted", "check:drift", ["amount"])
    ledger.alert("churn", "age", "old", "check:age", ())
    ledger.alert("loans", "drift", "income shifted", "check:drift", ["income"])
    deliver(settings, ledger)
    assert [body["text"].splitlines()[0] for _, _, body in web.posts] == [
        "[FIRING 1] churn: age",
        "[FIRING 1] loans: drift",
    ]
    deliver(settings, ledger, now() + 2 * HOUR)
    assert web.posts[2][2]["text"].startswith("[FIRING 1] churn: drift"), "still open when the silence ends"
    assert (made.actor, made.why) == ("ann", "known")
    fingerprint = next(row.fingerprint for row in ledger.alerts() if row.kind == "age")
    ledger.silence(None, None, fingerprint, until=now() + HOUR, why="holiday", actor="ann")
    ledger.resolve_alert("churn", "check:age")
    deliver(settings, ledger)
    assert web.posts[3][2]["text"].startswith("[RESOLVED 1] churn: age"), "whoever was told is told the end"
    ledger.alert("churn", "age", "old", "check:age", ())
    ledger.resolve_alert("churn", "check:age")
    deliver(settings, ledger)
    deliver(settings, ledger, now() + 2 * HOUR)
    assert len(web.posts) == 4, "over before anybody was told, within a silence"


def test_a_channel_that_was_away_tells_everything_once_it_is_back(
    ledger: Ledger, web: WebServer, mail: MailServer, set_up: Set
) -> None:
    settings = set_up(webhook=hook(web), mail=mail.address)
    web.status = 503
    begin = now()
    ledger.alert("churn", "drift", "amount shifted", "check:drift", ["amount"])
    ledger.alert("churn", "age", "old", "check:age", ())
    for number in range(12):  # of a round every half minute
        deliver(settings, ledger, begin + number * timedelta(seconds=30))
    assert len(mail.mails) == 2, "the other one is not held up, and told of it"
    assert mail.mails[1][0] == "[FIRING 1] AI Mass: alert_channel"
    row = next(row for row in ledger.channels() if row.name == "webhook")
    assert 3 <= row.failures <= 4, "the pauses grow"
    assert "503" in row.error
    assert TOKEN not in row.error
    ledger.resolve_alert("churn", "check:age")
    web.status = 200
    for minutes in (16, 17, 18):
        deliver(settings, ledger, begin + timedelta(minutes=minutes))
    assert [body["text"].splitlines()[0] for _, _, body in web.posts] == ["[FIRING 1, RESOLVED 1] churn: drift, age"]
    row = next(row for row in ledger.channels() if row.name == "webhook")
    assert (row.failures, row.error, row.failing_since) == (0, "", None)
    assert mail.mails[-1][0] == "[RESOLVED 1] AI Mass: alert_channel"


def test_what_was_over_before_a_channel_came_is_not_sent(ledger: Ledger, web: WebServer, set_up: Set) -> None:
    ledger.alert("churn", "drift", "amount shifted", "check:drift")
    ledger.resolve_alert("churn", "check:drift")
    ledger.alert("churn", "age", "old", "check:age")
    deliver(set_up(webhook=hook(web)), ledger)
    assert [body["text"].splitlines()[0] for _, _, body in web.posts] == ["[FIRING 1] churn: age"]


def test_one_process_at_a_time_sends(ledger: Ledger, web: WebServer, set_up: Set) -> None:
    settings = set_up(webhook=hook(web))
    ledger.alert("churn", "age", "old", "check:age")
    begin = now()
    assert ledger.claim_channel("webhook", begin) is not None, "another process, which dies"
    deliver(settings, ledger, begin)
    assert web.posts == []
    deliver(settings, ledger, begin + timedelta(minutes=3))
    assert len(web.posts) == 1


def test_slow_messages_keep_the_claim(
    ledger: Ledger, web: WebServer, set_up: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, begin = set_up(webhook=hook(web)), now()
    for model in ("churn", "loans"):
        ledger.alert(model, "errors", "7 % failed", "check:errors", ())
    claims: list[datetime | None] = []

    def keep(self: Ledger, name: str, moment: datetime | None) -> None:
        claims.append(moment)

    ticks = iter((0.0, 0.0, 90.0))
    monkeypatch.setattr(Ledger, "keep_channel", keep)
    monkeypatch.setattr(deliver_module, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    deliver(settings, ledger, begin)
    assert claims == [begin, begin + timedelta(seconds=90), None], "anew from when each is sent, then given free"


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("mail", "mailto://u:p@{}/?smtp=127.0.0.1&mode=insecure&from=a@b.de&to=c@d.de"),
        ("webhook", "http://{}/hook"),
        ("alertmanager", "http://{}"),
    ],
)
def test_a_channel_that_hangs_is_left_in_time(ledger: Ledger, set_up: Set, name: str, address: str) -> None:
    ledger.alert("churn", "age", "old", "check:age")
    with hanging() as where:
        settings = set_up(**{name: address.format(where)})
        began = now()
        deliver(settings, ledger, seconds=0.2)
        assert now() - began < timedelta(seconds=3)
    (row,) = ledger.channels()
    assert row.failures == 1
    assert "time" in row.error.casefold() or "response" in row.error


def test_nothing_secret_is_in_logs_errors_backups_or_what_is_shown(
    ledger: Ledger, mail: MailServer, web: WebServer, set_up: Set, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mail.refuses_login, web.status = True, 403
    settings = set_up(
        mail=mail.address,
        webhook=hook(web),
        alertmanager=web.address.replace("//", "//aimass:am-Secret@"),
        apprise=f"{web.address.replace('http', 'json')}/{TOKEN}",
    )
    ledger.alert("churn", "age", "old", "check:age")
    deliver(settings, ledger)
    tried = {name: why for name, why, _ in try_channels(settings)}
    assert all(tried.values()), tried
    assert "535" in tried["mail"]
    assert "403" in tried["webhook"]
    assert "answered 403" in tried["alertmanager"]
    home = [path.read_bytes().decode(errors="replace") for path in settings.home.rglob("*") if path.is_file()]
    shown = [caplog.text, str(tried), repr(settings), json.dumps(plain_settings(settings)), *home]
    for secret in ("s3cret-Pass", TOKEN, "am-Secret"):
        assert not [text for text in shown if secret in text], secret


def test_addresses_that_are_none_are_told(set_up: Set) -> None:
    settings = set_up(mail="smtp://x", webhook="hooks.example.com/s3cret", apprise="nothing://s3cret", alertmanager="")
    tried = {name: why for name, why, _ in try_channels(settings)}
    assert "mailto://, mailtos://" in tried["mail"]
    assert "http://, https://" in tried["webhook"]
    assert "apprise does not know" in tried["apprise"]
    assert tried.keys() == {"mail", "webhook", "apprise"}, "an empty setting is none"


def test_a_test_message_goes_through_each_channel(mail: MailServer, web: WebServer, set_up: Set) -> None:
    settings = set_up(mail=mail.address, webhook=hook(web), alertmanager=f"http://{refused()}")
    tried = {name: why for name, why, _ in try_channels(settings)}
    assert (tried["mail"], tried["webhook"]) == ("", "")
    assert "ConnectError" in tried["alertmanager"]
    assert mail.mails[0][0] == "[FIRING 1] AI Mass: test"
    assert "A test" in web.posts[0][2]["text"]
