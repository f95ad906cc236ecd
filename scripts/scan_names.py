"""Write the names that scanners allow from the libraries that define them, installed in an environment of their own.

`python scripts/scan_names.py NAME > src/holdfast/engines/scan/models/names/NAME.txt`, with the name of a function below
for NAME. What is sorted where is decided by the rules below, so that a new release of a library is a diff that somebody
reads. None of these libraries is a dependency of this project.
"""

import re
import sys
import textwrap
from importlib import import_module

REACHING = re.compile(
    r"(?i:file(?!l))|Save|Restore|Checkpoint|Summary|Reader|TFRecord|TextLine|CSVDataset|SqlDataset|LMDB|Snapshot(?!ted)"
    r"|CacheDataset|LoadDataset|LoadAndRemap|DataService|Rpc|Collective|Nccl|Send|Recv|RemoteCall|RecordInput"
    r"|ImmutableConst|ProtoV2|EncodeProto|VocabRemapping|Skipgram|FixedUnigram|ImportEvent|Debug|Dump|PyFunc|Bigtable"
    r"|Abort|Infeed|Outfeed|Launch|LoadTPU|RetrieveTPU|IteratorFromStringHandle|DeserializeIterator"
)
"""Operators of TensorFlow that read or write files, speak to other processes, run Python, or end the process."""
STATEFUL = re.compile(
    r"Variable|VarIs|VarHandle|VariableShape|HashTable|LookupTable|InitializeTable|TensorArray|Stack|Random|Rng|Stateful"
    r"|Resource(?:Apply|SparseApply|Scatter|Gather|Strided|CountUp)|PartitionedCall|While|^If$|^Case$|Multinomial"
    r"|TruncatedNormal|CheckNumerics|CudnnRNN|Assert|CandidateSampler|NonDeterministic|Seed|GuaranteeConst|Empty|Dataset"
    r"|AnonymousIterator|MakeIterator|IteratorGet|IteratorV2|DeleteIterator|ReduceDataset|DestroyResource|SampleDistorted"
    r"|SparseToTensorsMap|SparseFromTensorsMap|Mutex|DisableCopyOnRead"
    r"|BoostedTrees(?:Predict|Ensemble|Quantile|Deserialize)"
)
"""Of the operators with a state, those whose state lives in the model: variables, tables, random numbers, calls."""
UNJUDGED = re.compile(
    r"^_|Xla|Tpu|TPU|DTensor|Mlir|Sleep|Session|Queue|Barrier|Stage|MemoryCache|MultiDevice|^Experimental"
)
TESTS = re.compile(
    r"^(?:A|B|Attr|Attr[A-Z]\w*|Binary|ComplexStruct|ConstructionFails|DefaultAttrs|DevicePlacementOp|FiveFloat\w*"
    r"|Float(?:In|Out)put\w*|Foo\d|Func(?:Attr|ListAttr)|GraphDefVersion|In(?:t|Poly)\w*|ListInput|ListOutput|MixedStruct|N(?:In|Ints|Poly)\w*|None"
    r"|Namespace>\w+|Old|OpWith\w+|Out(?:T|Type)\w*|Polymorphic\w*|Ref(?:In|Out)\w*|Requires\w+|Reserved\w+"
    r"|Resource(?:Create|Using|Initialized)Op|Restrict|Simple|SimpleStruct|StringListAttr|StubResource\w*|Test\w+|Two\w+|TypeList\w*|Unary|Kernel\w*"
    r"|IntAttr|DtypeWithDefaultOp|DeviceIndex)$"
)
"""Operators that TensorFlow's own tests register."""
OUT_OF_TORCH = re.compile(r"aten::(?:save|load|from_file)|prim::(?:rpc_.*|PythonOp|IgnoredPythonOp|profile.*)")
"""Operators of PyTorch that read or write files, speak to other processes, or call back into Python."""
TORCH_SPACES = frozenset(
    {
        "prim",
        "prims",
        "quantized",
        "_quantized",
        "quantization",
        "sparse",
        "mkldnn",
        "onednn",
        "mkldnn_prepacked",
        "mkl",
    }
)
MODULES = (
    "layers models initializers optimizers optimizers.schedules losses metrics regularizers constraints activations"
    " dtype_policies quantizers random"
)
LEGACY = (
    "CuDNNGRU CuDNNLSTM Functional Model TFOpLambda SlicingOpLambda ClassMethod InstanceProperty InstanceMethod Policy"
    " PolicyV1 Sequential RandomHeight RandomWidth ThresholdedReLU LocallyConnected1D LocallyConnected2D DenseFeatures"
    " ModuleWrapper PeepholeLSTMCell GRUV1 LSTMV1 BatchNormalizationV1 BatchNormalizationV2 SyncBatchNormalization"
    " MeanRelativeError CosineDecay PiecewiseConstantDecay TensorFlowOpLayer AddLoss AddMetric ListWrapper DictWrapper"
    " TensorShape GlorotNormalV2 GlorotUniformV2 HeNormalV2 HeUniformV2 Zeros Ones OrthogonalV2 RandomNormalV2"
    " RandomUniformV2 VarianceScalingV2 IdentityV2 Huber"
    " BinaryFocalCrossentropy LogCosh MeanTensor DTypePolicyMap CategoryCrossing"
    " LayerScale"
)
"""Classes of Keras 2 that Keras 3 no longer has and files written by it name, and those of its applications."""
NOT_ALLOWED = frozenset({"Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer", "deserialize", "get"})
NOT_FUNCTIONS = frozenset({"load_model", "save_model", "model_from_json", "clone_model", "serialize"})


