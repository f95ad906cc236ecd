"""The bill of materials as SPDX 3.0.1: AI, Dataset, Software and SimpleLicensing profiles, serialised as JSON-LD.

Made from the CycloneDX document alone, so that the two cannot disagree and a release need hold only one. What SPDX asks
for and the bill does not know is said to be unknown (no assertion), never invented.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from holdfast.core.artifact import canonical
from holdfast.core.errors import InvalidInput

Element: TypeAlias = dict[str, Any]

CONTEXT: Final = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
SPEC_VERSION: Final = "3.0.1"
PROFILES: Final = ("core", "software", "ai", "dataset", "simpleLicensing")
NO_ASSERTION: Final = "https://spdx.org/rdf/3.0.1/terms/ExpandedLicensing/NoAssertionLicense"
_CREATION: Final = "_:creation"
_HYPERPARAMETER: Final = "holdfast:hyperparameter:"
_MADE_BY: Final = frozenset({"holdfast:recipe", "holdfast:seed", "holdfast:positive-class"})
_CONFIDENTIALITY: Final[Mapping[str, str]] = {
    "synthetic": "clear",
    "public": "clear",
    "internal": "green",
    "confidential": "amber",
    "personal": "red",
}
"""Our classes as SPDX's, which are those of the Traffic Light Protocol."""


def spdx(document: Mapping[str, Any]) -> bytes:
    """Return an SPDX document about the model that a CycloneDX document of ours describes, as canonical JSON.

    Raises:
        InvalidInput: It describes no model, or lacks what every bill of ours has.
    """
    try:
        return canonical({"@context": CONTEXT, "@graph": _Graph(document).elements()})
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InvalidInput(
            f"the bill of materials lacks something: {error!r}", expected="a bill as a release holds it"
        ) from error


