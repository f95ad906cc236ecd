"""Presidio over a spaCy pipeline that is here already (port `Recogniser`): names, places, whatever a project lists.

Decides whether what is declared can be had: the packages, the pipeline, its language, every kind. What cannot be had is
refused before a row is read, because a search that can find nothing looks like one that found nothing. Nothing is
fetched: Presidio would download a pipeline that is missing, and a list of domains; both ways are closed. Of Presidio's
own recognisers only those of listed kinds are loaded. Errors name types, never a text, and its log, which quotes texts,
is heard by nobody but this module.
"""

import importlib.metadata
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Digest, File, digest_bytes, manifest
from holdfast.core.dlp import Presidio, kind_of
from holdfast.core.errors import InvalidProject, MissingExtra, NotFound, Unavailable
from holdfast.core.ports import Recognised

PLACE: Final = "[dlp.presidio]"
BATCH: Final = 64  # texts that the pipeline takes together
_LOG: Final = "presidio-analyzer"
_FACTORIES: Final = frozenset({"ner", "beam_ner", "entity_ruler", "span_ruler"})  # what writes a document's entities


@dataclass(frozen=True, slots=True, kw_only=True)
class PresidioRecogniser:
    """Presidio's analyzer with one pipeline, asked for the declared kinds and no others."""

    declared: Presidio
    made_with: Mapping[str, str]
    reads_digits: bool
    _analyzer: Any
    _pipeline: Any

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds that it is asked for, as they are called here."""
        return tuple(dict.fromkeys(map(kind_of, self.declared.entities)))

    @property
    def skips(self) -> frozenset[str]:
        """Columns that it is not to read."""
        return frozenset(self.declared.skip)

    def find(self, texts: Sequence[str], about: Sequence[str]) -> list[list[Recognised]]:
        """Return what is in each text; what the pipeline has learnt of words is forgotten afterwards.

        Raises:
            Unavailable: Presidio failed, or gave up on a text.
        """
        try:
            with _unheard() as heard, self._pipeline.memory_zone():
                answers = self._analyzer.analyze_iterator(
                    texts,
                    language=self.declared.language,
                    batch_size=BATCH,
                    entities=list(self.declared.entities),
                    score_threshold=self.declared.score,
                    context=list(about) or None,
                )
                found = [[_plain(each) for each in answer] for answer in answers]
        except Exception as error:  # noqa: BLE001 - whatever a model or a recogniser raises may quote the text
            raise _failed(f"Presidio failed with {type(error).__name__}") from None
        if heard.gave_up:
            raise _failed("Presidio gave up on a text for lack of time")
        return found


def _plain(each: Any) -> Recognised:
    return Recognised(kind=kind_of(each.entity_type), start=each.start, stop=each.end, score=each.score)


def _failed(words: str) -> Unavailable:
    remedy = "Nothing was let through. Try another pipeline, or leave its columns out by [dlp.presidio].skip."
    return Unavailable(words, place=PLACE, remedy=remedy)


def open_presidio(declared: Presidio, root: Path) -> PresidioRecogniser:
    """Return Presidio as it is declared.

    Args:
        declared: `[dlp.presidio]`.
        root: The project's folder; a relative folder of a pipeline lies below it.

    Raises:
        MissingExtra: presidio-analyzer or spaCy is not installed.
        InvalidProject: There is no such pipeline, it is of another language, or nothing finds a kind that is listed.
        Unavailable: The pipeline is damaged, or made for another spaCy.
    """
    analyzer, spacy = _packages()
    with _unheard():
        pipeline = _load(spacy, declared, root)
        if pipeline.lang != declared.language:
            raise InvalidProject(
                f"the pipeline {declared.model[:200]!r} is of the language {pipeline.lang!r}",
                place=PLACE,
                expected=f"language = {declared.language!r}, as declared",
                remedy="Name a pipeline of the texts' language, or correct the language.",
            )
        labels = _labels(pipeline)
        engine = _engine(analyzer, pipeline, declared.language, labels)
        chosen = _chosen(analyzer, declared, engine, labels)
        _check_score(analyzer, declared, chosen)
        registry = analyzer.RecognizerRegistry(recognizers=chosen, supported_languages=[declared.language])
        whole = analyzer.AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[declared.language])
        batches = analyzer.BatchAnalyzerEngine(analyzer_engine=whole)
    return PresidioRecogniser(
        declared=declared,
        made_with=_made_with(declared, pipeline),
        reads_digits=any(not isinstance(each, _by_pipeline(analyzer)) for each in chosen),
        _analyzer=batches,
        _pipeline=pipeline,
    )


def _packages() -> tuple[Any, Any]:
    """Return Presidio's and spaCy's modules, with every way to the network closed that they would take by themselves.

    Raises:
        MissingExtra: One is not installed.
    """
    try:
        import presidio_analyzer
        import spacy
        import tldextract
    except ImportError as error:
        raise MissingExtra(
            f"Presidio is declared, and {error.name or 'a part of it'} is not installed",
            place=PLACE,
            expected="presidio-analyzer and spacy",
            remedy="pip install 'holdfast[presidio]', or take [dlp.presidio] out.",
        ) from error
    # Domains are told by the list inside the package: otherwise the first address in a text would fetch a newer one.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    return presidio_analyzer, spacy


def _load(spacy: Any, declared: Presidio, root: Path) -> Any:
    """Return the pipeline, from where it is; `spacy.load` downloads nothing, and Presidio's own loader is not used.

    Raises:
        InvalidProject: It is not there.
        Unavailable: It cannot be loaded.
    """
    folder = root / declared.model
    is_folder = (folder / "meta.json").is_file()
    if not is_folder and not spacy.util.is_package(declared.model):
        raise InvalidProject(
            f"there is no spaCy pipeline {declared.model[:200]!r}",
            place=f"{PLACE}.model",
            expected="the name of one that is installed, or a folder with one (with a meta.json)",
            remedy="Install it beside Holdfast, or name its folder. Nothing is downloaded when it is missing.",
        )
    try:
        return spacy.load(folder if is_folder else declared.model)
    except Exception as error:
        raise Unavailable(
            f"the spaCy pipeline {declared.model[:200]!r} cannot be loaded: {type(error).__name__}",
            place=f"{PLACE}.model",
            remedy="Install it anew, in the version that fits the installed spaCy (`python -m spacy validate`).",
        ) from error


def _labels(pipeline: Any) -> frozenset[str]:
    """Return every label that the pipeline can give an entity: those of a tagger or of spans are none."""
    return frozenset(
        str(label)
        for name, component in pipeline.pipeline
        if pipeline.get_pipe_meta(name).factory in _FACTORIES and getattr(component, "annotate_ents", True)
        for label in component.labels
    )


def _engine(analyzer: Any, pipeline: Any, language: str, labels: frozenset[str]) -> Any:
    """Return Presidio's view of a pipeline that is loaded: its own `load` would fetch one."""
    usual = analyzer.nlp_engine.NerModelConfiguration().model_to_presidio_entity_mapping
    mapping = {label: usual.get(label, label) for label in labels | usual.keys()}
    engine = analyzer.nlp_engine.SpacyNlpEngine(
        models=[{"lang_code": language, "model_name": pipeline.meta["name"]}],
        ner_model_configuration=analyzer.nlp_engine.NerModelConfiguration(model_to_presidio_entity_mapping=mapping),
    )
    engine.nlp = {language: pipeline}
    return engine


