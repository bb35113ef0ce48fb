"""No file can run code, and no command opens an internet socket unless the user names a store or a scheduler."""

import ast
import io
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from curate.cli import main as curate
from curate.system.errors import DamagedError
from tests import ROOT
from tests.faults import network_filter
from tests.faults.damage import (
    SETTINGS,
    Command,
    UndamagedFolders,
    fresh_copy,
    is_one_line_error,
    judge_command,
    list_files,
    run_command,
    undamaged_folders,
)

MODULES = [path for package in ("curate", "train") for path in sorted((ROOT / package).rglob("*.py"))]
LOADERS = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "joblib", "dill", "cloudpickle", "torch", "yaml", "dbm"}
RUNNERS = {"eval", "exec", "compile", "__import__", "breakpoint"}
SHELLS = {"system", "popen", "read_pickle", "to_pickle", "unsafe_load", "load_module", "enable_unsafe_deserialization"}
REQUIRED_KEYWORDS = {
    "load": ("allow_pickle", False),
    "load_model": ("safe_mode", True),
    "savez": ("allow_pickle", False),
}
"""Keyword and value that a call of one of these functions of `np` or `keras` must give."""


@pytest.fixture(scope="module")
def undamaged() -> UndamagedFolders:
    return undamaged_folders()


def unsafe(path: Path) -> Iterator[str]:
    """Places in a module that might run code from a file, each as `path:line name`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] in LOADERS]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if (node.module or "").split(".")[0] in LOADERS else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names = [node.func.id] if node.func.id in RUNNERS else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            names = _of_call(node, node.func)
        yield from (f"{path.relative_to(ROOT)}:{node.lineno} {name}" for name in names)  # type: ignore[attr-defined]


def _of_call(node: ast.Call, called: ast.Attribute) -> list[str]:
    if called.attr in SHELLS or (called.attr == "import_module" and not isinstance(node.args[0], ast.Constant)):
        return [called.attr]
    given = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
    if given.get("shell"):
        return ["shell=True"]
    of_library = ast.unparse(called.value) in {"np", "numpy", "keras.saving", "keras.models", "saving"}
    if of_library and called.attr in REQUIRED_KEYWORDS:
        name, value = REQUIRED_KEYWORDS[called.attr]
        return [] if name in given and given[name] is value else [f"{called.attr} without {name}={value}"]
    return []


def test_no_module_unpickles_or_runs_the_content_of_a_file() -> None:
    assert len(MODULES) > 100
    assert [line for path in MODULES for line in unsafe(path)] == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "eval(text)",
        "exec(text)",
        "os.system(text)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "keras.saving.load_model(path)",
        "keras.saving.load_model(path, safe_mode=False)",
        "pd.read_pickle(path)",
        "subprocess.run(text, shell=True)",
        "importlib.import_module(text)",
    ],
)
def test_the_check_of_modules_finds_each_unsafe_line(
    tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.faults.test_safe.ROOT", tmp_path)
    (tmp_path / "module.py").write_text(line)
    assert len(list(unsafe(tmp_path / "module.py"))) == 1


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A path that unpickling a Canary would create; it must not exist at the end of the test."""
    path = tmp_path / "canary"
    pickle.loads(pickle.dumps(Canary(path))).close()
    assert path.exists()
    path.unlink()
    yield path
    assert not path.exists()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def parquet_with_pickled_type(payload: bytes) -> bytes:
    """A Parquet file with a column of an extension type that Arrow once unpickled (CVE-2023-47248)."""
    metadata = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": payload}
    field = pa.field("id", pa.string()).with_metadata(metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table([pa.array(["a"])], schema=pa.schema([field])), sink)
    return bytes(sink.getvalue())


def payloads(canary: Path) -> dict[str, bytes]:
    pickled = pickle.dumps(Canary(canary))
    return {
        "a pickle": pickled,
        "an array of objects": npz(id=np.array([Canary(canary)], object)),
        "a pickled type": parquet_with_pickled_type(pickled),
        "tags of YAML": f"!!python/object/apply:builtins.open ['{canary}', 'w']\n".encode(),
    }


