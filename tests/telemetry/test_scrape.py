"""A real server's metrics, read by the programs that will read them: promtool and Prometheus."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx2
import pytest
import yaml
from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families

from app.telemetry.catalogue import Catalogue
from tests.e2e.server import ServerProcess
from tests.tables import sample_name
from tests.telemetry.conftest import DEFAULT, DEPLOY, prometheus, promtool, use_everything
from tests.telemetry.dashboard import (
    dashboard,
    matchers_in,
    names_in,
    panel_expressions,
    rules,
    variable_expressions,
)

ON_DEMAND = {f"rnnserve_models_{what}" for what in ("in_memory", "memory_bytes", "memory_limit_bytes")}


@pytest.fixture(scope="module")
def text(server: ServerProcess) -> str:
    """What it says of itself."""
    with server.client() as client:
        answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


@pytest.fixture(scope="module")
def names(text: str) -> set[str]:
    """Of every sample."""
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


def test_promtool_finds_nothing_to_say(text: str) -> None:
    """Neither about the format nor about names, units and help."""
    assert promtool("check", "metrics", text=text) == ""


def test_every_metric_of_the_catalogue_is_told_by_a_server_that_did_everything(names: set[str]) -> None:
    """But those of states that this one is not in."""
    absent = {
        "rnnserve_session_store_disk_bytes",  # its sessions are in memory
        *ON_DEMAND,  # all models are loaded
    }
    for family in Catalogue().families:
        name = sample_name(family) + "_count" * isinstance(family.metric, Histogram)
        assert (name in names) == (name not in absent), name


def test_every_query_of_the_dashboard_and_the_rules_reads_a_metric_there_is(names: set[str]) -> None:
    """A renamed metric would leave an empty panel, or an alert that never fires."""
    absent = {"rnnserve_session_store_disk_bytes", *ON_DEMAND}
    asked = [expression for _, expression in panel_expressions()]
    asked += [*variable_expressions(), *(rule["expr"] for rule in rules())]
    wanted = set[str]().union(*map(names_in, asked))
    assert len(wanted) > 40
    assert wanted - names <= absent


def test_every_label_that_a_query_names_has_the_value_it_names(text: str) -> None:
    """A bound that is no bucket's, or an outcome that is none, would select nothing for ever."""
    asked = [expression for _, expression in panel_expressions()] + [rule["expr"] for rule in rules()]
    matchers = {found for expression in asked for found in matchers_in(expression)}
    assert len(matchers) > 5
    for name, label, value in matchers:
        lines = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
        assert any(f'{label}="{value}"' in line for line in lines), (name, label, value)


def test_the_dashboard_shows_every_metric() -> None:
    """What is counted can be seen."""
    shown = set[str]().union(*(names_in(expression) for _, expression in panel_expressions()))
    shown = {name.removesuffix("_bucket").removesuffix("_sum") for name in shown}
    hidden = {"process_virtual_memory_bytes", "process_start_time_seconds", "rnnserve_model_load_seconds"}
    assert {sample_name(family) for family in Catalogue().families} == shown | hidden


def test_the_dashboards_panels_have_places_of_their_own() -> None:
    """None covers another, and ids are unique."""
    taken: set[tuple[int, int]] = set()
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_promtool_reads_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """As if they were rules."""
    recorded = [
        {"record": f"panel:query{place}", "expr": expression}
        for place, (_, expression) in enumerate(panel_expressions())
    ]
    rule_file = tmp_path / "rules.yml"
    rule_file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    assert f"{len(recorded)} rules found" in promtool("check", "rules", rule_file)


def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    """As they are deployed."""
    assert "SUCCESS" in promtool("check", "config", DEPLOY / "prometheus.yml")


def test_each_alert_fires_when_it_must_and_only_then() -> None:
    """The tests of the rules, which know every alert."""
    assert "SUCCESS" in promtool("test", "rules", DEPLOY / "alerts_test.yml")
    tested: dict[str, set[bool]] = {}
    for test in yaml.safe_load((DEPLOY / "alerts_test.yml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            tested.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert tested == {rule["alert"]: {True, False} for rule in rules() if "alert" in rule}


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    """With a severity that routes it."""
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("critical", "warning")
            assert set(rule["annotations"]) == {"summary", "description"}


def test_prometheus_counts_a_server_under_load_to_the_last_request(tiny_models: Path, tmp_path: Path) -> None:
    """It scrapes all the while, its rules evaluate, and every query of the dashboard has an answer."""
    rounds, threads = 40, 4
    sizes = {"series": 3, "horizon": 2}

    def load(client: httpx2.Client) -> None:
        for _ in range(rounds):
            series = [{"values": [1, 2, 4]}] * sizes["series"]
            body = {"series": series, "horizon": sizes["horizon"]}
            assert client.post("/forecast", json=body).status_code == 200
            assert client.post("/generate", json={"max_tokens": 8, "seed": 1}).status_code == 200

    with (
        ServerProcess(tiny_models, default=DEFAULT) as server,
        prometheus(tmp_path, f"127.0.0.1:{server.port}") as observer,
    ):
        observer.wait_for("up", 1)
        with server.client() as client:
            working = [threading.Thread(target=load, args=(client,)) for _ in range(threads)]
            for thread in working:
                thread.start()
            for thread in working:
                thread.join()
        use_everything(server)
        forecasts = rounds * threads
        ok = 'rnnserve_requests_total{outcome="ok",task="%s"}'
        observer.wait_for(f"sum({ok % 'forecast'})", forecasts + 1)
        observer.wait_for(f"sum({ok % 'generate'})", forecasts + 3)
        observer.wait_for("sum(rnnserve_generation_tokens_total)", 8 * forecasts + 9 * 2 + 5 + 12)
        observer.wait_for('rnnserve_http_responses_total{route="/generate",status="200"}', forecasts + 2)
        steps = observer.query("sum(rnnserve_steps_total)")
        rows = observer.query("sum(rnnserve_batch_size_sum)")
        assert float(steps[0]["value"][1]) >= float(rows[0]["value"][1]) >= forecasts
        scraped = observer.get("/api/v1/targets")["activeTargets"]
        assert [target["health"] for target in scraped] == ["up"], scraped
        groups = observer.get("/api/v1/rules")["groups"]
        assert sum(len(group["rules"]) for group in groups) == len(list(rules()))
        for group in groups:
            for rule in group["rules"]:
                assert rule["health"] == "ok", rule
        empty = [expression for _, expression in panel_expressions() if not observer.query(expression)]
        # Its sessions are in memory, and all models.
        absent = {"rnnserve_session_store_disk_bytes", *ON_DEMAND}
        assert all(names_in(expression) <= absent for expression in empty), empty
