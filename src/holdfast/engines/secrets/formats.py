"""Known formats of secrets, one row each: a literal that must be there, the shape around it, and what makes it real.

A scan looks for each literal with the fastest search there is, and tries the pattern only where one stands. Every
quantifier of a pattern is bounded, so that no text makes a match take longer than its length.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from holdfast.core.evidence import Severity
from holdfast.engines.secrets import checks
from holdfast.engines.secrets.context import MIN_BITS, bits, is_placeholder, is_random, is_words

Check = Callable[[bytes], bool]

HIGH: Final = Severity.HIGH
CRITICAL: Final = Severity.CRITICAL
MEDIUM: Final = Severity.MEDIUM


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format. `pattern` is tried where `anchor` stands; its group 1, or all of it, is the secret."""

    name: str
    says: str
    anchor: bytes
    pattern: re.Pattern[bytes]
    check: Check
    severity: Severity = CRITICAL
    spaced: bool = False  # whether the anchor holds a space, so that it is looked for in the text and not in its runs


def random_tail(token: bytes) -> bool:
    """Say whether what follows a token's prefix looks drawn by chance: all there is where a format has no checksum."""
    tail = re.split(rb"[_.:-]", token, maxsplit=1)[-1]
    return not is_placeholder(tail) and bits(tail) >= MIN_BITS and not (is_words(tail) and not is_random(tail))


def _row(name: str, says: str, anchor: str, pattern: str, check: Check = random_tail, **more: Any) -> Format:
    # No letter or digit may follow: a longer run is another thing.
    compiled = re.compile(pattern.encode() + rb"(?![A-Za-z0-9_])")
    return Format(name=name, says=says, anchor=anchor.encode(), pattern=compiled, check=check, **more)


def _github(prefix: str, says: str) -> Format:
    return _row(
        f"github.{prefix}", f"a {says} of GitHub", f"{prefix}_", f"{prefix}_[0-9A-Za-z]{{36}}", checks.is_base62_checked
    )