KINDS = ("a pickle", "an array of objects", "a pickled type", "tags of YAML")


@pytest.mark.parametrize("kind", KINDS)
def test_verify_names_a_file_of_a_dataset_or_of_shards_that_a_pickle_replaces(
    undamaged: UndamagedFolders, tmp_path: Path, canary: Path, kind: str
) -> None:
    payload = payloads(canary)[kind]
    for folder in (undamaged.dataset, undamaged.shards["tfrecord"]):
        for name in list_files(folder):
            data = fresh_copy(folder, tmp_path / "data")
            (data / name).write_bytes(payload)
            result = CliRunner().invoke(curate, ["verify", str(data)])
            assert isinstance(result.exception, SystemExit), (name, result.exception)
            assert result.exit_code == 1, name
            assert Path(name).name in result.output, name


@pytest.mark.parametrize("kind", KINDS)
def test_shard_refuses_a_pickle_in_place_of_a_file_that_it_reads_and_ignores_one_elsewhere(
    undamaged: UndamagedFolders, tmp_path: Path, canary: Path, kind: str
) -> None:
    payload, out = payloads(canary)[kind], tmp_path / "out"
    command = Command(("shard", "{data}", "{out}/shards", "--min-count", "1", "--workers", "1"))
    result, expected = run_command(command, fresh_copy(undamaged.dataset, tmp_path / "data"), out)
    assert result.exit_code == 0, result.output
    outcomes = {}
    for name in list_files(undamaged.dataset):
        data = fresh_copy(undamaged.dataset, tmp_path / "data")
        (data / name).write_bytes(payload)
        outcomes[name] = judge_command(command, expected, data, out)
    assert set(outcomes.values()) == {"refused", "same"}, outcomes
    read = [name for name in outcomes if name.startswith(("dataset.json", "manifest/", "pairs/"))]
    assert {outcomes[name] for name in read} == {"refused"}, outcomes


