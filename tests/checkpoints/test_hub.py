"""Models to and from a small server that speaks the Hub's protocol, and what goes wrong on the
way."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

import tiny
import zeuxis
from zeuxis.checkpoints.hub import push
from zeuxis.checkpoints.run_folder import Run
from zeuxis.checkpoints.weights import save
from zeuxis.cli import main
from zeuxis.errors import UsageError, ZeuxisError

pytest.importorskip("huggingface_hub", reason="needs the extra hub")
OWNER, TOKEN, COMMIT = "someone", "hf_right", "a" * 40


class Hub(BaseHTTPRequestHandler):
    """Repositories in memory: files by repository and name."""

    repositories: dict[str, dict[str, bytes]] = {}
    status = 0  # answers everything with it if set

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        self.send_response(status)
        headers = {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refused(self) -> bool:
        """Whether a request that writes comes without the right token."""
        right = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if not right:
            self.answer(401, b'{"error": "Invalid credentials"}')
        return not right

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.refused():
            return
        if self.path == "/api/validate-yaml":
            self.answer(200, b'{"errors": [], "warnings": []}')
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or OWNER}/{asked['name']}"
            if not name.startswith(OWNER + "/"):
                self.answer(403, b'{"error": "not yours"}')
                return
            self.repositories.setdefault(name, {})
            address = f"http://{self.headers['Host']}/{name}"
            self.answer(200, json.dumps({"url": address, "id": name}).encode())
        elif "/preupload/" in self.path:
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            self.answer(200, json.dumps({"files": files}).encode())
        else:
            name = "/".join(self.path.split("/")[3:5])
            for line in body.splitlines():
                value = json.loads(line)
                if value["key"] == "file":
                    content = base64.b64decode(value["value"]["content"])
                    self.repositories[name][value["value"]["path"]] = content
            address = f"http://{self.headers['Host']}/{name}/commit/{COMMIT}"
            self.answer(200, json.dumps({"commitUrl": address, "commitOid": COMMIT}).encode())

    def do_GET(self) -> None:
        if self.status:
            self.answer(self.status)
            return
        parts = self.path.split("?")[0].strip("/").split("/")
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if name not in self.repositories:
            self.answer(401, b"{}", X_Error_Code="RepoNotFound")
            return
        files = self.repositories[name]
        if parts[0] == "api":
            if "revision" in parts and parts[-1] not in ("main", COMMIT):
                self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
                return
            if "tree" in parts:
                tree = [
                    {"type": "file", "path": file, "size": len(content), "oid": COMMIT}
                    for file, content in files.items()
                ]
                self.answer(200, json.dumps(tree).encode())
                return
            about = {"id": name, "sha": COMMIT, "private": False, "tags": [], "downloads": 0}
            about["siblings"] = [{"rfilename": file} for file in files]
            self.answer(200, json.dumps(about).encode())
            return
        content = files["/".join(parts[4:])]
        self.answer(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"')

    do_HEAD = do_GET


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """The server, with a right token and an empty cache."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Hub.repositories, Hub.status = {}, 0
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    # Read when the package is imported, which another test may have done.
    constants = "huggingface_hub.constants"
    monkeypatch.setattr(f"{constants}.ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(f"{constants}.HF_URL_HOSTS", frozenset({"127.0.0.1"}))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    yield Hub
    server.shutdown()
    server.server_close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A saved model whose description names places that nobody should see."""
    private = {"data": {"data": "/home/me/photos"}, "signature": "secret", "held_out": {}}
    training = {"images": 64, "start": "/home/me/other", "track": "wandb"}
    return save(tiny.model("vae"), tmp_path / "model", training=training, **private)


def test_a_pushed_model_is_the_same(
    hub: type[Hub], model: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["push", str(model), f"{OWNER}/digits"]) == 0
    assert f"Open it as hf:{OWNER}/digits" in capsys.readouterr().out
    files = hub.repositories[f"{OWNER}/digits"]
    assert set(files) == {"config.json", "model.safetensors", "README.md"}
    text = files["config.json"].decode()
    assert "/home/me" not in text and "secret" not in text and '"images": 64' in text
    assert files["README.md"].startswith(b'---\nlibrary_name: "zeuxis"\ntags: [')
    ours, theirs = zeuxis.load(model), zeuxis.load(f"hf:{OWNER}/digits")
    for name, value in ours.state_dict().items():
        assert torch.equal(theirs.state_dict()[name], value)
    assert torch.equal(zeuxis.load(f"hf:{OWNER}/digits@main").sample(2, seed=0),
                       ours.sample(2, seed=0))  # fmt: skip


def test_a_downloaded_model_opens_without_a_network(
    hub: type[Hub], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(Run(model), "model.safetensors", f"{OWNER}/digits")
    zeuxis.load(f"hf:{OWNER}/digits")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert zeuxis.load(f"hf:{OWNER}/digits").name == "vae"
    with pytest.raises(ZeuxisError, match="cannot be reached, and it is not in the cache"):
        zeuxis.load(f"hf:{OWNER}/other")
    with pytest.raises(ZeuxisError, match="cannot be reached, and nothing was uploaded"):
        push(Run(model), "model.safetensors", f"{OWNER}/digits")


def test_what_the_hub_refuses_is_one_sentence(
    hub: type[Hub], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ZeuxisError, match="There is no 'someone/nothing' on the Hub, or it is pri"):
        zeuxis.load("hf:someone/nothing")
    push(Run(model), "model.safetensors", f"{OWNER}/digits")
    with pytest.raises(ZeuxisError, match="has no revision 'v9'"):
        zeuxis.load(f"hf:{OWNER}/digits@v9")
    hub.repositories[f"{OWNER}/empty"] = {"README.md": b"nothing"}
    with pytest.raises(ZeuxisError, match="holds no config.json and so no model of zeuxis"):
        zeuxis.load(f"hf:{OWNER}/empty")
    with pytest.raises(ZeuxisError, match="does not let you write to 'other/digits'"):
        push(Run(model), "model.safetensors", "other/digits")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ZeuxisError, match="does not let you write to 'someone/digits'"):
        push(Run(model), "model.safetensors", f"{OWNER}/digits")


@pytest.mark.parametrize("name", ["hf:", "hf:digits", "hf:a/b/c", "hf:../x/y", "hf:a/b@"])
def test_a_wrong_name_is_refused_before_any_request(name: str) -> None:
    with pytest.raises(UsageError, match="is no name on the Hub"):
        zeuxis.load(name)


def test_damaged_weights_are_not_published(hub: type[Hub], model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    assert main(["push", str(model), f"{OWNER}/digits"]) == 1
    assert not hub.repositories
