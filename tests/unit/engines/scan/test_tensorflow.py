"""TensorFlow graphs: an operator that reaches a file, a process, Python or foreign code is found wherever it stands."""

import pytest
from tests.unit.engines.scan.honest import (
    above_low,
    attribute,
    calls,
    field,
    found,
    function,
    graph,
    meta_graph,
    node,
    saved_model,
)

from holdfast.core.evidence import Severity
from holdfast.engines.scan.models.allowed import words

CRITICAL, HIGH, MEDIUM, LOW = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW
OPERATORS = [
    ("ReadFile", "tensorflow.operator.file", HIGH),
    ("WriteFile", "tensorflow.operator.file", HIGH),
    ("MatchingFiles", "tensorflow.operator.file", HIGH),
    ("TextLineDataset", "tensorflow.operator.file", HIGH),
    ("TFRecordDataset", "tensorflow.operator.file", HIGH),
    ("SqlDataset", "tensorflow.operator.file", HIGH),
    ("CacheDatasetV2", "tensorflow.operator.file", HIGH),
    ("DataServiceDatasetV4", "tensorflow.operator.file", HIGH),
    ("RpcClient", "tensorflow.operator.file", HIGH),
    ("DebugIdentityV2", "tensorflow.operator.file", HIGH),
    ("DecodeProtoV2", "tensorflow.operator.file", HIGH),
    ("ImmutableConst", "tensorflow.operator.file", HIGH),
    ("WriteSummary", "tensorflow.operator.file", HIGH),
    ("SaveV2", "tensorflow.operator.file", HIGH),
    ("RestoreV2", "tensorflow.operator.file", HIGH),
    ("ShardedFilename", "tensorflow.operator.file", HIGH),
    ("InitializeTableFromTextFileV2", "tensorflow.operator.file", HIGH),
    ("PyFunc", "tensorflow.python", CRITICAL),
    ("EagerPyFunc", "tensorflow.python", CRITICAL),
    ("TheirOperator", "tensorflow.operator.custom", HIGH),
    ("readfile", "tensorflow.operator.custom", HIGH),
    ("_Send", "tensorflow.operator.custom", HIGH),
    ("XlaCallModule", "tensorflow.operator.unjudged", MEDIUM),
]


@pytest.mark.requirement("SUP-07", by="holdfast.engines.scan.models.tensorflow:scan_graph")
@pytest.mark.parametrize(("operator", "rule", "severity"), OPERATORS)
def test_an_operator_that_reaches_out_is_found(operator: str, rule: str, severity: Severity) -> None:
    """In a frozen graph, in a SavedModel's main graph, and in a function of its library."""
    bad = node(operator, "bad")
    for data in (
        graph(node("Placeholder", "x"), bad),
        meta_graph(bad),
        graph(node("Placeholder", "x"), functions=(function("f", bad),)),
        saved_model(bad),
        saved_model(functions=(function("f", node("Relu", "a"), bad),)),
    ):
        assert (rule, severity) in found(data)


def printing(stream: str) -> bytes:
    """A node that prints."""
    return node("PrintV2", "p", ("x",), attribute("output_stream", field(2, stream)))


def test_printing_to_a_file_is_found_and_to_the_log_is_not() -> None:
    """`output_stream` takes the name of a file."""
    assert ("tensorflow.operator.file", HIGH) in found(saved_model(printing("file:///etc/cron.d/x")))
    assert found(saved_model(printing("stderr"))) == {("tensorflow.operator.print", LOW)}


SAVE = ("tensorflow.operator.file", HIGH)
CALL = calls("__inference__traced_save_1")


@pytest.mark.parametrize(
    "data",
    [
        saved_model(node("StatefulPartitionedCall", "c", ("x",), CALL)),  # with a name that is no place for one
        saved_model(node("StatefulPartitionedCall", "c", (), CALL)),
        saved_model(functions=(function("serve", node("StatefulPartitionedCall", "c", ("x",), CALL)),)),
        saved_model(
            functions=(
                function("a", node("PartitionedCall", "c", ("x",), CALL)),
                function("b", node("If", "c", ("x",), attribute("then_branch", field(10, field(1, "a"))))),
            )
        ),
        saved_model(
            functions=(
                function(
                    "serve",
                    node(
                        "Case", "c", ("x",), attribute("b", field(1, field(9, field(1, "__inference__traced_save_1"))))
                    ),
                ),
            )
        ),
        saved_model(functions=(function("traced_save", node("Const", "own"), node("SaveV2", "s", ("own:output:0",))),)),
        saved_model(node("SaveV2", "save/SaveV2"), node("Identity", "y", ("x", "^save/SaveV2"))),
    ],
)
def test_saving_out_of_its_place_is_found(data: bytes) -> None:
    """What saves the model may be asked for by who saves it, not by who calls it, nor under a name of its own."""
    assert SAVE in found(data)


def test_a_graph_of_version_1_that_saves_itself_is_clean() -> None:
    """Its operators stand in a scope of their own, and nothing depends on them."""
    data = saved_model(
        node("Const", "save/Const"), node("SaveV2", "save/SaveV2", ("save/Const",)), node("Relu", "y", ("x",))
    )
    assert above_low(data) == []


def test_an_asset_outside_of_the_folder_is_found() -> None:
    """And a vocabulary that is an asset inside of it is honest."""
    assert ("tensorflow.asset", HIGH) in found(saved_model(asset="../../etc/passwd"))
    table = node("InitializeTableFromTextFileV2", "t")
    assert found(saved_model(table, asset="vocab.txt")) == {("tensorflow.operator.asset", LOW)}


def test_what_the_format_does_not_have_is_found() -> None:
    """Fields that are carried along, two functions of one name, and a file that was cut."""
    assert ("tensorflow.unknown-field", MEDIUM) in found(saved_model(more=field(77, b"x" * 100)))
    twice = saved_model(functions=(function("f", node("Relu")), function("f", node("Relu"))))
    assert ("tensorflow.duplicate", HIGH) in found(twice)
    assert ("tensorflow.malformed", MEDIUM) in found(saved_model(more=b"\x12"))


def test_the_lists_do_not_overlap_and_hold_what_they_must() -> None:
    """Generated from TensorFlow, and read by people."""
    allowed, reaching, other = (words("tensorflow", each) for each in ("allowed", "reaching", "other"))
    assert not allowed & reaching
    assert not allowed & other
    assert {
        "MatMul",
        "VarHandleOp",
        "ReadVariableOp",
        "StatefulPartitionedCall",
        "While",
        "LookupTableFindV2",
    } <= allowed
    assert len(allowed) > 800
