"""Every action that an access decision can be about, one row each: the Cedar schema and the reference are made from it.

An action's name is its area and a verb. Its sort says what kind of power it is; policies speak of areas and sorts as
groups of actions, so that a new row is covered by the rules that stand.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Sort: TypeAlias = Literal["reading", "changing", "deciding", "administering", "calling", "asking"]

SORTS: Final[dict[Sort, str]] = {
    "reading": "looks at something and changes nothing",
    "changing": "makes or changes something inside the gates",
    "deciding": "says that something may pass a gate",
    "administering": "changes who may do what, or how the platform stands",
    "calling": "asks a model for an answer",
    "asking": "gives nobody any power over an asset: asking for access, renewing one's own token",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action: its name as `area.verb`, its sort, and what it lets somebody do."""

    name: str
    sort: Sort
    does: str

    @property
    def area(self) -> str:
        """What it is about."""
        return self.name.partition(".")[0]


def _action(name: str, sort: Sort, does: str) -> Action:
    return Action(name=name, sort=sort, does=does)


ACTIONS: Final = (
    _action("data.read", "reading", "read rows of a data set"),
    _action("data.list", "reading", "see which data sets there are, never their rows"),
    _action("data.write", "changing", "take rows in, or change what is declared of them"),
    _action("data.review", "deciding", "see values that lie out, and decide whether they are used"),
    _action("data.reveal", "administering", "turn tokens of personal values back"),
    _action("data.protected", "administering", "read protected attributes of persons"),
    _action("data.erase", "administering", "destroy the key of a data set"),
    _action("features.list", "reading", "see which features there are and who read them, never their values"),
    _action("features.read", "reading", "read feature tables, and values of a feature"),
    _action("features.write", "changing", "compute and store features"),
    _action("artifacts.read", "reading", "see what artifacts there are"),
    _action("artifacts.download", "reading", "take the bytes of an artifact out"),
    _action("artifacts.write", "changing", "store an artifact"),
    _action("registry.read", "reading", "see releases, their evidence and state"),
    _action("registry.write", "changing", "register and describe a release"),
    _action("registry.approve", "deciding", "say that a release may go on"),
    _action("registry.promote", "deciding", "put a release into production"),
    _action("registry.rollback", "changing", "go back to an earlier release"),
    _action("registry.quarantine", "changing", "take a release out of use until it is looked at"),
    _action("registry.revoke", "administering", "say that an artifact may never be used again"),
    _action("registry.retire", "changing", "end a release's service"),
    _action("registry.hold", "administering", "put a legal hold on a release, or lift it"),
    _action("registry.purge", "administering", "remove the bytes of a retired release"),
    _action("endpoint.read", "reading", "see routes, leases and traffic"),
    _action("endpoint.invoke", "calling", "ask a model for an answer"),
    _action("endpoint.operate", "changing", "run gateways, watch and respond"),
    _action("endpoint.grant", "administering", "issue keys to callers of a model"),
    _action("pipeline.read", "reading", "see runs"),
    _action("pipeline.run", "changing", "carry a project from rows to a release"),
    _action("plan.read", "reading", "see plans and sign-offs"),
    _action("plan.write", "changing", "answer the questions of the plan"),
    _action("plan.approve", "deciding", "sign a stage of the plan off"),
    _action("policy.read", "reading", "see, explain and replay policies"),
    _action("policy.write", "changing", "propose a policy"),
    _action("policy.accept", "deciding", "let a policy decide here"),
    _action("policy.waive", "deciding", "excuse a finding until a date"),
    _action("keys.read", "reading", "see public keys, windows and custody"),
    _action("keys.write", "administering", "make, rotate and revoke keys"),
    _action("keys.attest", "changing", "put on record how keys are kept"),
    _action("keys.compromise", "administering", "report a key as compromised, which ends what it signed"),
    _action("keys.custody", "administering", "move keys into a signer process or a token"),
    _action("keys.destroy", "administering", "destroy keys that have ended"),
    _action("keys.manage", "administering", "let the root keys sign what gateways trust"),
    _action("keys.operate", "administering", "run the signer"),
    _action("keys.resign", "administering", "state again what a compromised key had signed"),
    _action("keys.rewrap", "administering", "protect the keys with another secret"),
    _action("keys.rotate", "administering", "make the next key of a role"),
    _action("certificates.read", "reading", "see which certificates were issued"),
    _action("certificates.check", "changing", "put on record which certificates are near their end"),
    _action("certificates.issue", "administering", "issue and renew certificates"),
    _action("person.new", "changing", "make a person's own keys, away from any workspace"),
    _action("trust.read", "reading", "see whom this workspace believes"),
    _action("trust.propose", "changing", "write down the next version of the trust"),
    _action("trust.sign", "deciding", "sign a proposal with a root key of one's own"),
    _action("trust.change", "administering", "let the root keys change whom this workspace believes"),
    _action("audit.read", "reading", "read and verify the ledger"),
    _action("audit.export", "reading", "take an evidence pack out"),
    _action("audit.write", "changing", "sign checkpoints and file routines"),
    _action("audit.review", "changing", "hold a routine, and put on record that it was held"),
    _action("audit.witness", "administering", "run a witness of other ledgers"),
    _action("incident.read", "reading", "see incidents"),
    _action("incident.write", "changing", "open, add to and close incidents"),
    _action("jobs.read", "reading", "see jobs"),
    _action("jobs.write", "changing", "start and stop jobs"),
    _action("secret.list", "reading", "see which secrets there are, never what they are"),
    _action("secret.write", "administering", "store or remove a secret"),
    _action("secret.grant", "administering", "let a job have a secret"),
    _action("access.read", "reading", "see accounts, rules and what they mean"),
    _action("access.request", "asking", "ask for access for some hours"),
    _action("access.token", "asking", "renew or end one's own session"),
    _action("access.approve", "deciding", "give the access that somebody asked for"),
    _action("access.administer", "administering", "change accounts, groups, keys and sign-on"),
    _action("access.accept", "deciding", "let rules about access decide here"),
    _action("platform.read", "reading", "see how the platform stands"),
    _action("platform.operate", "administering", "make workspaces, rebuild tables"),
    _action("platform.backup", "administering", "take a backup"),
    _action("platform.restore", "administering", "restore a backup"),
    _action("workspace.read", "reading", "see workspaces and quotas"),
    _action("workspace.write", "administering", "make workspaces and set quotas"),
)

NAMES: Final = {action.name: action for action in ACTIONS}
"""Each action by its name; a name that is not here is no action, and is denied."""
