"""A hub on this machine that speaks the protocol of huggingface.co, and every way it goes wrong.

Two servers on 127.0.0.1, as there are two hosts in the world: the hub (`/api/...`, `/resolve/...`)
and the CDN that it redirects large files to. What is asked of either is in `requests`.

```python
with HubServer() as hub:
    repo = hub.add_repo("acme/tiny-GGUF", {"tiny-Q4_K_M.gguf": data})
    hub.cut("tiny-Q4_K_M.gguf", after=1000)          # once, in the middle of the body
    ...  # HF_ENDPOINT=hub.url
```

Source: huggingface_hub 2.4.0 (file_download.py, hf_api.py, utils/_http.py, utils/_pagination.py)
and https://huggingface.co/docs/hub/api, read 2026-11-22.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

LFS_SUFFIXES = (".gguf", ".onnx", ".onnx_data", ".data", ".bin", ".safetensors")
"""Files that repositories keep in LFS whatever their size; others when they are large."""
LFS_BYTES = 10 << 20
PIECE_BYTES = 256 << 10
POINTER_BYTES = 134

Host = Literal["hub", "cdn"]


@dataclass(frozen=True)
class HubFile:
    """Content of one file and the names that the hub has for it."""

    content: bytes | Path
    size: int
    blob_id: str
    """Of the content, or of the LFS pointer, as git would name it."""
    sha256: str | None
    """The name in LFS; None for a file that lies in git itself."""
    xet_hash: str | None = None

    @property
    def etag(self) -> str:
        """What the hub gives as ETag or X-Linked-ETag."""
        return self.sha256 or self.blob_id

    def read(self, start: int, end: int) -> bytes:
        """Bytes from `start` up to `end`; a path may be a sparse file of many gigabytes."""
        if isinstance(self.content, bytes):
            return self.content[start:end]
        with self.content.open("rb") as stream:
            stream.seek(start)
            return stream.read(end - start)


def make_file(
    name: str, content: bytes | Path, *, sha256: str | None = None, is_xet: bool = False
) -> HubFile:
    """A file as the hub would store it; give `sha256` where reading the content takes too long."""
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    if name.endswith(LFS_SUFFIXES) or size >= LFS_BYTES:
        if sha256 is None:
            data = content if isinstance(content, bytes) else content.read_bytes()
            sha256 = hashlib.sha256(data).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        xet = hashlib.sha256(b"xet" + sha256.encode()).hexdigest() if is_xet else None
        return HubFile(content, size, git_blob_id(pointer.encode()), sha256, xet)
    data = content if isinstance(content, bytes) else content.read_bytes()
    return HubFile(data, size, git_blob_id(data), None)


def git_blob_id(data: bytes) -> str:
    """The name that git gives to a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass
class HubRepo:
    """One repository; every change of its files makes a new commit of `main`."""

    id: str
    licence: str = "apache-2.0"
    gated: Literal["auto", "manual", False] = False
    private: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    """Branches and tags beside `main`, to the commits they name."""
    commits: dict[str, dict[str, HubFile]] = field(default_factory=dict)
    main: str = ""
    promised: dict[str, HubFile] = field(default_factory=dict)
    """By path: what the hub says of a file, where the CDN delivers something else."""

    def commit(self, files: Mapping[str, HubFile]) -> str:
        """Make `files` the content of main; returns the name of the commit."""
        names = "".join(f"{path}\0{file.etag}\0" for path, file in sorted(files.items()))
        parent = self.main
        self.main = hashlib.sha1((parent + names).encode(), usedforsecurity=False).hexdigest()
        self.commits[self.main] = dict(files)
        return self.main

    def find_commit(self, revision: str) -> str | None:
        """The commit that a branch, tag or commit names."""
        if revision == "main":
            return self.main
        return self.tags.get(revision, revision if revision in self.commits else None)


@dataclass(frozen=True)
class Request:
    """What was asked."""

    host: Host
    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def range(self) -> str | None:
        """The Range header."""
        return self.headers.get("range")


