"""Features: declared columns and transforms of a data set become the inputs of a model, versioned by digest.

Decides which numbers a model sees, in which order, and what its classes are called. The arithmetic is that of
`engines.transform`, which serving uses too; leaves to the model how it copes with a missing value, which stays NaN.
"""

import tempfile
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from holdfast.core.artifact import Artifact, File, Kind, canonical, manifest, parse_digest
from holdfast.core.control import Control, Result, run
from holdfast.core.evidence import MadeWith
from holdfast.core.ports import Workspace
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.engines.dataset import ROW_GROUP, ZSTD_LEVEL, open_stored, store_file
from holdfast.engines.packed import packed_file
from holdfast.features.evidence import Built, measure
from holdfast.features.lineage import links_of, measure_lineage
from holdfast.features.parity import measure_parity
from holdfast.features.personal import measure_personal
from holdfast.features.stored import open_views
from holdfast.features.table import computed
from holdfast.features.view import view_of

CONTROLS: Final = (
    Control(name="features.view/1", measure=measure),
    Control(name="features.personal/1", measure=measure_personal),
    Control(name="features.parity/1", measure=measure_parity),
    Control(name="features.links/1", measure=measure_lineage),
)

TABLE: Final = "features.parquet"
VIEW: Final = "view.json"
LINEAGE: Final = "lineage.json"


def build(
    ws: Workspace, project: Project, dataset: Artifact, made_with: MadeWith, views: Artifact | None = None
) -> Result:
    """Return the features of a data set, with the evidence about them.

    Args:
        ws: Where the data set is stored and the features go.
        project: The declared columns, transforms and label.
        dataset: What `ingest` made.
        made_with: Digests of code and configuration; the data set is added as the data.
        views: The registered views that the project uses, with their sources; needed where it uses any.

    Raises:
        InvalidData: A listed column was held back, the source of a view holds personal data where it may not, a
            transform has no finite value for a row, or the labels are not at least two classes with the declared
            positive one among them.
        InvalidProject: Two features would have one name, or a transform is of something that is no feature column.
        NotVerified: The stored data set is not what its digest promises.
    """
    data = open_stored(ws.blobs, dataset)
    view = view_of(project, data)
    wanted = {*project.columns_of(Use.FEATURE), *project.features.texts}
    held_back = tuple(name for name in data.schema.held_back if name in wanted)
    used = open_views(ws.blobs, views, project, ws.token_key, ws.open_recogniser)
    path = ws.scratch / TABLE
    with tempfile.TemporaryDirectory(dir=ws.scratch) as folder:
        rows = computed(project, view, data, used, ws.protected_key, Path(folder))
        rows.sink(path, compression_level=ZSTD_LEVEL, row_group_size=ROW_GROUP)
    table = File(path=TABLE, digest=ws.blobs.put_file(path), size=path.stat().st_size)
    path.unlink()
    links = links_of(view, dataset, used)
    files = (
        table,
        store_file(ws.blobs, VIEW, canonical(view)),
        store_file(ws.blobs, LINEAGE, canonical(links)),
    )
    features = ws.store_folder(Kind.FEATURES, manifest(files))
    sources = frozenset({dataset.digest, *(each.source for each in used)})
    built = Built(
        view=view,
        rows=packed_file(ws.blobs.path(parse_digest(table.digest))),
        held_back=held_back,
        links=links,
        sources=sources,
        columns=frozenset((*data.schema.of(Use.FEATURE), *view.hashings)),
        data=data,
        views=used,
    )
    made_with = replace(made_with, data=(dataset.digest, *((views.digest,) if views is not None else ())))
    return Result(
        artifacts=(features,), evidence=tuple(run(control, built, features, made_with) for control in CONTROLS)
    )