FORMATS: Final = (
    _github("ghp", "personal access token"),
    _github("gho", "OAuth token"),
    _github("ghu", "user-to-server token"),
    _github("ghs", "installation token"),
    _github("ghr", "refresh token"),
    _row("github.pat", "a fine-grained token of GitHub", "github_pat_", r"github_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59}"),
    _row("gitlab.token", "a token of GitLab", "gl", r"gl(?:pat|rt|dt|ptt|ft|soat)-[0-9A-Za-z_-]{20,64}"),
    _row("npm.token", "an access token of npm", "npm_", r"npm_[0-9A-Za-z]{36}", checks.is_base62_checked),
    _row("pypi.token", "an upload token of PyPI", "pypi-AgE", r"pypi-AgE[0-9A-Za-z_-]{60,600}", checks.is_pypi),
    _row("slack.token", "a token of Slack", "xox", r"xox[abeoprs]-(?:[0-9]{1,16}-){1,4}[0-9A-Za-z]{16,64}"),
    _row("slack.app", "an app token of Slack", "xapp-", r"xapp-[0-9]-[A-Z0-9]{8,14}-[0-9]{10,16}-[0-9a-f]{64}"),
    _row(
        "slack.webhook",
        "a webhook of Slack, whose address is its password",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows)/T[0-9A-Z]{6,12}/[AB][0-9A-Z]{6,12}/[0-9A-Za-z]{16,32}",
        lambda token: random_tail(b"_" + token.rpartition(b"/")[2]),
        severity=HIGH,
    ),
    _row("google.api-key", "an API key of Google", "AIza", r"AIza[0-9A-Za-z_-]{35}", lambda t: random_tail(b"_" + t)),
    _row("google.oauth", "a client secret of Google", "GOCSPX-", r"GOCSPX-[0-9A-Za-z_-]{28}"),
    _row(
        "azure.key",
        "the key of an Azure storage account",
        "AccountKey=",
        r"AccountKey=[0-9A-Za-z+/]{86}==",
        checks.is_azure,
    ),
    _row(
        "azure.shared-key",
        "a shared access key of Azure",
        "SharedAccessKey=",
        r"SharedAccessKey=[0-9A-Za-z+/]{43}=",
        checks.is_azure,
    ),
    _row(
        "stripe.live",
        "a live secret key of Stripe",
        "k_live_",
        r"k_live_[0-9A-Za-z]{24,99}",
        lambda t: random_tail(t[6:]),
    ),
    _row(
        "stripe.test",
        "a test secret key of Stripe",
        "k_test_",
        r"k_test_[0-9A-Za-z]{24,99}",
        lambda t: random_tail(t[6:]),
        severity=MEDIUM,
    ),
    _row(
        "stripe.webhook",
        "a webhook's signing secret of Stripe",
        "whsec_",
        r"whsec_[0-9A-Za-z+/]{32,64}={0,2}",
        severity=HIGH,
    ),
    _row("huggingface.token", "an access token of Hugging Face", "hf_", r"hf_[A-Za-z]{34}"),
    _row("holdfast.key", "an API key of a Holdfast gateway", "hf_", r"hf_[0-9A-Za-z_-]{43}"),
    _row(
        "holdfast.unlock",
        "what opens a Holdfast workspace",
        "holdfast-unlock-1 ",
        r"holdfast-unlock-1 [0-9a-f]{64}",
        lambda token: random_tail(b"_" + token.rpartition(b" ")[2]),
        spaced=True,
    ),
    _row(
        "openai.key",
        "an API key of OpenAI",
        "T3BlbkFJ",
        r"T3BlbkFJ[0-9A-Za-z_-]{20,80}",
        lambda t: random_tail(b"_" + t[8:]),
    ),
    _row("anthropic.key", "an API key of Anthropic", "sk-ant-", r"sk-ant-[a-z]{3,8}[0-9]{2}-[0-9A-Za-z_-]{80,120}"),
    _row("sendgrid.key", "an API key of SendGrid", "SG.", r"SG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43}"),
    _row(
        "digitalocean.token", "a token of DigitalOcean", "do", r"do[opr]_v1_[0-9a-f]{64}", lambda t: random_tail(t[6:])
    ),
    _row("shopify.token", "a token of Shopify", "shp", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    _row(
        "databricks.token",
        "a token of Databricks",
        "dapi",
        r"dapi[0-9a-f]{32}(?:-[0-9])?",
        lambda t: random_tail(b"_" + t[4:]),
    ),
    _row(
        "docker.token",
        "a token of Docker Hub",
        "dckr_",
        r"dckr_[po]at_[0-9A-Za-z_-]{27,32}",
        lambda t: random_tail(t[9:]),
    ),
    _row(
        "grafana.token",
        "a service account token of Grafana",
        "glsa_",
        r"glsa_[0-9A-Za-z]{32}_[0-9a-f]{8}",
        checks.is_grafana,
    ),
    _row("vault.token", "a token of HashiCorp Vault", "hvs.", r"hvs\.[0-9A-Za-z_-]{90,120}"),
    _row("telegram.token", "a bot token of Telegram", ":AA", r":AA[0-9A-Za-z_-]{33}", severity=HIGH),
    _row("age.key", "a secret key of age", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[0-9A-Z]{58}", checks.is_age),
    _row(
        "jwt",
        "a signed JSON Web Token",
        "eyJ",
        r"eyJ[0-9A-Za-z_-]{10,2000}\.eyJ[0-9A-Za-z_-]{10,8000}\.[0-9A-Za-z_-]{20,1400}",
        checks.is_jwt,
        severity=HIGH,
    ),
    _row(
        "http.basic",
        "name and password of HTTP Basic",
        "Basic ",
        r"Basic [0-9A-Za-z+/]{12,200}={0,2}",
        checks.is_basic,
        severity=HIGH,
        spaced=True,
    ),
    Format(
        name="private-key",
        says="a private key",
        anchor=b"-----BEGIN ",
        pattern=re.compile(
            rb"-----BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){40,17000}"
            rb"-----END (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----"
        ),
        check=checks.is_private_key,
        spaced=True,
    ),
)
"""Every known format, by hand; a token that none of them knows is the business of `context`."""

AWS_ID: Final = re.compile(rb"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])")
AWS_ANCHORS: Final = (b"AKIA", b"ASIA")
AWS_SECRET: Final = re.compile(rb"(?<![0-9A-Za-z+/])[0-9A-Za-z+/]{40}(?![0-9A-Za-z+/=])")
AWS_REACH: Final = 400  # bytes around an id in which its secret stands; files of credentials have it on the next line
URL_PASSWORD: Final = re.compile(
    rb"[a-z][a-z0-9+.-]{1,20}://[^\s:/?#@\"'<>`{}$]{0,80}:([^\s/@\"'<>`]{3,200})@([A-Za-z0-9._\[\]:%-]{1,255})"
)
URL_REACH: Final = 22  # characters of the longest scheme, before "://"
