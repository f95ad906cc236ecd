"""Training in the real sandbox: what a malicious recipe finds, reaches and leaves; and that it can be repeated."""

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.services.sandbox_tiers import sandbox_named
from tests.unit.train.small_project import (
    FOREST,
    LOGISTIC,
    SmallProject,
    evidence_of,
    in_process,
    make_project,
    value_of,
)

from holdfast.adapters.sandbox import python_job
from holdfast.core.artifact import Artifact, Digest, Kind
from holdfast.core.errors import HoldfastError, InvalidRecipe, StageFailed
from holdfast.core.evidence import Outcome
from holdfast.core.ports import Job, JobResult, Limits, Sandbox, Tier
from holdfast.engines.dataset import from_parquet
from holdfast.train import train

TIERS = (str(Tier.PROCESS), str(Tier.NAMESPACES))


@pytest.fixture(params=TIERS)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> SmallProject:
    """A small project whose jobs run confined, in each tier."""
    return make_project(tmp_path, sandbox=sandbox_named(request.param))


@pytest.fixture
def process_project(tmp_path: Path) -> SmallProject:
    """The same in the process tier alone."""
    return make_project(tmp_path, sandbox=sandbox_named(Tier.PROCESS))


SEARCH = (
    """
import os

def search(roots, wanted):
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                try:
                    with open(os.path.join(folder, name), "rb") as file:
                        data = file.read()
                except OSError:
                    continue
                if any(word in data for word in wanted):
                    raise RuntimeError("FOUND IT")
"""
    + LOGISTIC
)


def searching(roots: Sequence[Path], wanted: Sequence[bytes]) -> str:
    """A recipe that looks through folders for bytes, and gives itself away when it finds them."""
    call = f"    search({[str(root) for root in roots]!r}, {list(wanted)!r})\n"
    return SEARCH.replace("seed):\n", "seed):\n" + call)


def sealed_bytes(project: SmallProject) -> list[bytes]:
    """What gives the sealed rows away: their table as stored, and each row's features as a job would hold them."""
    split = project.train().one(Kind.SPLIT)
    table = project.file(split, "test.parquet")
    rows = from_parquet(table).select("age", "dose", "mass", "span").to_numpy().astype("float32")
    return [table[:64], *(row.tobytes() for row in rows)]


def unsafe(folder: Path) -> SmallProject:
    """The same project in a workspace whose sandbox confines nothing."""
    folder.mkdir()
    return make_project(folder, sandbox=in_process())


def fresh(project: SmallProject, name: str) -> SmallProject:
    """The same project with an empty scratch folder, as each stage gets one."""
    scratch = project.ws.scratch.with_name(name)
    scratch.mkdir()
    ws = replace(project.ws, scratch=scratch)
    return SmallProject(ws=ws, project=project.project, features=project.features, made_with=project.made_with)


@pytest.mark.guarantee("G14")
def test_a_recipe_that_searches_for_sealed_rows_finds_none(project: SmallProject, tmp_path: Path) -> None:
    """A recipe walks the workspace, its own folders and temporary ones for a sealed row, and there is none to be read.

    The same recipe in an unconfined process finds them, so it knows how to look.
    """
    wanted = sealed_bytes(fresh(project, "first"))
    hunter = searching([tmp_path, Path("/tmp"), Path("/dev/shm"), Path("/proc/self")], wanted)
    assert fresh(project, "second").train(hunter).one(Kind.MODEL).size
    loose = unsafe(tmp_path / "loose")
    with pytest.raises(InvalidRecipe, match="FOUND IT"):
        loose.train(searching([tmp_path / "loose"], wanted))


def test_a_recipe_cannot_read_ledger_or_keys(project: SmallProject, tmp_path: Path) -> None:
    """Knowing the very path of the ledger or a key does not help a recipe."""
    secrets = [tmp_path / ".holdfast" / "ledger.db", tmp_path / ".holdfast" / "keys" / "release.pem"]
    for secret in secrets:
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text("a secret")
    opens = "".join(f"    attempt({str(secret)!r})\n" for secret in secrets)
    code = """
def attempt(path):
    try:
        open(path).read()
    except OSError:
        return
    raise RuntimeError("READ " + path)
"""
    code += LOGISTIC.replace("seed):\n", "seed):\n" + opens)
    assert project.train(code).one(Kind.MODEL).size
    with pytest.raises(InvalidRecipe, match="READ "):
        unsafe(tmp_path / "loose").train(code)


