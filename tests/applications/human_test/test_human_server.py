"""The server: nothing tells real from generated, a kill loses nothing, twenty people at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import human
from zeuxis.applications.human_test.pictures import is_binary, material
from zeuxis.applications.human_test.protocol import StudyConfig
from zeuxis.applications.human_test.server import Limiter, TestServer
from zeuxis.applications.human_test.store import Store
from zeuxis.errors import UsageError

SERVE = "from zeuxis.applications.human_test.server import TestServer as S\n"
SERVE += "from zeuxis.applications.human_test.store import Store\n"
SERVE += "import sys\n"
SERVE += "s = S(Store(sys.argv[1]), port=int(sys.argv[2]), requests=10**6)\n"
SERVE += "print(s.server_address[1], flush=True)\n"
SERVE += "s.serve_forever()\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[TestServer]:
    with TestServer(human.study(tmp_path), requests=10**6) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def one_answer(client: human.Client, person: str) -> int:
    """Shows and answers the next image; returns how many are left."""
    _, shown = client.ask("/show", {"person": person})
    answers = [{"token": token, "said": "real", "rt_ms": 800.0} for token in shown["tokens"]]
    status, reply = client.ask("/answer", {"person": person, "answers": answers})
    assert status == 200, reply
    return int(reply["left"])


def test_bytes_names_sizes_and_replies_do_not_tell(served: TestServer) -> None:
    client = human.Client(served.server_address[1])
    person = client.ask("/start", human.CONSENT)[1]["person"]
    state = client.ask(f"/state?person={person}")[1]
    assert {tuple(one) for one in state["left"]} == {("token", "phase")}
    truth = {row["image_token"]: row["truth"] for row in served.store.rows("SELECT * FROM trial")}
    sizes: dict[str, set[int]] = {"real": set(), "generated": set()}
    headers = set()
    for one in state["left"]:
        client.connection.request("GET", f"/image/{one['token']}")
        reply = client.connection.getresponse()
        sizes[truth[one["token"]]].add(len(reply.read()))
        headers.add(tuple((k, v) for k, v in reply.getheaders() if k != "Date"))
        assert len(one["token"]) == 22
    assert sizes["real"] == sizes["generated"] and len(sizes["real"]) == 1 and len(headers) == 1
    client.ask("/show", {"person": person})
    answer = {"token": state["left"][0]["token"], "said": "real", "rt_ms": 700.0}
    _, reply = client.ask("/answer", {"person": person, "answers": [answer]})
    assert set(reply["answers"][0]) == {"token", "stored before"}  # no truth in this mode
    assert client.ask(f"/debrief?person={person}")[0] == 409


@pytest.mark.slow
def test_times_of_images_do_not_tell(served: TestServer) -> None:
    client = human.Client(served.server_address[1])
    for _ in range(3):
        client.ask("/start", human.CONSENT)
    rows = served.store.rows("SELECT image_token, truth FROM trial")
    times: dict[str, list[float]] = {"real": [], "generated": []}
    for row in rows * 4:
        began = time.perf_counter()
        client.raw(f"/image/{row['image_token']}")
        times[row["truth"]].append(time.perf_counter() - began)
    real, generated = (np.median(times[kind]) for kind in ("real", "generated"))
    assert real == pytest.approx(generated, rel=0.3)


@pytest.mark.slow
def test_both_kinds_of_a_binary_model_are_binary() -> None:
    config = StudyConfig(n=10, pool=8, practice="mnist/vae")
    made = material("mnist/pixelcnn", config)
    assert made.binarized and all(is_binary(x) for x in made.pools.values())
    assert made.split == "test" and len(made.digest) == 64


def test_wrong_requests_get_a_sentence(served: TestServer) -> None:
    client = human.Client(served.server_address[1])
    assert client.ask("/start", {"consent": True})[0] == 409
    assert client.ask("/start", [1])[0] == 400
    assert client.ask("/nothing")[0] == 404 and client.ask("/nothing", {})[0] == 404
    assert client.ask("/image/../study.sqlite")[0] == 404
    assert client.ask("/mask/99999999999")[0] == 404
    assert client.ask("/answer", {"person": "x", "answers": [{}]})[0] == 409
    assert client.ask("/answer", {"person": "x", "answers": 3})[0] == 409
    assert client.ask("/study", None, Host="elsewhere.example")[0] == 403
    client.connection.request("POST", "/start", b"{}", {"Content-Type": "text/plain"})
    assert client.connection.getresponse().status == 400
    with pytest.raises(UsageError, match="cannot be used"):
        TestServer(served.store, port=served.server_address[1])


def test_the_limit_of_requests() -> None:
    limit = Limiter(2, 60.0)
    assert [limit.allow("a") for _ in range(3)] == [True, True, False] and limit.allow("b")


def begin(path: Path, port: int = 0) -> tuple[subprocess.Popen[str], int]:
    """A server in its own process, and its port."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(path), str(port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.slow
def test_a_killed_server_keeps_every_answer_that_it_confirmed(tmp_path: Path) -> None:
    store = human.study(tmp_path)
    process, port = begin(store.path)
    person, confirmed = "", 0
    try:
        for kill_after in (3, 1, 6):
            client = human.Client(port)
            person = person or client.ask("/start", human.CONSENT)[1]["person"]
            for _ in range(kill_after):
                one_answer(client, person)
                confirmed += 1
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            assert len(Store(store.path).rows("SELECT * FROM answer")) == confirmed
            process, port = begin(store.path)
        client = human.Client(port)
        while one_answer(client, person):
            pass
        assert client.ask(f"/debrief?person={person}")[1]["of"] == 20
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_twenty_people_at_once_lose_no_answer(tmp_path: Path) -> None:
    store = human.study(tmp_path, n=60)
    process, port = begin(store.path)
    failed: list[BaseException] = []

    def person_answers() -> None:
        try:
            client = human.Client(port)
            person = client.ask("/start", human.CONSENT)[1]["person"]
            while one_answer(client, person):
                pass
        except BaseException as error:  # reported by the main thread
            failed.append(error)

    try:
        threads = [threading.Thread(target=person_answers) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        rows = Store(store.path).rows(
            "SELECT person, COUNT(*) AS n FROM answer JOIN trial ON trial.id = answer.trial "
            "GROUP BY person"
        )
        assert [row["n"] for row in rows] == [66] * 20
    finally:
        process.kill()
        process.wait()
