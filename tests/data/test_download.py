"""Downloads from a faulty server: retried, resumed or refused, and never half a file under the final name."""

import gzip
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from longtail.data.sources.download import DownloadError, download

SCRIPT = Path(__file__).resolve().parents[2] / "workflow/scripts/download.py"
CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers the n-th request with the n-th of `answers`, further ones with the last; notes every Range."""

    daemon_threads = True

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.ranges = []
        self.closing = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/archive.tar.gz"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        count = len(self.server.ranges)
        self.server.ranges.append(self.headers.get("Range"))
        self.server.answers[min(count, len(self.server.answers) - 1)](self)

    def start(self, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_):
        pass


def whole(handler):
    """Honours Range, as static file servers do."""
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    if start >= len(CONTENT):
        handler.start(416, Content_Range=f"bytes */{len(CONTENT)}")
        return
    content_range = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if asked else {}
    handler.start(206 if asked else 200, Content_Length=len(CONTENT) - start, **content_range)
    handler.wfile.write(CONTENT[start:])


def without_range(handler):
    handler.start(Content_Length=len(CONTENT))
    handler.wfile.write(CONTENT)


def dropped(handler):
    handler.start(Content_Length=len(CONTENT))
    handler.wfile.write(CONTENT[:100_000])


def status(code):
    return lambda handler: handler.start(code, Content_Length=0)


def page(handler):
    body = b"\n<!DOCTYPE HTML><html><body>Please log in</body></html>"
    handler.start(Content_Type="text/html", Content_Length=len(body))
    handler.wfile.write(body)


def other(content):
    def answer(handler):
        handler.start(Content_Length=len(content))
        handler.wfile.write(content)

    return answer


def cut_without_length(handler):
    handler.start()
    handler.wfile.write(CONTENT[:1000])


def wrong_range(handler):
    handler.start(
        206, Content_Range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}", Content_Length=len(CONTENT)
    )
    handler.wfile.write(CONTENT)


def called_encoded(handler):
    handler.start(Content_Encoding="gzip", Content_Length=len(CONTENT))
    handler.wfile.write(CONTENT)


def silent(handler):
    handler.server.closing.wait(20)


def trickle(handler):
    handler.start(Content_Length=len(CONTENT))
    while not handler.server.closing.wait(0.02):
        handler.wfile.write(b"x")


def half_then_silent(handler):
    handler.start(Content_Length=len(CONTENT))
    handler.wfile.write(CONTENT[:100_000])
    handler.server.closing.wait(20)


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers = []

    def start(*answers):
        servers.append(Server(answers))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.closing.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def output(tmp_path):
    return tmp_path / "data" / "archive.tar.gz"


def fetch(urls, output, **settings):
    urls = [urls] if isinstance(urls, str) else urls
    download(urls, SHA256, output, **{"attempts": 3, "timeout": 5, "pause": 0.01} | settings)


def part_of(output):
    return output.with_name(f"{output.name}.{SHA256[:12]}.part")


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def assert_whole(output):
    assert output.read_bytes() == CONTENT
    assert visible(output.parent) == [output.name]


@pytest.mark.parametrize("answer", [whole, without_range, called_encoded])
def test_gives_the_bytes_of_the_server(serve, output, answer):
    fetch(serve(answer).url, output)
    assert_whole(output)


def test_resumes_where_the_connection_dropped(serve, output):
    server = serve(dropped, whole)
    fetch(server.url, output)
    assert_whole(output)
    assert server.ranges == [None, "bytes=100000-"]


def test_resumes_from_another_address(serve, output):
    first, second = serve(dropped, status(404)), serve(whole)
    fetch([first.url, second.url], output)
    assert_whole(output)
    assert second.ranges == ["bytes=100000-"]


@pytest.mark.parametrize("answer", [without_range, wrong_range], ids=lambda answer: answer.__name__)
def test_starts_anew_where_the_server_cannot_resume(serve, output, answer):
    fetch(serve(dropped, answer, without_range).url, output)
    assert_whole(output)


def test_resumes_in_a_later_call(serve, output):
    with pytest.raises(DownloadError, match=r"100,000 bytes in .*\.part are kept") as error:
        fetch(serve(dropped).url, output, attempts=1)
    assert str(output) in str(error.value)
    assert visible(output.parent) == [part_of(output).name]
    server = serve(whole)
    fetch(server.url, output)
    assert_whole(output)
    assert server.ranges == ["bytes=100000-"]


def test_resumes_after_being_killed(serve, output):
    server = serve(half_then_silent, whole)
    command = [sys.executable, SCRIPT, "--url", server.url, "--sha256", SHA256, "--output", output]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 30
        while not (part_of(output).is_file() and part_of(output).stat().st_size) and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    kept = part_of(output).stat().st_size
    assert not output.exists()
    fetch(server.url, output)
    assert_whole(output)
    assert server.ranges[1] == f"bytes={kept}-"


def test_finishes_without_network_when_everything_had_arrived(output):
    output.parent.mkdir()
    part_of(output).write_bytes(CONTENT)
    fetch("http://127.0.0.1:1/archive.tar.gz", output)
    assert_whole(output)


def test_leaves_a_right_file_alone(output):
    output.parent.mkdir()
    output.write_bytes(CONTENT)
    fetch("http://127.0.0.1:1/archive.tar.gz", output)
    assert_whole(output)


@pytest.mark.parametrize("stale", [b"x" * 1000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)], ids=len)
def test_recovers_from_a_wrong_part(serve, output, stale):
    output.parent.mkdir()
    part_of(output).write_bytes(stale)
    fetch(serve(whole).url, output)
    assert_whole(output)


@pytest.mark.parametrize("code", [408, 429, 500, 503])
def test_retries_what_may_pass(serve, output, code):
    server = serve(status(code), status(code), whole)
    fetch(server.url, output)
    assert_whole(output)
    assert len(server.ranges) == 3


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_asks_once_and_turns_to_the_next_address_where_the_file_is_not(serve, output, code):
    first, second = serve(status(code)), serve(whole)
    fetch([first.url, second.url], output)
    assert_whole(output)
    assert len(first.ranges) == 1


@pytest.mark.parametrize("answer", [status(404), page, other(b"other")], ids=["404", "page", "other"])
def test_does_not_ask_again_where_the_answer_will_be_the_same(serve, output, answer):
    server = serve(answer)
    with pytest.raises(DownloadError):
        fetch(server.url, output)
    assert len(server.ranges) == 1


def test_turns_to_the_next_address_before_it_asks_the_first_again(serve, output):
    first, second = serve(status(503)), serve(whole)
    fetch([first.url, second.url], output)
    assert len(first.ranges) == 1


FAILURES = {
    "not found": (status(404), "HTTP 404"),
    "overloaded": (status(503), "HTTP 503"),
    "web page": (page, "HTML"),
    "short body": (dropped, "100000 bytes read, 200000 more expected"),
    "short body of unknown length": (cut_without_length, hashlib.sha256(CONTENT[:1000]).hexdigest()),
    "wrong content": (other(b"other"), hashlib.sha256(b"other").hexdigest()),
    "empty": (other(b""), "found 0 bytes"),
    "no answer": (silent, "timed out"),
    "slow": (trickle, "bytes came in"),
    "stalled": (half_then_silent, "timed out"),
}


@pytest.mark.parametrize("fault", FAILURES)
def test_one_message_names_address_finding_and_remedy(serve, output, fault):
    answer, finding = FAILURES[fault]
    server = serve(answer)
    with pytest.raises(DownloadError) as error:
        fetch(server.url, output, attempts=2, timeout=0.3)
    message = str(error.value)
    assert server.url in message
    assert finding in message
    assert SHA256 in message
    assert f"put it at {output}" in message
    assert not output.exists()
    assert set(visible(output.parent)) <= {part_of(output).name}


def test_no_network(output):
    with pytest.raises(DownloadError, match="ConnectionRefusedError") as error:
        fetch("http://127.0.0.1:1/archive.tar.gz", output)
    assert f"put it at {output}" in str(error.value)
    assert visible(output.parent) == []


def test_unknown_host(output, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DownloadError, match="gaierror"):
        fetch("http://host.invalid/archive.tar.gz", output, attempts=1)


@pytest.mark.parametrize("answer", [page, status(404)], ids=["page", "404"])
def test_what_has_arrived_survives_a_login_page(serve, output, answer):
    output.parent.mkdir()
    part_of(output).write_bytes(CONTENT[:5000])
    with pytest.raises(DownloadError):
        fetch(serve(answer).url, output)
    assert part_of(output).read_bytes() == CONTENT[:5000]


def test_follows_a_redirect(serve, output):
    target = serve(whole)
    fetch(serve(lambda handler: handler.start(302, Location=target.url, Content_Length=0)).url, output)
    assert_whole(output)


def test_keeps_passwords_and_tokens_out_of_messages(serve, output, capfd):
    refused, unreachable = serve(status(404)).url.removeprefix("http://"), "127.0.0.1:1/archive.tar.gz"
    addresses = (refused, unreachable, "[::1/archive.tar.gz")
    urls = [f"http://user:hunter2@{address}?token=hunter2" for address in addresses]
    with pytest.raises(DownloadError) as error:
        fetch(urls, output)
    assert refused in str(error.value)
    assert unreachable in str(error.value)
    assert "hunter2" not in str(error.value) + "".join(capfd.readouterr())


def test_takes_the_local_file_after_a_dropped_connection(serve, tmp_path, output):
    source = tmp_path / "copy.gz"
    source.write_bytes(CONTENT)
    fetch([serve(dropped).url, str(source)], output)
    assert_whole(output)


def test_two_at_once_fetch_once(serve, output):
    server = serve(whole)
    threads = [threading.Thread(target=fetch, args=(server.url, output)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_whole(output)
    assert len(server.ranges) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named_and_not_retried(serve, output):
    output.parent.mkdir()
    part_of(output).symlink_to("/dev/full")
    server = serve(whole)
    with pytest.raises(OSError, match="No space left") as error:
        fetch(server.url, output)
    assert str(part_of(output)) in str(error.value)
    assert len(server.ranges) == 1
    assert not output.exists()


def test_copies_a_path_or_a_file_address(tmp_path, output):
    source = tmp_path / "with space" / "100%.gz"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    for url in (str(source), source.as_uri(), f"file:{source.parent}/100%25.gz"):
        output.unlink(missing_ok=True)
        fetch(url, output)
        assert_whole(output)
        assert not output.samefile(source)


def test_refuses_a_wrong_local_file(tmp_path, output):
    source = tmp_path / "other.gz"
    source.write_bytes(b"other")
    urls = [str(source), str(tmp_path / "missing.gz"), str(tmp_path), "ftp://host/a.gz", "file://host/a.gz"]
    with pytest.raises(DownloadError) as error:
        fetch(urls, output)
    *reasons, _ = str(error.value).splitlines()[1:]
    findings = ["SHA-256", "No such file", "Is a directory", "neither http", "host"]
    for url, reason, finding in zip(urls, reasons, findings, strict=True):
        assert url in reason
        assert finding in reason
    assert visible(output.parent) == []


@pytest.mark.parametrize("sha256", ["", "85cd", "g" * 64, SHA256 + "0"])
def test_refuses_what_is_no_hash(output, sha256):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        download(["file.gz"], sha256, output)


def test_program_fetches_and_reports(serve, output):
    def run(server):
        command = [
            sys.executable,
            SCRIPT,
            "--url",
            server.url,
            "--sha256",
            SHA256.upper(),
            "--output",
            output,
        ]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)

    refused = run(serve(status(404)))
    assert refused.returncode == 1
    assert "HTTP 404" in refused.stderr
    assert "Traceback" not in refused.stderr
    fetched = run(serve(whole))
    assert (fetched.returncode, fetched.stderr) == (0, "archive.tar.gz: 0.3 of 0.3 MB\n")
    assert_whole(output)


def test_keeps_a_gzip_file_packed(serve, output):
    packed = gzip.compress(CONTENT)

    def answer(handler):
        handler.start(Content_Encoding="x-gzip", Content_Length=len(packed))
        handler.wfile.write(packed)

    download([serve(answer).url], hashlib.sha256(packed).hexdigest(), output)
    assert output.read_bytes() == packed