@pytest.mark.guarantee("G13")
def test_a_recipe_reaches_no_network(project: SmallProject, tmp_path: Path) -> None:
    """A server listens on this very machine, and the recipe knows its port: no connection, and nobody knocks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        connect = f"    import socket\n    socket.create_connection(('127.0.0.1', {port}), timeout=2).send(b'rows')\n"
        code = LOGISTIC.replace("seed):\n", "seed):\n" + connect)
        with pytest.raises(InvalidRecipe, match="the recipe failed: ") as caught:
            project.train(code)
        assert caught.value.place.startswith("train.py:")
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.guarantee("G13")
def test_a_recipe_writes_nowhere_else(project: SmallProject, tmp_path: Path) -> None:
    """Weights for shared storage, an edit of what the stage keeps: refused, or gone with the job.

    The same recipe in an unconfined process leaves its file, so it does try.
    """
    task = project.ws.scratch / "recipe" / "given" / "task.json"
    code = f"""
def attempt(path):
    try:
        with open(path, "ab") as file:
            file.write(b"WRITTEN")
    except OSError:
        pass
{LOGISTIC}"""

    def writing(*places: Path) -> str:
        return code.replace("seed):\n", "seed):\n" + "".join(f"    attempt({str(place)!r})\n" for place in places))

    shared = tmp_path / "shared.bin"
    assert project.train(writing(shared, task)).one(Kind.MODEL).size
    assert not shared.exists()
    assert b"WRITTEN" not in task.read_bytes()
    unsafe(tmp_path / "loose").train(writing(shared))
    assert shared.read_bytes() == b"WRITTEN"


def test_a_recipe_cannot_weaken_the_baseline_it_is_compared_with(process_project: SmallProject) -> None:
    """A recipe spoils every module of ours it can reach and leaves a baseline of its own: the baseline is the same."""
    honest = fresh(process_project, "honest").train().one(Kind.BASELINE)
    spoil = """
