"""The wheel, the lock file, and which imports need which dependencies."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, distributions, packages_distributions
from pathlib import Path
from shutil import copy2

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import ROOT

PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PACKAGES = ("curate", "train")
TEMPLATES = ("curate/audit/report.css", "curate/audit/report.html.jinja")
HEAVY = {"tensorflow", "keras", "tensorboard", "cv2", "numpy", "pandas", "pyarrow", "PIL"}
"""Slow to import: imported only when a command needs them, so that `--help` appears at once."""


def output(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a program without a terminal and without this checkout on its path, and return what it printed."""
    env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def project_files() -> list[Path]:
    """Files that are committed or would be."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file()]


def needed(requirements: list[str], folders: dict[str, Path]) -> dict[str, Path]:
    """Add the distributions that requirements need, directly or not: name -> the folder that it is installed in."""
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        if name in folders or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        dist = distribution(name)
        folders[name] = Path(str(dist.locate_file("")))
        needed(dist.requires or [], folders)
    return folders


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: an old build folder has no effect, and no new one is left behind."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for path in project_files():
        copy = tree / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy2(path, copy)
    output(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", out, tree)
    [built] = out.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel and links to the dependencies in its metadata, and nothing else."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    site = Path(output(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    output(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    [nurie] = distributions(path=[str(site)])
    for name, folder in needed(nurie.requires or [], {}).items():
        tops = {file.parts[0] for file in distribution(name).files or []}
        for top in tops - {"..", "__pycache__"}:
            if not (site / top).exists() and not top.endswith(".pth"):
                (site / top).symlink_to(folder / top)
    return home / "bin"


def test_the_wheel_holds_the_packages_their_types_and_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {*PACKAGES, f"nurie-{distribution('nurie').version}.dist-info"}
    data = {"curate/planning/costs.json", "curate/browsing/page/browse.js", *TEMPLATES}
    assert {*(f"{package}/py.typed" for package in PACKAGES), *data} <= set(names)
    sources = {str(path.relative_to(ROOT)) for path in project_files() if path.suffix == ".py"}
    assert {name for name in names if name.endswith(".py")} == {s for s in sources if s.startswith(PACKAGES)}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_runs_in_an_environment_with_its_dependencies_only(
    installed: Path, package: str, tmp_path: Path
) -> None:
    home = output(installed / "python", "-c", f"import {package}; print({package}.__file__)", cwd=tmp_path).strip()
    assert Path(home).is_relative_to(installed.parent)
    by_script = output(installed / package, "--help", cwd=tmp_path)
    by_module = output(installed / "python", "-m", package, "--help", cwd=tmp_path)
    assert by_script.startswith(f"Usage: {package} ")
    assert by_module.splitlines()[1:] == by_script.splitlines()[1:]


NEEDS_FASTAPI = re.compile(r"(browsing|serving)/(app|api_models|serve)\.py|web/(server|static_files)\.py")


def test_every_module_imports_with_the_base_dependencies(installed: Path, tmp_path: Path) -> None:
    """Extras and development tools may be imported only inside the functions that use them."""
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__main__.py" and not NEEDS_FASTAPI.search(path.as_posix())
    )
    output(installed / "python", "-c", "\n".join(f"import {module}" for module in modules), cwd=tmp_path)


def test_a_line_style_whose_extra_is_missing_is_refused_before_anything_is_read(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "art").mkdir()
    done = subprocess.run(
        [installed / "curate", "extract", "art", "d", "--lines", "contour,hed"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "Error: line art by hed needs an extra: run `pip install 'nurie[hed]'`\n"
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("arguments", [[], ["--help"]], ids=["import", "help"])
def test_starting_imports_nothing_heavy(package: str, arguments: list[str]) -> None:
    code = f"import sys, {package}\n"
    if arguments:
        code += f"from {package}.cli import main\nsys.argv = {[package, *arguments]}\n"
        code += "try: main()\nexcept SystemExit as end: assert not end.code\n"
    code += f"assert not {HEAVY} & set(sys.modules), {HEAVY} & set(sys.modules)"
    output(sys.executable, "-c", code)


def test_pictures_need_no_libgl() -> None:
    """Libraries that are mapped into the process are needed, even on a machine that has libGL."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("no /proc here")
    code = "import cv2, PIL.Image, resvg_py, pathlib; print(pathlib.Path('/proc/self/maps').read_text())"
    assert not re.findall(r"lib(?:GL|EGL|OpenGL)\b.*", output(sys.executable, "-c", code))