def _chosen(analyzer: Any, declared: Presidio, engine: Any, labels: frozenset[str]) -> list[Any]:
    """Return the recognisers of the listed kinds: the pipeline, and Presidio's own by pattern and check digit.

    Raises:
        InvalidProject: Nothing here finds a kind that is listed.
    """
    mapping = engine.ner_model_configuration.model_to_presidio_entity_mapping
    of_pipeline = sorted({mapping[label] for label in labels})
    registry = analyzer.RecognizerRegistry(supported_languages=[declared.language])
    registry.load_predefined_recognizers(languages=[declared.language], nlp_engine=engine)
    by_pipeline = _by_pipeline(analyzer)
    known = [each for each in registry.recognizers if not isinstance(each, by_pipeline)]
    if of_pipeline:
        known.append(by_pipeline(supported_language=declared.language, supported_entities=of_pipeline))
    offered = {label for each in known for label in each.supported_entities}
    for label in declared.entities:
        if label not in offered:
            raise InvalidProject(
                f"nothing finds {label!r}: neither the pipeline {declared.model[:200]!r} nor Presidio",
                place=f"{PLACE}.entities",
                expected=f"kinds among {', '.join(sorted(offered))}"[:2000],
                remedy="Take it out, or name a pipeline that knows it.",
            )
    return [each for each in known if not set(declared.entities).isdisjoint(each.supported_entities)]


def _by_pipeline(analyzer: Any) -> Any:
    return analyzer.predefined_recognizers.SpacyRecognizer


def _check_score(analyzer: Any, declared: Presidio, chosen: Sequence[Any]) -> None:
    """Check that the score lets through what a pipeline finds: Presidio gives all of that one and the same.

    Raises:
        InvalidProject: Nothing that the pipeline finds would count.
    """
    given = float(analyzer.nlp_engine.NerModelConfiguration().default_score)
    if declared.score > given and any(isinstance(each, _by_pipeline(analyzer)) for each in chosen):
        raise InvalidProject(
            f"with score = {declared.score:g} nothing that the pipeline finds counts",
            place=f"{PLACE}.score",
            expected=f"at most {given:g}, the score of all that a spaCy pipeline finds",
            remedy="Lower the score.",
        )


def _made_with(declared: Presidio, pipeline: Any) -> dict[str, str]:
    """Return what an answer depends on: two that agree in all of it find the same."""
    meta = pipeline.meta
    return {
        "analyzer": f"presidio-analyzer {importlib.metadata.version('presidio-analyzer')}",
        "spacy": f"spacy {importlib.metadata.version('spacy')}",
        "pipeline": f"{meta['lang']}_{meta['name']} {meta['version']}, {_digest(pipeline.path)}",
        "settings": f"language {declared.language}, score {declared.score:g}, {' '.join(declared.entities)}"[:2000],
        "skipped": ", ".join(declared.skip)[:2000] or "none",
    }


def _digest(folder: Path) -> Digest:
    """Return the digest of a pipeline's files, names included.

    Raises:
        NotFound: They were removed meanwhile.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    if not files:
        raise NotFound("the pipeline's folder is empty", place=f"{PLACE}.model")
    told = ((path.relative_to(folder).as_posix(), path.read_bytes()) for path in files)
    return manifest(File(path=name, digest=digest_bytes(data), size=len(data)) for name, data in told).digest


class _Heard(logging.Handler):
    """Hears Presidio's log in place of everybody: it quotes texts, and says there that a pattern was skipped."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.gave_up = False

    def emit(self, record: logging.LogRecord) -> None:
        self.gave_up = self.gave_up or "timed out" in str(record.msg)


@contextmanager
def _unheard() -> Iterator[_Heard]:
    """Keep what Presidio and spaCy say of texts out of every log and off the screen."""
    log, heard = logging.getLogger(_LOG), _Heard()
    before = log.handlers[:], log.propagate, log.level
    log.handlers, log.propagate = [heard], False
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield heard
    finally:
        log.handlers, log.propagate = before[0], before[1]
        log.setLevel(before[2])