class _Graph:
    """The elements while they are gathered, each with an identifier under the bill's own."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        about = document["metadata"]
        self._model, self._time = about["component"], about["timestamp"]
        self._base = f"https://holdfast.dev/spdx/{document['serialNumber'].removeprefix('urn:uuid:')}/"
        self._owner = about["authors"][0]["name"]
        self._tool = about["tools"]["components"][0]
        self._found: list[Element] = []
        self._licences: dict[tuple[str, bool], str] = {}

    def elements(self) -> list[Element]:
        """Return everything, what creates first and the document last."""
        owner, tool = self._id("owner"), self._id("tool")
        self._found.append(
            {"type": "CreationInfo", "@id": _CREATION, "specVersion": SPEC_VERSION, "created": self._time,
             "createdBy": [owner], "createdUsing": [tool]}
        )  # fmt: skip
        self._add("Agent", owner, name=self._owner)
        self._add("Tool", tool, name=self._tool["name"], description=f"code {self._tool['version']}")
        model = self._ai(owner)
        ids = {component["bom-ref"]: self._part(component, number, owner) for number, component in self._parts()}
        self._relate(model, ids)
        named = sorted({element["spdxId"] for element in self._found if "spdxId" in element})
        bill = self._id("sbom")
        self._add("software_Sbom", bill, name=self._model["name"], rootElement=[model], element=named,
                  software_sbomType=["build"], profileConformance=list(PROFILES))  # fmt: skip
        self._add("SpdxDocument", self._id("document"), name=f"{self._model['name']} {self._model['version']}",
                  rootElement=[bill], element=[*named, bill], profileConformance=list(PROFILES))  # fmt: skip
        return self._found

    def _id(self, name: str) -> str:
        return self._base + name

    def _add(self, kind: str, name: str, /, **fields: Any) -> str:
        kept = {key: value for key, value in fields.items() if value not in (None, "", [])}
        self._found.append({"type": kind, "spdxId": name, "creationInfo": _CREATION, **kept})
        return name

    def _parts(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        yield from enumerate([*self._document["components"], *self._model.get("pedigree", {}).get("ancestors", [])])

    def _ai(self, owner: str) -> str:
        """Add the model: AI profile, "AIPackage"."""
        model, card = self._model, self._model["modelCard"]
        parameters, considered = card["modelParameters"], card["considerations"]
        stated = {item["name"]: item["value"] for item in card["properties"]}
        name = self._add(
            "ai_AIPackage",
            self._id("model"),
            name=model["name"],
            description=model.get("description"),
            suppliedBy=owner,
            originatedBy=[owner],
            releaseTime=self._time,
            builtTime=self._time,
            software_packageVersion=model["version"],
            software_primaryPurpose="model",
            software_downloadLocation=f"urn:holdfast:artifact:{_stated(model, 'holdfast:artifact')}",
            verifiedUsing=_hashes(model.get("hashes", [])),
            ai_typeOfModel=[parameters["architectureFamily"], parameters["approach"]["type"]],
            ai_informationAboutTraining=_sentence(stated, parameters),
            ai_informationAboutApplication="; ".join(considered.get("useCases", [])),
            ai_limitation=" ".join(considered.get("technicalLimitations", [])),
            ai_modelExplainability=[_fair(each) for each in considered.get("fairnessAssessments", [])],
            ai_hyperparameter=[
                _entry(key.removeprefix(_HYPERPARAMETER).removeprefix("holdfast:"), value)
                for key, value in stated.items()
                if key.startswith(_HYPERPARAMETER) or key in _MADE_BY
            ],
            ai_metric=[_metric(each) for each in card["quantitativeAnalysis"]["performanceMetrics"]],
        )
        self._license(name, "", expression=False)
        return name

    def _part(self, component: Mapping[str, Any], number: int, owner: str) -> str:
        kind, name = component["type"], self._id(f"part-{number}")
        if kind == "data":
            return self._data(component, name, owner)
        fields = {
            "name": component["name"],
            "software_packageVersion": component.get("version"),
            "verifiedUsing": _hashes(component.get("hashes", [])),
        }
        if kind == "library":
            self._add(
                "software_Package",
                name,
                **fields,
                software_packageUrl=component["purl"],
                software_primaryPurpose="library",
            )
            licence, expression = _declared(component)
            self._license(name, licence, expression=expression)
        elif kind == "machine-learning-model":
            self._add("software_Package", name, **fields, software_primaryPurpose="model")
        else:
            self._add(
                "software_File",
                name,
                name=fields["name"],
                verifiedUsing=fields["verifiedUsing"],
                software_primaryPurpose="source",
            )
        return name

    def _data(self, component: Mapping[str, Any], name: str, owner: str) -> str:
        """Add data: Dataset profile, "DatasetPackage". When rows were made is not known: the bill's time stands."""
        origin = owner
        if described := component.get("description"):
            origin = self._add("Agent", f"{name}-origin", name=described[:200])
        sort = component["data"][0]
        self._add(
            "dataset_DatasetPackage",
            name,
            name=component["name"],
            comment="Times are the bill's: the data existed by then, and nothing says since when.",
            originatedBy=[origin],
            releaseTime=self._time,
            builtTime=self._time,
            software_packageVersion=component.get("version"),
            software_primaryPurpose="data",
            software_downloadLocation=f"urn:holdfast:artifact:{component['bom-ref'].partition(':')[2]}",
            verifiedUsing=_hashes(component["hashes"]),
            dataset_datasetType=["structured"],
            dataset_datasetSize=int(_stated(component, "holdfast:size")),
            dataset_dataCollectionProcess=component.get("description"),
            dataset_confidentialityLevel=_CONFIDENTIALITY.get(sort.get("classification", "")),
        )
        licence, expression = _declared(component)
        self._license(name, licence, expression=expression)
        return name

    def _relate(self, model: str, ids: Mapping[str, str]) -> None:
        """Say what the model was trained on, what it depends on, and from which models it descends."""
        data = [each["ref"] for each in self._model["modelCard"]["modelParameters"]["datasets"]]
        bases = [each["bom-ref"] for each in self._model.get("pedigree", {}).get("ancestors", [])]
        rest = [ref for ref in ids if ref not in {*data, *bases}]
        for kind, refs in (("trainedOn", data), ("descendantOf", bases), ("dependsOn", rest)):
            if refs:
                self._add("Relationship", self._id(f"{kind}"), **{"from": model}, to=[ids[ref] for ref in refs],
                          relationshipType=kind, completeness="complete")  # fmt: skip

    def _license(self, subject: str, text: str, *, expression: bool) -> None:
        """Say which licence is declared, if any is known; nobody has concluded any."""
        declared = self._licence(text, expression=expression) if text else NO_ASSERTION
        for kind, to in (("hasDeclaredLicense", declared), ("hasConcludedLicense", NO_ASSERTION)):
            self._add("Relationship", f"{subject}-{kind}", **{"from": subject}, to=[to], relationshipType=kind)

    def _licence(self, text: str, *, expression: bool) -> str:
        key = (text, expression)
        if key not in self._licences:
            name = self._id(f"licence-{len(self._licences)}")
            if expression:
                self._add("simplelicensing_LicenseExpression", name, simplelicensing_licenseExpression=text)
            else:  # in the owner's words: nothing says that they are an expression
                self._add("simplelicensing_SimpleLicensingText", name, simplelicensing_licenseText=text)
            self._licences[key] = name
        return self._licences[key]


def _declared(component: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the licence that a component declares, and whether it is an expression or somebody's words."""
    for each in component.get("licenses", []):
        if "expression" in each:
            return str(each["expression"]), True
        return str(each["license"]["name"]), False
    return "", False


def _stated(component: Mapping[str, Any], name: str) -> str:
    return next(str(each["value"]) for each in component["properties"] if each["name"] == name)


def _hashes(hashes: Iterable[Mapping[str, str]]) -> list[Element]:
    return [
        {"type": "Hash", "algorithm": each["alg"].lower().replace("-", ""), "hashValue": each["content"]}
        for each in hashes
    ]


def _entry(key: str, value: str) -> Element:
    return {"type": "DictionaryEntry", "key": key, "value": value}


def _metric(metric: Mapping[str, Any]) -> Element:
    """Return a metric with its slice in the key, and its interval in the value."""
    key = metric["type"] + (f" where {metric['slice']}" if "slice" in metric else "")
    bounds = metric["confidenceInterval"]
    return _entry(key, f"{metric['value']} ({bounds['lowerBound']} to {bounds['upperBound']})")


def _fair(each: Mapping[str, Any]) -> str:
    return f"Fairness, groups of {each.get('groupAtRisk', '')}: {each.get('harms', '')}"


def _sentence(stated: Mapping[str, str], parameters: Mapping[str, Any]) -> str:
    seed, recipe = stated.get("holdfast:seed", "?"), stated.get("holdfast:recipe", "?")
    bases = stated.get("holdfast:base-models", "unknown")
    return f"Recipe {recipe} with seed {seed}; operators {parameters['modelArchitecture']}; base models: {bases}"
