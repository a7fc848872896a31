"""Programs for yapapi run unchanged: as processes, on an emulated network, with commands that really run."""

import asyncio
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from golem_tasks import _native

HERE = Path(__file__).resolve().parent
STAND_IN = HERE.parent.parent / "examples" / "blender" / "stand-in"
EXAMPLE = HERE.parent / "examples" / "yapapi_blender.py"
ON_DEVNET = ["-m", "golem_tasks.yapapi", "--devnet"]
ON_IMAGE = [*ON_DEVNET, "--devnet-image", str(STAND_IN / "image")]
PNG = b"\x89PNG\r\n\x1a\n"


def furnished(folder):
    """Put the programs and a scene into a folder."""
    folder.mkdir(exist_ok=True)
    for program in (HERE / "programs").glob("*.py"):
        shutil.copy(program, folder)
    shutil.copy(STAND_IN / "scene.blend", folder / "cubes.blend")
    return folder


@pytest.fixture
def folder(tmp_path):
    return furnished(tmp_path)


class Program:
    """A program at work in a folder of its own."""

    def __init__(self, folder, *arguments, **variables):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self):
        """Wait for its end; what it printed, and what it logged."""
        try:
            printed, logged = self.process.communicate(timeout=40)
        finally:
            self.process.kill()
        assert self.process.returncode == 0, printed + logged
        return printed, logged