import holdfast.train.linear, holdfast.train.export
holdfast.train.linear.fit = None
open("baseline.onnx", "wb").write(b"weak")
open("baseline-scores.f32", "wb").write(b"weak")
"""
    result = process_project.train(spoil + FOREST)
    assert result.one(Kind.BASELINE).digest == honest.digest
    assert value_of(evidence_of(result, "train.sandbox/1"), "unexpected_files") == 2


def test_a_recipe_cannot_lie_about_its_sandbox(process_project: SmallProject) -> None:
    """What the sandbox forbids is found out by a job without the recipe: what a recipe writes is not read."""
    lie = 'open("confinement.json", "w").write("{}")\nopen("environment.json", "w").write("{}")\n'
    told = evidence_of(process_project.train(lie + LOGISTIC), "train.sandbox/1")
    assert value_of(told, "network_denied") == 1
    assert value_of(told, "undeclared_paths_readable") == 0
    assert told.facts["seccomp"] == "filter"
    assert told.facts["no_new_privileges"] == "yes"


@pytest.mark.parametrize(("tier", "rank"), [(Tier.PROCESS, 1), (Tier.NAMESPACES, 2)])
def test_the_tier_that_was_used_is_evidence(tmp_path: Path, tier: Tier, rank: int) -> None:
    """The evidence says which sandbox held the recipe, and what it was found to hold back."""
    told = evidence_of(make_project(tmp_path, sandbox=sandbox_named(tier)).train(), "train.sandbox/1")
    assert told.outcome is Outcome.MEASURED
    assert (value_of(told, "tier_rank"), told.facts["tier"]) == (rank, tier)
    assert value_of(told, "network_denied") == 1
    assert value_of(told, "undeclared_paths_readable") == 0
    assert not told.findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """A sandbox whose jobs may use little."""

    sandbox: Sandbox
    limits: Limits

    @property
    def tier(self) -> Tier:
        return self.sandbox.tier

    def run(self, job: Job) -> JobResult:
        return self.sandbox.run(job)

    def python(self, module: str, args: Sequence[str], *, readable: Sequence[Path], writable: Path) -> JobResult:
        return self.run(python_job(module, args, readable=readable, writable=writable, limits=self.limits))


ENDS = {
    "never ends": ("    while True: pass\n", Limits(cpu_s=5, wall_s=60), StageFailed, "the recipe ran out of time"),
    "eats memory": (
        "    held = [bytearray(1 << 20) for _ in range(1 << 20)]\n",
        Limits(memory_bytes=1 << 30),
        StageFailed,
        "the recipe ran out of memory",
    ),
    "kills itself": (
        "    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)\n",
        Limits(),
        StageFailed,
        "the recipe was killed",
    ),
    "leaves without a word": ("    import os\n    os._exit(0)\n", Limits(), InvalidRecipe, "without leaving a model"),
    "leaves with an error": (
        "    import os, sys\n    print('\\x1b[2Jnot today', file=sys.stderr, flush=True)\n    os._exit(3)\n",
        Limits(),
        StageFailed,
        "ended with an error: [2Jnot today",
    ),
}


@pytest.mark.parametrize(("line", "limits", "error", "words"), ENDS.values(), ids=ENDS)
def test_every_bad_end_of_a_recipe_has_one_clear_error(
    tmp_path: Path, line: str, limits: Limits, error: type[HoldfastError], words: str
) -> None:
    """Out of time, out of memory, killed, gone: each is told apart, in words, with a remedy; no model is stored."""
    sandbox = Short(sandbox=sandbox_named(Tier.PROCESS), limits=limits)
    with pytest.raises(error) as caught:
        make_project(tmp_path, sandbox=sandbox).train(LOGISTIC.replace("seed):\n", "seed):\n" + line))
    assert words in caught.value.message
    assert caught.value.remedy
    assert str(caught.value).isprintable()


def test_a_recipe_may_print_as_much_as_it_likes(process_project: SmallProject) -> None:
    """A flood of output is cut, and harms nobody: training goes on."""
    flood = """    import sys
    for _ in range(200):
        sys.stdout.write('a' * 100_000)
        sys.stderr.write('b' * 100_000)
"""
    assert process_project.train(LOGISTIC.replace("seed):\n", "seed):\n" + flood)).one(Kind.MODEL).size


EXPORTS = """
import hashlib, json, warnings
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import (AdaBoostClassifier, BaggingClassifier, ExtraTreesClassifier, GradientBoostingClassifier,
    RandomForestClassifier, StackingClassifier, VotingClassifier)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from holdfast.train.export import export_estimator

warnings.simplefilter("ignore")
rows, labels = load_breast_cancer(return_X_y=True)
linear = make_pipeline(StandardScaler(), LogisticRegression())
forest = RandomForestClassifier(5, random_state=0)
pair = [("linear", linear), ("forest", forest)]
made = {
    "logistic": LogisticRegression(max_iter=10),
    "pipeline": linear,
    "forest": forest,
    "extra trees": ExtraTreesClassifier(5, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=5, random_state=0),
    "ada boost": AdaBoostClassifier(n_estimators=5, random_state=0),
    "bagging": BaggingClassifier(n_estimators=3, random_state=0),
    "svc": make_pipeline(StandardScaler(), SVC(probability=True, random_state=0)),
    "voting": VotingClassifier(pair, voting="soft", flatten_transform=False),
    "stacking": StackingClassifier(pair),
    "mlp": MLPClassifier((8,), max_iter=20, random_state=0),
    "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier()),
    "bayes": GaussianNB(),
}
found = {name: export_estimator(model.fit(rows, labels), 30, ("no", "yes")) for name, model in made.items()}
print(json.dumps({name: hashlib.sha256(document).hexdigest() for name, document in found.items()}))
"""
KINDS = (
    *("logistic", "pipeline", "forest", "extra trees", "boosting", "ada boost", "bagging", "svc", "voting", "stacking"),
    *("mlp", "neighbours", "bayes"),
)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Digests of many estimators, fitted and exported in two processes that hash text differently."""
    found = []
    for seed in ("1", "2"):
        folder = tmp_path_factory.mktemp("exports")
        job = python_job("unused", (), readable=(), writable=folder, env={"PYTHONHASHSEED": seed})
        result = sandbox_named(Tier.PROCESS).run(replace(job, argv=(*job.argv[: job.argv.index("-m")], "-c", EXPORTS)))
        assert result.exit_code == 0, result.stderr.decode()
        found.append(json.loads(result.stdout))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_an_estimator_is_the_same_bytes_whatever_the_process_hashes_with(
    exports: list[dict[str, str]], kind: str
) -> None:
    """Exporters name tensors in the order of sets, which follows the hash seed: the exported bytes do not."""
    assert exports[0][kind] == exports[1][kind]