@pytest.mark.parametrize(
    "module",
    ["contract", "system.errors", "system.files", "system.hashing", "system.lock", "system.paths", "system.signals"],
)
def test_modules_of_curate_that_train_imports_need_only_the_standard_library(module: str) -> None:
    code = f"import sys; before = set(sys.modules); import curate.{module}; print(*set(sys.modules) - before)"
    names = {name.split(".")[0] for name in output(sys.executable, "-c", code).split()}
    assert names <= {
        *sys.stdlib_module_names,
        "__mp_main__",
        "curate",
    }  # __mp_main__ is multiprocessing's name for the program


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0], node.lineno


PEERS = {"jax", "torch", "atheris"}  # not dependencies: benchmarks and the fuzzer use them where they are installed


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_every_imported_library_is_declared(package: str) -> None:
    """A library that is only another one's dependency may disappear."""
    extras = [name for name in EXTRAS if name != "dev" or package == "tests"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    providers = packages_distributions()
    missing = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in (ROOT / package).rglob("*.py")
        for name, line in imports(path)
        if name not in sys.stdlib_module_names
        and name not in {*PACKAGES, "tests", *(PEERS if package == "tests" else ())}
        if not declared & {canonicalize_name(provider) for provider in providers.get(name, [name])}
    ]
    assert not missing


def test_every_dependency_has_a_comment_with_its_reason() -> None:
    lines = [line.strip() for line in PYPROJECT.splitlines()]
    declared = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    unexplained = [
        entry for entry in declared if not any(re.match(rf'"{re.escape(entry)}",\s+# \S', line) for line in lines)
    ]
    assert not unexplained


def test_the_lock_pins_every_dependency_with_hashes() -> None:
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text("utf-8"))
    pins = [block for block in blocks if not block.startswith("#")]
    assert all(re.match(r"[\w.-]+==\S+", pin) and "--hash=sha256:" in pin for pin in pins)
    locked = {canonicalize_name(pin.split("==")[0]) for pin in pins}
    declared = [*PROJECT["dependencies"], *EXTRAS["demo"], *EXTRAS["export"], *EXTRAS["dev"]]
    assert {canonicalize_name(Requirement(line).name) for line in declared} <= locked, "run `make lock`"


def test_the_environment_has_the_versions_of_the_lock() -> None:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    differing = []
    for name, version, marker in re.findall(r"^([\w.-]+)==(\S+)(?: ; (.*?))? \\$", text, re.MULTILINE):
        if marker and not Requirement(f"{name} ; {marker}").marker.evaluate():  # type: ignore[union-attr]  # it has one
            continue
        try:
            installed_version = distribution(name).version
        except PackageNotFoundError:
            installed_version = "absent"
        if installed_version != version:
            differing.append(f"{name} {installed_version}, locked {version}")
    assert not differing


def test_no_file_is_larger_than_500_kb() -> None:
    sizes = {path.name: path.stat().st_size for path in project_files()}
    assert not {name: size for name, size in sizes.items() if size > 500_000}


def test_no_file_names_an_index_or_a_machine() -> None:
    """Where packages come from and where folders are differs from machine to machine."""
    index = r"py[p]i\.(?:org|python)|py[t]honhosted|np[m]js|index[-_]url\b|find[-_]links\b|/simpl[e]/|fil[e]:///"
    machine = r"(?<![\w.])/(?:wor[k]|op[t]|roo[t]|hom[e]|User[s]|mn[t])/\w"
    allowed = ("--no-emit-index-url", "--no-emit-find-links")  # options of `make lock` that keep them out
    faults = []
    for path in project_files():
        data = path.read_bytes()
        if b"\0" in data:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
            for flag in allowed:
                line = line.replace(flag, "")  # noqa: PLW2901  # the line without what it may say
            if re.search(f"{index}|{machine}", line):
                faults.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not faults