class Interrupted:
    """A program that is interrupted when it prints or logs certain words."""

    def __init__(self, folder, *arguments):
        self.process = subprocess.Popen([sys.executable, "-u", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = []
        self.killer = threading.Timer(60, self.process.kill)
        self.killer.start()

    def until(self, words):
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return
        raise AssertionError(f"`{words}` never came: {''.join(self.lines)}")

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        self.at = time.monotonic()

    def end(self):
        self.lines.extend(self.process.stdout)
        code = self.process.wait()
        self.killer.cancel()
        return code, time.monotonic() - self.at, "".join(self.lines)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The programs that end by themselves, all at work at once."""
    started = {}

    def start(name, *arguments, prepare=None, **variables):
        folder = furnished(tmp_path_factory.mktemp(name))
        if prepare is not None:
            prepare(folder)
        started[name] = Program(folder, *arguments, **variables)

    start("frames", *ON_IMAGE, "frames.py")
    devnet = {"GOLEM_DEVNET": "3", "GOLEM_DEVNET_IMAGE": str(STAND_IN / "image")}
    start("changed", "frames.py", prepare=change_imports, **devnet)
    start("hello", *ON_DEVNET, "hello.py")
    # SHA-256 of 42 begins with these digits.
    start("search", *ON_DEVNET, "search.py", "73475c", "--log-file", "search.log")
    start("render", *ON_IMAGE, str(EXAMPLE), "cubes.blend")
    if "GOLEM_YAPAPI_README" in os.environ:
        start("readme", *ON_IMAGE, "blender.py", prepare=take_from_readme)
    for name in ("interrupted once", "interrupted twice"):
        started[name] = Interrupted(furnished(tmp_path_factory.mktemp("interrupted")), *ON_DEVNET, "frames.py", "50")
    yield started
    for program in started.values():
        program.process.kill()


def change_imports(folder):
    text = (folder / "frames.py").read_text()
    changed = re.sub(r"^from yapapi", "from golem_tasks.yapapi", text, flags=re.M)
    assert changed.count("golem_tasks.yapapi") == text.count("from yapapi") == 5
    (folder / "frames.py").write_text(changed)


def take_from_readme(folder):
    readme = Path(os.environ["GOLEM_YAPAPI_README"]).read_text()
    found = re.search(r"```python\n(.*?)```", readme, re.S)
    assert found is not None
    (folder / "blender.py").write_text(found.group(1))


def assert_frames(folder, printed):
    for frame in range(0, 60, 10):
        assert re.search(rf"Task computed: Task\(id=\d+, data={frame}\), result: output_{frame}.png, time: 0:00:", printed), printed
        assert (folder / f"output_{frame}.png").read_bytes().startswith(PNG)


def test_a_program_for_0_5_runs_unchanged(programs):
    printed, logged = programs["frames"].end()
    assert_frames(programs["frames"].folder, printed)
    assert "6 tasks computed" in printed
    assert re.search(r"yapapi 0\.13\.1\S*, community\.4, erc20, hoodi", logged)
    for old, new in (("community.4", "public"), ("zksync", "erc20"), ("rinkeby", "hoodi")):
        assert f"`{old}` no longer exists. The program uses `{new}` instead." in logged
    assert "frames.py" in logged.split("`community.4`")[0].splitlines()[-1], "the warning names the program"
    assert "Job finished in" in logged and "Golem engine has shut down" in logged
    assert "ERROR" not in logged


def test_a_program_for_0_5_runs_with_only_its_imports_changed(programs):
    printed, _ = programs["changed"].end()
    assert_frames(programs["changed"].folder, printed)


@pytest.mark.skipif("GOLEM_YAPAPI_README" not in os.environ, reason="GOLEM_YAPAPI_README names no README of yapapi 0.5")
def test_the_program_of_yapapis_readme_runs_unchanged(programs):
    printed, _ = programs["readme"].end()
    assert_frames(programs["readme"].folder, printed)


def test_hello_for_0_13_runs_unchanged(programs):
    printed, logged = programs["hello"].end()
    assert printed == "Hello from 42\n\n"
    assert "Task finished by provider" in logged


def test_a_search_in_two_passes_runs_unchanged_and_ends_early(programs):
    printed, logged = programs["search"].end()
    assert re.match(r"Found 42 after 0:00:", printed), printed
    assert re.search(r"yapapi 0\.13\.1\S*, public, erc20, hoodi", logged)
    log = (programs["search"].folder / "search.log").read_text()
    assert "DEBUG yapapi.events] JobStarted(job=Job(id='1'))" in log
    assert "CommandExecuted(" in log and "ShutdownFinished()" in log


def test_a_renderer_for_0_13_runs_unchanged(programs):
    printed, logged = programs["render"].end()
    assert_frames(programs["render"].folder, printed)
    assert "Ready, ['golem.usage.cpu_sec', 'golem.usage.duration_sec'], cost True" in logged
    assert "`holesky` no longer exists. The program uses `hoodi` instead." in logged


def test_ctrl_c_ends_a_program_in_order(programs):
    program = programs["interrupted once"]
    program.until("Task started on provider")
    program.interrupt()
    program.until("Shutting down gracefully")
    assert time.monotonic() - program.at < 1
    code, took, text = program.end()
    assert code == 0, text
    assert "Accepted invoice from" in text and "Golem engine has shut down" in text
    assert text.endswith("Shutdown completed\n")
    assert took < 20


def test_a_second_ctrl_c_ends_a_program_at_once(programs):
    program = programs["interrupted twice"]
    program.until("Task started on provider")
    program.interrupt()
    program.until("Execution interrupted by CancelledError")
    program.interrupt()
    code, took, text = program.end()
    assert code == 0, text
    assert text.endswith("Shutdown completed\n")
    assert took < 2


@pytest.fixture
def registry():
    """The address of a registry that knows one image."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = "tag=golem%2Falpine%3Alatest" in self.path
            image = {"http": "http://127.0.0.1/image.gvmi", "https": "https://127.0.0.1/image.gvmi", "sha3": "ab" * 28, "size": 1}
            body = json.dumps(image if known else {"message": "unknown"}).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_program_finds_the_daemon_that_the_environment_names_and_hears_of_a_missing_account(folder, registry):
    async def main():
        devnet = await _native.Devnet.start(2, instant=True)
        try:
            way = {"YAGNA_API_URL": devnet.api_url, "YAGNA_APPKEY": devnet.app_key, "GOLEM_REGISTRY_URL": registry}
            search = ["-m", "golem_tasks.yapapi", "search.py", "73475c"]
            works = Program(folder, *search, **way)
            refused = Program(folder, *search, "--payment-network", "Nowhere", **way)
            loop = asyncio.get_running_loop()
            ends = await asyncio.gather(*(loop.run_in_executor(None, program.end) for program in (works, refused)))
            return ends, devnet.open_agreements(), devnet.unpaid_invoices()
        finally:
            await devnet.stop()

    ((found, _), (refused, _)), open_agreements, unpaid = asyncio.run(main())
    assert re.match(r"Found 42 after 0:00:", found), found
    assert refused == "No account for erc20 on nowhere\n"
    assert (open_agreements, unpaid) == (0, 0)


@pytest.mark.parametrize("arguments", [["program.py"], ["-m", "program"]])
def test_a_program_gets_its_arguments_and_gives_its_exit_code(tmp_path, arguments):
    (tmp_path / "beside.py").write_text("WORD = 'beside'\n")
    (tmp_path / "program.py").write_text(
        "import sys\nimport yapapi.rest.activity as theirs, golem_tasks.yapapi.rest.activity as ours\nfrom beside import WORD\n"
        "assert theirs is ours and __name__ == '__main__' and __file__\nprint(sys.argv[1:], WORD)\nsys.exit(3)\n"
    )
    command = [sys.executable, "-m", "golem_tasks.yapapi", *arguments, "--devnet", "x"]
    ended = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
    assert (ended.returncode, ended.stdout) == (3, "['--devnet', 'x'] beside\n"), ended.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--devnet-image", ".", "hello.py"], "Add `--devnet`."),
        (["--devnet", "--devnet-image", "nowhere", "hello.py"], "`nowhere` is not a folder."),
        (["--devnet", "--devnet-providers", "0", "hello.py"], "`0` is not a number of providers."),
        (["nothing.py"], "there is no program `nothing.py`."),
    ],
)
def test_a_wrong_command_line_is_refused(folder, arguments, message):
    command = [sys.executable, "-m", "golem_tasks.yapapi", *arguments]
    ended = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
    assert ended.returncode == 2
    assert message in ended.stderr