def section(name: str, words: set[str]) -> str:
    """Return one section of a file of names."""
    return f"[{name}]\n" + textwrap.fill(" ".join(sorted(words)), 118, break_long_words=False, break_on_hyphens=False)


def tensorflow() -> list[str]:
    """Return the operators of TensorFlow, sorted by what they can reach."""
    session = import_module("tensorflow.python.client.pywrap_tf_session")
    listed = import_module("tensorflow.core.framework.op_def_pb2").OpList()
    listed.ParseFromString(session.TF_GetBuffer(session.TF_GetAllOpList()))
    sorted_into: dict[str, set[str]] = {"allowed": set(), "reaching": set(), "other": set()}
    for operator in listed.op:
        name = operator.name
        if TESTS.match(name) or name.startswith("_") or "__" in name:
            continue
        if REACHING.search(name):
            sorted_into["reaching"].add(name)
        elif UNJUDGED.search(name) or (operator.is_stateful and not STATEFUL.search(name)):
            sorted_into["other"].add(name)
        else:
            sorted_into["allowed"].add(name)
    return [f"# Operators of TensorFlow {import_module('tensorflow').__version__}"] + [
        section(*each) for each in sorted_into.items()
    ]


def keras() -> list[str]:
    """Return the classes and functions of Keras that a configuration may name."""
    library = import_module("keras")
    classes, functions = set(LEGACY.split()), set[str]()
    for dotted in MODULES.split():
        module = library
        for part in dotted.split("."):
            module = getattr(module, part)
        for name in dir(module):
            value = getattr(module, name)
            if name.startswith("_") or name in NOT_ALLOWED | NOT_FUNCTIONS or not callable(value):
                continue
            (classes if isinstance(value, type) else functions).add(name)
    operations = set[str]()
    for part in ("core", "einops", "image", "linalg", "math", "nn", "numpy"):
        module = import_module(f"keras.src.ops.{part}")
        found = (each for each in vars(module).values() if isinstance(each, type))
        operations |= {each.__name__ for each in found if issubclass(each, library.Operation)} - {"Operation"}
    modules = {f"keras.{each}" for each in MODULES.split()} | {"keras", "keras.ops"}
    lines = [section("modules", modules), section("classes", classes), section("functions", functions)]
    lines.append(section("operations", operations))
    return [f"# What configurations of Keras {library.__version__} and 2 name", *lines]


def torch() -> list[str]:
    """Return the operators of PyTorch, those of its libraries in full, without what reaches out of a model."""
    library = import_module("torch")
    allowed, reaching, others = set[str](), set[str](), set[str]()
    schemas = import_module("torch._C")._jit_get_all_schemas()  # noqa: SLF001 - the registry has no other door
    for name in {schema.name for schema in schemas}:
        space, _, operator = name.partition("::")
        if OUT_OF_TORCH.fullmatch(name):
            reaching |= {operator} if space == "aten" else set()
        elif space == "aten" and not operator.startswith("_test_"):
            allowed.add(operator)
        elif space in TORCH_SPACES:
            others.add(name)
    lines = [section("allowed", allowed), section("reaching", reaching), section("others", others)]
    return [f"# Operators of PyTorch {library.__version__.partition('+')[0]}", *lines]


def onnx() -> list[str]:
    """Return the operators of ONNX and of its classical models, of every version there was."""
    library, schemas = import_module("onnx"), import_module("onnx.defs").get_all_schemas_with_history()
    domains = {"": "standard", "ai.onnx.ml": "classical"}
    sorted_into: dict[str, set[str]] = {name: set() for name in domains.values()}
    for schema in schemas:
        if schema.domain in domains:
            sorted_into[domains[schema.domain]].add(schema.name)
    return [f"# Operators of ONNX {library.__version__}"] + [section(*each) for each in sorted_into.items()]


def openvino() -> list[str]:
    """Return the operators of OpenVINO's sets in small letters, as its reader compares them."""
    library = import_module("openvino")
    operators = {"const", "parameter", "result", "memory", "tensoriterator", "readvalue", "assign", "if", "loop"}
    for name in vars(library).copy():
        if re.fullmatch(r"opset\d+", name):
            operators |= {each.replace("_", "") for each in dir(getattr(library, name)) if not each.startswith("_")}
    return [f"# Operators of OpenVINO {library.__version__.partition('-')[0]}", section("operators", operators)]


FILES = {"tensorflow": tensorflow, "keras": keras, "openvino": openvino, "torch": torch, "onnx": onnx}


if __name__ == "__main__":
    print("\n".join(FILES[sys.argv[1]]()))
