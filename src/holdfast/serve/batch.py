"""Batch scoring: a table in, a folder out, one row for each row, through any crash (SERV-02).

What is durable, in order: 1. the plan, before the first row; 2. each part, and then its record, which names its digest:
a part without a record never happened; 3. the manifest over all parts, signed, last. Each is written whole or not at
all. A run that is started again keeps every part whose bytes have the digest in its record, makes the others anew, and
refuses to go on if release, input or shape of the output are not those of the plan.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from holdfast.core.artifact import digest_bytes
from holdfast.core.batch import PLAN, Chunk, Manifest, Part, Plan, Scored, part_name, whole
from holdfast.core.errors import NotVerified
from holdfast.core.ports import Clock
from holdfast.serve.scoring import Scorer


class Source(Protocol):
    """The input, opened once: what is scored is what was hashed."""

    def digest(self) -> str:
        """Return the digest of its bytes as they are now."""
        ...

    def chunks(self, inputs: Sequence[str], keep: Sequence[str], rows: int, skip: frozenset[int]) -> Iterator[Chunk]:
        """Yield chunks of so many rows; of those whose number is in `skip`, only how many rows they hold."""
        ...


class Output(Protocol):
    """The folder in which parts lie; one process at a time."""

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None where there is none."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole and durably, over what is there."""
        ...


class Encode(Protocol):
    """Turns scored rows into the bytes of a part."""

    def __call__(self, plan: Plan, chunk: Chunk, scored: Sequence[Scored]) -> bytes:
        """Return the part."""
        ...


@dataclass(slots=True, kw_only=True)
class Batch:
    """One run over one input."""

    plan: Plan
    source: Source
    output: Output
    encode: Encode
    scorer: Scorer
    clock: Clock
    between: Callable[[Part | None, int], None]  # after each part: keep records, look for a newer state; rows so far

    def begin(self) -> Plan:
        """Return the plan that holds: the one an earlier run has left, or this one, written now.

        Raises:
            Conflict: An earlier run was about something else.
            NotVerified: What it left cannot be read.
        """
        found = self.output.read(PLAN)
        if found is None:
            self.output.write(PLAN, msgspec.json.format(msgspec.json.encode(self.plan), indent=1))
            return self.plan
        earlier = plan_in(found)
        self.plan.check_same(earlier)
        self.plan = earlier
        return earlier

    def carry_out(self) -> Manifest:
        """Score what is not yet scored, and return the whole.

        Raises:
            HoldfastError: The run cannot go on now; every finished part stays.
            NotVerified: The input changed while it was read, or the parts are not one row for each row.
        """
        plan = self.begin()
        self.scorer.run = plan.run
        self.scorer.rows_per_call = plan.choice.rows_per_call
        kept = {part.number: part for part in self._finished(plan)}
        parts: list[Part] = []
        rows = 0
        wanted = (*plan.keep, *plan.texts, *plan.entity)  # all are read as texts
        chunks = self.source.chunks(plan.inputs, wanted, plan.part_rows, frozenset(kept))
        for number, chunk in enumerate(chunks):
            part = kept.get(number)
            if part is None:
                part = self._scored(plan, number, chunk)
            elif (part.first, part.rows) != (chunk.first, len(chunk.values)):
                raise NotVerified("a part holds other rows than the input", place=part.name)
            parts.append(part)
            rows += part.rows
            self.between(None if number in kept else part, rows)
        if self.source.digest() != plan.input:
            raise NotVerified(
                "the input was changed while it was scored",
                expected=plan.input,
                remedy="Put back what was there, or score what is there now into another folder.",
            )
        return whole(plan, parts, rows, self.clock.now())

    def _finished(self, plan: Plan) -> Iterator[Part]:
        """Yield the parts that an earlier run has finished: those whose bytes have the digest in their record."""
        number = 0
        while (record := self.output.read(part_name(number, "json"))) is not None:
            try:
                part = msgspec.json.decode(record, type=Part)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                part = None
            data = self.output.read(part_name(number, plan.form)) if part is not None else None
            if part is not None and data is not None and digest_bytes(data) == part.digest and part.number == number:
                yield part
            number += 1

    def _scored(self, plan: Plan, number: int, read: Chunk) -> Part:
        copied = len(plan.keep)
        chunk = replace(read, kept=read.kept[:copied], texts=read.kept[copied:])
        texts = dict(zip((*plan.texts, *plan.entity), chunk.texts, strict=True))
        scored = self.scorer.score(chunk.values, texts, chunk.broken)
        if len(scored) != len(chunk.values):
            raise NotVerified(f"{len(scored)} rows out for {len(chunk.values)} rows in", place=f"part {number}")
        data = self.encode(plan, chunk, scored)
        part = Part(
            number=number,
            first=chunk.first,
            rows=len(scored),
            digest=digest_bytes(data),
            size=len(data),
            outcomes=dict(Counter[str](each.outcome for each in scored)),
            reasons=dict(Counter(each.code for each in scored if each.code)),
            flags=dict(Counter(flag for each in scored for flag in each.flags)),
        )
        self.output.write(part_name(number, plan.form), data)
        self.output.write(part.name, msgspec.json.encode(part))
        return part


def plan_in(data: bytes, place: str = PLAN) -> Plan:
    """Return the plan that an earlier run has left.

    Raises:
        NotVerified: It cannot be read.
    """
    try:
        return msgspec.json.decode(data, type=Plan)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified(f"the plan of this output cannot be read: {error}", place=place) from error


def check_parts(manifest: Manifest, read: Callable[[str], bytes | None]) -> None:
    """Check that each part has the digest that a manifest names.

    Raises:
        NotVerified: One is missing or was changed.
    """
    for part in manifest.parts:
        name = part_name(part.number, manifest.plan.form)
        data = read(name)
        if data is None or digest_bytes(data) != part.digest:
            raise NotVerified("a part is missing or was changed", place=name, expected=part.digest)