@dataclass
class Fault:
    """What goes wrong the next `times` times that a path matches."""

    pattern: str
    times: int = 1
    method: str | None = None
    host: Host | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Bytes of the body after which the connection ends."""
    is_reset: bool = False
    """The connection is reset rather than closed."""
    ignore_range: bool = False
    """Answer 200 with the whole file to a request for a part of it."""
    hold: threading.Event | None = None
    """Nothing more is sent, after `cut_after` bytes, until this is set."""
    reached: threading.Event = field(default_factory=threading.Event)
    """Set when all is sent that will be before it goes wrong."""


class HubServer:
    """The hub and its CDN on two free ports of 127.0.0.1, from `__enter__` to `__exit__`."""

    def __init__(self, *, page_size: int = 1000, token: str = "hf_good") -> None:
        self.page_size = page_size
        self.token = token
        """The one token that the hub knows."""
        self.granted: set[str] = set()
        """Gated repositories that its owner may read."""
        self.repos: dict[str, HubRepo] = {}
        self.requests: list[Request] = []
        self.bytes_sent = 0
        """Bytes of file content that either server sent."""
        self._faults: list[Fault] = []
        self._limit: tuple[int, Fault] | None = None
        self._lock = threading.Lock()
        self._servers = {host: _Server(self, host) for host in ("hub", "cdn")}

    @property
    def url(self) -> str:
        """What HF_ENDPOINT should be."""
        return self._servers["hub"].url

    @property
    def cdn_url(self) -> str:
        """Where large files come from."""
        return self._servers["cdn"].url

    def __enter__(self) -> Self:
        for server in self._servers.values():
            server.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for fault in self._faults:
            if fault.hold is not None:
                fault.hold.set()
        for server in self._servers.values():
            server.stop()

    def add_repo(
        self, repo_id: str, files: Mapping[str, bytes | Path | HubFile], **facts: Any
    ) -> HubRepo:
        """Create a repository with one commit; `facts` are fields of `HubRepo`."""
        repo = self.repos[repo_id] = HubRepo(repo_id, **facts)
        repo.commit(_as_files(files))
        return repo

    def change(self, repo_id: str, files: Mapping[str, bytes | Path | HubFile]) -> str:
        """Replace or add files on main; returns the new commit."""
        repo = self.repos[repo_id]
        return repo.commit(repo.commits[repo.main] | _as_files(files))

    def deliver_other(self, repo_id: str, path: str, content: bytes) -> None:
        """From now on the CDN gives `content`, under the hash and size of what was there."""
        repo = self.repos[repo_id]
        files = repo.commits[repo.main]
        old = files[path]
        repo.promised[path] = old
        files[path] = HubFile(content, old.size, old.blob_id, old.sha256, old.xet_hash)

    def fail(
        self,
        pattern: str,
        status: int,
        *,
        times: int = 1,
        method: str | None = None,
        **headers: str,
    ) -> None:
        """Answer `status`; header names are given with `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.add_fault(Fault(pattern, times, method, status=status, headers=named))

    def cut(self, pattern: str, *, after: int, times: int = 1, is_reset: bool = False) -> None:
        """End the connection after so many bytes of a body."""
        self.add_fault(Fault(pattern, times, "GET", cut_after=after, is_reset=is_reset))

    def add_fault(self, fault: Fault) -> None:
        """Let something go wrong; faults of one path happen in the order they were added."""
        with self._lock:
            self._faults.append(fault)

    def break_after(self, num_bytes: int | None, fault: Fault | None) -> None:
        """Let `fault` happen to every transfer once `bytes_sent` reaches a number; None: never."""
        with self._lock:
            is_set = num_bytes is not None and fault is not None
            self._limit = (num_bytes, fault) if is_set else None  # type: ignore[assignment]

    def allowance(self, num_bytes: int) -> tuple[int, Fault | None]:
        """How many of so many bytes may be sent, counted as sent, and the fault that follows."""
        with self._lock:
            allowed, fault = num_bytes, None
            if self._limit is not None and self.bytes_sent + num_bytes > self._limit[0]:
                allowed, fault = max(0, self._limit[0] - self.bytes_sent), self._limit[1]
            self.bytes_sent += allowed
            return allowed, fault

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._faults.clear()

    def take_fault(self, request: Request) -> Fault | None:
        """The fault that this request meets; it counts as met."""
        path = unquote(urlsplit(request.path).path)
        with self._lock:
            for fault in self._faults:
                if (
                    fault.times > 0
                    and fault.method in (None, request.method)
                    and fault.host in (None, request.host)
                    and (fnmatch.fnmatch(path, fault.pattern) or path.endswith(fault.pattern))
                ):
                    fault.times -= 1
                    return fault
        return None

    def record(self, request: Request) -> None:
        """Remember what was asked."""
        with self._lock:
            self.requests.append(request)


def _as_files(files: Mapping[str, bytes | Path | HubFile]) -> dict[str, HubFile]:
    return {
        path: content if isinstance(content, HubFile) else make_file(path, content)
        for path, content in files.items()
    }


class _Server(ThreadingHTTPServer):
    """One of the two hosts."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, hub: HubServer, host: Host) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub
        self.host: Host = host
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> None:
        """Answer in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


_MODEL_API = re.compile(
    r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/(?P<verb>revision|tree)/(?P<rest>.+))?"
)
_RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_RESOLVE_CACHE = re.compile(
    r"/api/resolve-cache/models/(?P<repo>[^/]+/[^/]+)/(?P<revision>[^/]+)/(?P<path>.+)"
)
_CDN = re.compile(r"/repos/(?P<repo>[^/]+/[^/]+)/(?P<commit>[^/]+)/(?P<etag>[^/]+)/(?P<path>.+)")
_RANGE = re.compile(r"bytes=(?P<start>\d+)-(?P<end>\d*)")


class _Refusal(Exception):
    """An answer that is an error of the hub."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        hub = self.server.hub
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.server.host, self.command, self.path, headers)
        hub.record(request)
        self._fault = hub.take_fault(request)
        if self._fault is not None and self._fault.status is not None:
            self._send(self._fault.status, b"", self._fault.headers)
            return
        try:
            if self.server.host == "cdn":
                self._answer_cdn()
            else:
                self._answer_hub()
        except _Refusal as refusal:
            found = {"X-Error-Message": refusal.message}
            if refusal.code is not None:
                found["X-Error-Code"] = refusal.code
            self._send_json({"error": refusal.message}, refusal.status, found)

    def _answer_hub(self) -> None:
        path = urlsplit(self.path).path
        if match := _RESOLVE_CACHE.fullmatch(path):
            self._answer_resolve_cache(match)
        elif match := _MODEL_API.fullmatch(path):
            self._answer_api(match)
        elif match := _RESOLVE.fullmatch(path):
            self._answer_resolve(match)
        else:
            raise _Refusal(404, None, "Sorry, we can't find the page you are looking for.")

    def _answer_api(self, match: re.Match[str]) -> None:
        repo = self._repo(match["repo"], needs_grant=False)
        verb, rest = match["verb"], match["rest"] or "main"
        if verb == "tree":
            revision, _, folder = rest.partition("/")
            self._send_tree(repo, unquote(revision), unquote(folder))
            return
        commit = self._commit(repo, unquote(rest))
        self._send_json(
            {
                "_id": commit[:24],
                "id": repo.id,
                "modelId": repo.id,
                "author": repo.id.partition("/")[0],
                "sha": commit,
                "private": repo.private,
                "gated": repo.gated,
                "disabled": False,
                "tags": [f"license:{repo.licence}"],
                "cardData": {"license": repo.licence},
                "siblings": [{"rfilename": path} for path in sorted(repo.commits[commit])],
            }
        )

    def _send_tree(self, repo: HubRepo, revision: str, folder: str) -> None:
        query = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        commit = self._commit(repo, revision)
        entries = _tree(
            repo, commit, folder, is_recursive=query.get("recursive", "").lower() == "true"
        )
        if folder and not entries:
            raise _Refusal(404, "EntryNotFound", f"{folder} does not exist on {revision!r}")
        size = min(int(query.get("limit", self.server.hub.page_size)), self.server.hub.page_size)
        start = int(query.get("cursor", 0))
        headers = {}
        if start + size < len(entries):
            base = f"{self.server.url}{urlsplit(self.path).path}"
            kept = "&".join(f"{n}={quote(v)}" for n, v in query.items() if n != "cursor")
            headers["Link"] = f'<{base}?{kept}&cursor={start + size}>; rel="next"'
        self._send_json(entries[start : start + size], 200, headers)

    def _answer_resolve(self, match: re.Match[str]) -> None:
        repo = self._repo(match["repo"], needs_grant=True)
        commit = self._commit(repo, unquote(match["revision"]))
        path = unquote(match["path"])
        file = repo.commits[commit].get(path)
        if file is None:
            raise _Refusal(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes", "Vary": "Origin"}
        promised = repo.promised.get(path, file)
        if promised.sha256 is None:
            target = f"/api/resolve-cache/models/{repo.id}/{commit}/{quote(path)}"
            headers["Location"] = f"{target}?etag=%22{promised.etag}%22"
            self._send(307, b"Temporary Redirect", headers)
            return
        headers |= {
            "X-Linked-ETag": f'"{promised.etag}"',
            "X-Linked-Size": str(promised.size),
            "Location": f"{self.server.hub.cdn_url}/repos/{repo.id}/{commit}/{promised.etag}/"
            f"{quote(path)}?X-Amz-Signature=abc",
        }
        if promised.xet_hash is not None:
            headers["X-Xet-Hash"] = promised.xet_hash
            auth = f"{self.server.url}/api/models/{repo.id}/xet-read-token/{commit}"
            headers["Link"] = f'<{auth}>; rel="xet-auth"'
        self._send(302, b"Found. Redirecting", headers)

    def _answer_resolve_cache(self, match: re.Match[str]) -> None:
        repo = self._repo(match["repo"], needs_grant=True)
        commit = self._commit(repo, match["revision"])
        path = unquote(match["path"])
        promised = repo.promised.get(path, repo.commits[commit][path])
        headers = {"X-Repo-Commit": commit, "ETag": f'"{promised.etag}"'}
        self._send_file(repo.commits[commit][path], headers)

    def _answer_cdn(self) -> None:
        match = _CDN.fullmatch(urlsplit(self.path).path)
        repo = self.server.hub.repos.get(match["repo"]) if match else None
        if match is None or repo is None:
            raise _Refusal(404, None, "NoSuchKey")
        file = repo.commits[match["commit"]][unquote(match["path"])]
        self._send_file(file, {"ETag": f'"{file.etag[:32]}"'})

    def _repo(self, repo_id: str, *, needs_grant: bool) -> HubRepo:
        """The repository, where whoever asks may see it.

        Source: huggingface_hub 2.4.0, utils/_http.py (hf_raise_for_status) for codes and texts.
        """
        hub = self.server.hub
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given and given != hub.token:
            raise _Refusal(401, None, "Invalid credentials in Authorization header")
        repo = hub.repos.get(repo_id)
        if repo is None or (repo.private and not given):
            status = 404 if given else 401
            raise _Refusal(status, "RepoNotFound", "Repository not found")
        if repo.gated and needs_grant and repo_id not in hub.granted:
            how = "ask for access" if given else "You must have access to it and be authenticated"
            text = f"Access to model {repo_id} is restricted. {how}."
            raise _Refusal(403 if given else 401, "GatedRepo", text)
        if repo.gated and needs_grant and not given:
            raise _Refusal(401, "GatedRepo", f"Access to model {repo_id} is restricted.")
        return repo

    def _commit(self, repo: HubRepo, revision: str) -> str:
        commit = repo.find_commit(revision)
        if commit is None:
            raise _Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _send_file(self, file: HubFile, headers: dict[str, str]) -> None:
        fault = self._fault
        start, end = 0, file.size
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        is_part = match is not None and not (fault is not None and fault.ignore_range)
        if is_part and match is not None:
            start = int(match["start"])
            end = min(int(match["end"]) + 1 if match["end"] else file.size, file.size)
            if start >= file.size:
                self._send(416, b"", {"Content-Range": f"bytes */{file.size}"})
                return
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        self.send_response(206 if is_part else 200)
        for name, value in {**headers, "Accept-Ranges": "bytes"}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command == "GET":
            self._send_body(file, start, end)

    def _send_body(self, file: HubFile, start: int, end: int) -> None:
        fault = self._fault
        stop = end
        if fault is not None and fault.cut_after is not None:
            stop = min(end, start + fault.cut_after)
        for place in range(start, stop, PIECE_BYTES):
            wanted = min(PIECE_BYTES, stop - place)
            allowed, limit = self.server.hub.allowance(wanted)
            self.wfile.write(file.read(place, place + allowed))
            if limit is not None:
                fault, stop = limit, place + allowed
                break
        if fault is not None:
            fault.reached.set()
        if fault is not None and fault.hold is not None:
            fault.hold.wait(60)
            self.wfile.write(file.read(stop, end))
        elif stop < end:
            self._end_connection(is_reset=fault is not None and fault.is_reset)

    def _end_connection(self, *, is_reset: bool) -> None:
        self.close_connection = True
        self.wfile.flush()
        if is_reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def _send_json(
        self, value: Any, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        kind = {"Content-Type": "application/json; charset=utf-8"}
        self._send(status, json.dumps(value).encode(), kind | (headers or {}))

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _tree(repo: HubRepo, commit: str, folder: str, *, is_recursive: bool) -> list[dict[str, Any]]:
    """Entries of a folder as `/tree/` lists them: folders too, files with their LFS names."""
    prefix = f"{folder}/" if folder else ""
    found: dict[str, dict[str, Any]] = {}
    for path, delivered in sorted(repo.commits[commit].items()):
        if not path.startswith(prefix):
            continue
        inner = path.removeprefix(prefix).split("/")
        for depth in range(1, len(inner) if is_recursive else min(2, len(inner))):
            name = prefix + "/".join(inner[:depth])
            oid = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
            found[name] = {"type": "directory", "oid": oid, "size": 0, "path": name}
        if len(inner) > 1 and not is_recursive:
            continue
        file = repo.promised.get(path, delivered)
        entry: dict[str, Any] = {
            "type": "file",
            "oid": file.blob_id,
            "size": file.size,
            "path": path,
        }
        if file.sha256 is not None:
            entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": POINTER_BYTES}
        if file.xet_hash is not None:
            entry["xetHash"] = file.xet_hash
        found[path] = entry
    return list(found.values())