@pytest.mark.guarantee("G23")
def test_a_training_can_be_repeated_byte_for_byte(tmp_path: Path) -> None:
    """Two trainings in separate workspaces and processes, hashing differently, leave the same three artifacts."""
    digests = []
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        sandbox = Hashed(sandbox=sandbox_named(Tier.PROCESS), seed=seed)
        result = make_project(tmp_path / seed, sandbox=sandbox).train(FOREST)
        digests.append([item.digest for item in result.artifacts if item.kind is not Kind.METRICS])
    assert digests[0] == digests[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed:
    """A sandbox whose jobs hash text with a seed of its own."""

    sandbox: Sandbox
    seed: str

    @property
    def tier(self) -> Tier:
        return self.sandbox.tier

    def run(self, job: Job) -> JobResult:
        return self.sandbox.run(job)

    def python(self, module: str, args: Sequence[str], *, readable: Sequence[Path], writable: Path) -> JobResult:
        env = {"PYTHONHASHSEED": self.seed}
        return self.run(python_job(module, args, readable=readable, writable=writable, env=env))


@pytest.mark.requirement("PROV-12")
def test_a_past_training_is_repeated_from_what_its_evidence_names(process_project: SmallProject) -> None:
    """The evidence names features, recipe, split and seed; training from those alone gives the same digests."""
    first = process_project.train(FOREST)
    made_with = first.evidence[0].made_with
    features, recipe, split = (Digest(item) for item in made_with.data)
    ws = fresh(process_project, "later").ws
    again = train(
        ws,
        process_project.project,
        Artifact(kind=Kind.FEATURES, digest=features, size=0),
        Artifact(kind=Kind.RECIPE, digest=recipe, size=0),
        made_with,
    )
    assert again.one(Kind.SPLIT).digest == split
    assert [item.digest for item in again.artifacts] == [item.digest for item in first.artifacts]
    assert [item.reproducible for item in again.evidence] == [item.reproducible for item in first.evidence]


def test_assessing_in_the_sandbox_measures_everything_and_can_be_repeated(project: SmallProject) -> None:
    """Each control is measured, in either tier, but the votes that are none; the same seed gives the same evidence."""
    trained = project.train(FOREST)
    first, second = (fresh(project, name).assess(trained) for name in ("one", "two"))
    outcomes = {item.control: item.outcome for item in first.evidence}
    assert outcomes.pop("assess.certificate/1") == Outcome.NOT_APPLICABLE
    assert len(outcomes) >= 6
    assert set(outcomes.values()) == {Outcome.MEASURED}
    assert [item.reproducible for item in first.evidence] == [item.reproducible for item in second.evidence]


SPY = """
import numpy as np
from onnx import TensorProto, helper

def train(data, params, seed):
    names = ["label", "probabilities"]
    read = helper.make_tensor("w", TensorProto.FLOAT, [4, 2], np.zeros(8, dtype="float32"))
    read.ClearField("float_data")
    read.data_location = TensorProto.EXTERNAL
    read.external_data.add(key="location", value=PLACE)
    nodes = [
        helper.make_node("MatMul", ["input", "w"], ["z"]),
        helper.make_node("Softmax", ["z"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "spy",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
         helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [read])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
"""


@pytest.mark.guarantee("G15")
def test_a_model_that_points_at_another_file_reads_none(process_project: SmallProject, tmp_path: Path) -> None:
    """ONNX may name a file for its weights: a model that names a secret is refused where it is first loaded."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(32))
    with pytest.raises(InvalidRecipe, match="cannot be loaded"):
        process_project.train(SPY.replace("PLACE", repr(str(secret))))