def test_a_pickle_as_picture_sidecar_table_selection_or_tag_rule_does_not_run(
    undamaged: UndamagedFolders, tmp_path: Path, canary: Path
) -> None:
    art = tmp_path / "art"
    art.mkdir()
    for number, payload in enumerate(payloads(canary).values()):
        for name in ("a.png", "a.png.json", "a.txt", "metadata.parquet", "metadata.jsonl", "posts.json", "meta.csv"):
            (art / str(number)).mkdir(exist_ok=True)
            (art / str(number) / name).write_bytes(payload)
        (tmp_path / "chosen.parquet").write_bytes(payload)
        chosen = ["--manifest", str(tmp_path / "chosen.parquet"), "--workers", "1"]
        assert is_one_line_error(
            CliRunner().invoke(curate, ["shard", str(undamaged.dataset), str(tmp_path / "s"), *chosen])
        )
        for option in ("--aliases", "--implications"):
            CliRunner().invoke(curate, ["tags", str(undamaged.dataset), option, str(tmp_path / "chosen.parquet")])
    result = CliRunner().invoke(curate, ["extract", str(art), str(tmp_path / "data"), "--workers", "1", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["kept"] == 0


@pytest.mark.parametrize("where", ["open({canary!r}, 'w')", "@open({canary!r}, 'w')", "id.__class__", "(lambda: 1)()"])
def test_select_refuses_an_expression_with_a_call_or_an_attribute(
    undamaged: UndamagedFolders, tmp_path: Path, canary: Path, where: str
) -> None:
    words = ["select", str(undamaged.dataset), str(tmp_path / "o.parquet"), "--where", where.format(canary=str(canary))]
    assert is_one_line_error(CliRunner().invoke(curate, words))


def train(*words: object) -> Result:
    from train.cli import main

    return CliRunner().invoke(main, [*map(str, words)])


@pytest.fixture(scope="module")
def run(undamaged: UndamagedFolders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained model. Tests change copies only."""
    from dataclasses import replace

    from train.config import override
    from train.model import snapshots, trained_model
    from train.presets import preset_config
    from train.training.fit import build_gan
    from train.training.run_folder import prepare_run_folder

    folder: Path = tmp_path_factory.mktemp("run") / "run"
    settings = [word for word in SETTINGS if word != "--set"]
    config = replace(override(preset_config("tags"), settings))
    prepare_run_folder(undamaged.shards["tfrecord"], folder, config, fresh=False)
    gan = build_gan(config, undamaged.shards["tfrecord"])
    trained_model.save_model(folder, gan.averaged_generator)
    snapshots.save(folder, snapshots.TrainingClock(), gan.state())
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_fit_refuses_a_snapshot_with_an_array_of_objects_in_one_line(
    undamaged: UndamagedFolders, copy: Path, canary: Path
) -> None:
    from train.errors import RunError
    from train.model import snapshots

    [path] = snapshots.list_snapshots(copy)
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    for payload in (
        pickle.dumps(Canary(canary)),
        npz(**arrays | {"average/000": np.array([Canary(canary)], object)}),
        npz(**arrays | {"clock/step": np.array(Canary(canary), object)}),
    ):
        path.write_bytes(payload)
        with pytest.raises(RunError, match="cannot be read"):
            snapshots.read_snapshot(path)
        assert is_one_line_error(train("fit", undamaged.shards["tfrecord"], copy, "--steps", 1, "--quiet", *SETTINGS))


def hostile_configs(config: dict[str, Any], canary: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, config) of models that once ran code or read a file that their author named."""
    layers = config["config"]["layers"]

    def with_layer(module: str, name: str, inner: dict[str, Any], registered: str | None = None) -> dict[str, Any]:
        layer = {"module": module, "class_name": name, "config": inner, "registered_name": registered}
        return {**config, "config": {**config["config"], "layers": [layers[0], layer | {"name": "x"}, *layers[1:]]}}

    yield "a function", with_layer("os", "system", {"name": "x", "command": f"touch {canary}"})
    yield "a builtin", with_layer("builtins", "exec", {"name": "x", "source": f"open({str(canary)!r}, 'w')"})
    yield "a registered one", with_layer("os", "system", {"name": "x"}, "nurie>FiLM")
    switch = with_layer("keras.config", "enable_unsafe_deserialization", {"name": "x"})  # CVE-2025-9906
    yield "the switch of safe mode", switch
    fetch = {"name": "x", "fname": str(canary), "origin": "http://127.0.0.1:9/x"}
    yield "a download", with_layer("keras.utils", "get_file", fetch)  # CVE-2025-8747
    lambda_layer = {
        "name": "x",
        "function": {"class_name": "__lambda__", "config": {"code": "4wAAAAA=", "defaults": None}},
    }
    yield "code", with_layer("keras.layers", "Lambda", lambda_layer)
    words = {"name": "x", "vocabulary": "/etc/passwd", "dtype": "string"}  # CVE-2025-12058
    yield "a file of words", with_layer("keras.layers", "StringLookup", words)
    yield "another root", {"module": "os", "class_name": "system", "config": {"command": f"touch {canary}"}}


def rewrite_member(path: Path, name: str, data: bytes) -> None:
    """Replace the member `name` of a zip file."""
    with zipfile.ZipFile(path) as file:
        members = {member: file.read(member) for member in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for member, content in (members | {name: data}).items():
            file.writestr(member, content)


@pytest.fixture
def safe_mode_values(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Collects the values that Keras' safe mode is set to; a call of its public switch is seen as False."""
    import keras
    from keras.src.backend.common import global_state

    values: list[object] = []
    set_attribute = global_state.set_global_attribute

    def record(name: str, value: object) -> None:
        if name == "safe_mode_saving":
            values.append(value)
        set_attribute(name, value)

    monkeypatch.setattr(global_state, "set_global_attribute", record)
    keras.config.enable_unsafe_deserialization()
    assert values == [False]
    set_attribute("safe_mode_saving", None)
    values.clear()
    return values


def test_export_refuses_a_hostile_model_in_one_line_and_never_leaves_safe_mode(
    run: Path, tmp_path: Path, canary: Path, safe_mode_values: list[object]
) -> None:
    with zipfile.ZipFile(run / "model.keras") as file:
        config = json.loads(file.read("config.json"))
    for number, (name, hostile) in enumerate(hostile_configs(config, canary)):
        home = Path(shutil.copytree(run, tmp_path / str(number)))
        rewrite_member(home / "model.keras", "config.json", json.dumps(hostile).encode())
        result = train("export", home, tmp_path / "out")
        assert is_one_line_error(result), (name, result.output, result.exception)
        assert not (tmp_path / "out").exists()
        assert False not in safe_mode_values, name
    assert True in safe_mode_values


def test_export_refuses_a_lambda_layer_of_python_code_in_one_line(copy: Path, tmp_path: Path, canary: Path) -> None:
    import keras

    inputs = keras.Input((32, 32, 1))
    lambda_layer = keras.layers.Lambda(lambda x, path=str(canary): (open(path, "w"), x)[1], output_shape=(32, 32, 1))  # noqa: SIM115, PTH123
    keras.Model(inputs, lambda_layer(inputs)).save(copy / "model.keras")
    canary.unlink(missing_ok=True)  # building the model calls the layer
    assert is_one_line_error(train("export", copy, tmp_path / "out"))


@pytest.mark.parametrize("name", ["model.keras", "config.json", "vocabulary.txt"])
def test_export_refuses_a_pickle_in_place_of_any_file_of_a_run_in_one_line(
    copy: Path, tmp_path: Path, canary: Path, name: str
) -> None:
    for payload in payloads(canary).values():
        (copy / name).write_bytes(payload)
        assert is_one_line_error(train("export", copy, tmp_path / "out"))


def test_the_seal_of_a_run_config_reveals_a_change(copy: Path) -> None:
    from train.config import read_run_config

    (copy / "config.json").write_bytes((copy / "config.json").read_bytes().replace(b'"size": 32', b'"size": 64'))
    with pytest.raises(DamagedError, match="seal"):
        read_run_config(copy)


FILTERED = pytest.mark.skipif(not network_filter.is_supported(), reason="the filter needs Linux on x86-64 or AArch64")


def offline(*commands: list[object]) -> "subprocess.CompletedProcess[str]":
    words = [str(word) for command in commands for word in ("--then", *command)][1:]
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.network_filter", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


@FILTERED
def test_the_filter_kills_a_process_that_opens_an_internet_socket() -> None:
    assert offline(["connect"]).returncode == -31  # SIGSYS


@FILTERED
def test_no_curate_command_opens_an_internet_socket(undamaged: UndamagedFolders, tmp_path: Path) -> None:
    data, shards, chosen = tmp_path / "data", tmp_path / "shards", tmp_path / "chosen.parquet"
    picture = sorted(path.name for path in undamaged.art.glob("*.png"))[3]
    done = offline(
        ["curate", "sample", "openmoji", tmp_path / "art", "--limit", 2, "--size", 32, "--workers", 1],
        ["curate", "extract", f"art={undamaged.art}", data, "--size", 32, "--workers", 2],
        ["curate", "dedupe", data, "--split", "0.5,0.25,0.25", "--workers", 1],
        ["curate", "decide", data, "keep", picture],
        ["curate", "tags", data, "--check"],
        ["curate", "select", data, chosen, "--where", "width >= 32"],
        ["curate", "shard", data, shards, "--manifest", chosen, "--min-count", 1, "--workers", 1],
        ["curate", "why", data, picture, "--shards", shards],
        ["curate", "verify", data],
        ["curate", "verify", shards],
        ["curate", "remove", data, picture],
        ["curate", "plan", "--pictures", 1000],
        ["train", "presets"],
    )
    assert done.returncode == 0, done.stderr[-2000:]


@FILTERED
@pytest.mark.slow
def test_no_train_command_opens_an_internet_socket(undamaged: UndamagedFolders, tmp_path: Path) -> None:
    shards, run = undamaged.shards["tfrecord"], tmp_path / "run"
    done = offline(
        ["train", "fit", shards, run, "--steps", 2, *SETTINGS],
        ["train", "evaluate", run, shards],
        ["train", "colorize", run, shards, tmp_path / "out", "--count", 2, "--grid"],
        ["train", "export", run, tmp_path / "model"],
    )
    assert done.returncode == 0, done.stderr[-2000:]
