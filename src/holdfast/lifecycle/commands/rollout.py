"""Rollouts: how a release comes beside the one that answers, and how one gets rid of it again."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option

_RELEASE: Final = Option(name="release", says="digest or alias of the release; the newest if left out", argument=True)
_REASON: Final = Option(name="reason", says="why, in a sentence that stays on record", required=True)
_NAME: Final = Option(name="name", says="name of the experiment; the one that is going on if left out")

COMMANDS: Final = (
    Command(
        words=("rollout", "status"),
        does="say which rollout is going on, what its candidate answers, and what the analysis says so far",
        verb="holdfast.lifecycle.rollouts:rollout_status",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
    ),
    Command(
        words=("rollout", "stop"),
        does="end the rollout that is going on, whatever its plan: the baseline answers every call",
        verb="holdfast.lifecycle.rollouts:rollout_stop",
        example='holdfast rollout stop --reason "It is slower than it should be."',
        authority="the owner's key",
        action="registry.rollback",
        options=(_REASON,),
    ),
    Command(
        words=("ab", "start"),
        does="declare an A/B test, and let a release answer its share of the units",
        verb="holdfast.lifecycle.experiments:ab_start",
        example='holdfast ab start --name checkout --metric bought --reason "Does it sell more?"',
        authority="the owner's key",
        action="registry.promote",
        options=(
            _RELEASE,
            Option(name="name", says="name of the experiment", required=True),
            Option(name="metric", says="name of the metric that decides", required=True),
            Option(name="kind", says="what it is: conversion (of a unit, or not) or mean", default="conversion"),
            Option(name="aim", says="what is better: higher or lower", default="higher"),
            Option(name="share", says="of the units that the release answers", kind="float", default=0.5),
            Option(name="horizon", says="how long after its exposure a unit's outcomes count", default="24h"),
            Option(name="alpha", says="chance of naming a better side where none is", kind="float", default=0.05),
            _REASON,
        ),
    ),
    Command(
        words=("ab", "outcome"),
        does="take in what became of units: rows of unit, metric, value and time, as CSV or as lines of JSON",
        verb="holdfast.lifecycle.experiments:ab_outcome",
        example="holdfast ab outcome outcomes.csv",
        authority="the stage keys",
        action="endpoint.operate",
        options=(Option(name="file", says="the outcomes", kind="path", argument=True, required=True), _NAME),
    ),
    Command(
        words=("ab", "verdict"),
        does="judge an A/B test by all that is known now, as often as one likes; the verdict is evidence",
        verb="holdfast.lifecycle.experiments:ab_verdict",
        example="holdfast ab verdict --name checkout",
        authority="the stage keys",
        action="endpoint.operate",
        options=(_NAME,),
    ),
    Command(
        words=("shadow", "start"),
        does="give a release copies of live calls; its answers go nowhere but into a report",
        verb="holdfast.lifecycle.rollouts:shadow_start",
        example='holdfast shadow start --share 0.2 --reason "What would it say?"',
        authority="the owner's key",
        action="registry.promote",
        options=(
            _RELEASE,
            Option(name="share", says="of the calls that are copied", kind="float", default=1.0),
            _REASON,
        ),
    ),
    Command(
        words=("shadow", "report"),
        does="say how the shadow's answers differ from the live ones, as evidence",
        verb="holdfast.lifecycle.rollouts:shadow_report",
        authority="the stage keys",
        action="endpoint.operate",
    ),
    Command(
        words=("bluegreen", "prepare"),
        does="load a release beside the one that answers, after every gate, so that they can change places at once",
        verb="holdfast.lifecycle.exchanges:bluegreen_prepare",
        example='holdfast bluegreen prepare --reason "It stands by for Monday."',
        authority="the owner's key",
        action="registry.promote",
        options=(_RELEASE, _REASON),
    ),
    Command(
        words=("bluegreen", "switch"),
        does="let the release that stands by answer, and what answered stand by; the same again is the way back",
        verb="holdfast.lifecycle.exchanges:bluegreen_switch",
        example='holdfast bluegreen switch --reason "Both were looked at."',
        authority="the owner's key",
        action="registry.promote",
        options=(_REASON,),
    ),
    Command(
        words=("flag", "set"),
        does="expose a release to a share of the units, or of those of a segment; the same again sets another share",
        verb="holdfast.lifecycle.rollouts:flag_set",
        example='holdfast flag set --share 0.1 --segment "country=de,at" --reason "Begin with two countries."',
        authority="the owner's key",
        action="registry.promote",
        options=(
            _RELEASE,
            Option(name="share", says="of the units", kind="float", default=1.0),
            Option(name="segment", says="only calls that declare this: `country=de,at; plan=pro`", default=""),
            _REASON,
        ),
    ),
    Command(
        words=("flag", "off"),
        does="turn the flag off: the baseline answers every call",
        verb="holdfast.lifecycle.rollouts:flag_off",
        example='holdfast flag off --reason "Complaints."',
        authority="the owner's key",
        action="registry.rollback",
        options=(_REASON,),
    ),
    Command(
        words=("emergency", "swap"),
        does="replace what answers by an approved safe release at once, and open an incident",
        verb="holdfast.lifecycle.exchanges:emergency_swap",
        example='holdfast emergency swap safe --reason "The new one insults callers."',
        authority="the owner's key",
        action="registry.rollback",
        options=(
            Option(
                name="release",
                says="digest or alias of the release; what `safe` means, else the one before, if left out",
                argument=True,
            ),
            _REASON,
        ),
    ),
)
