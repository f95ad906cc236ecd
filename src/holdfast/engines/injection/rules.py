# ruff: noqa: E501 - a pattern that is broken in the middle of its words cannot be read
"""Rules: phrases by which a text tells a model what to do instead, and how much each of them weighs.

One rule counts once, however often its phrase stands there. A rule has words of which one must be in the text: a
search for a word takes a hundredth of a search for a pattern, and most texts have none of them. Each pattern has
bounded gaps, so that the time is linear. Weights were set by hand on one half of `bench/text_corpora.py`; what they
reach is measured on the other half.
"""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of phrase: what it does, how much it weighs, what must be there, and its shape in lower case."""

    name: str
    family: str
    weight: float
    needs: tuple[str, ...]
    shape: re.Pattern[str]


def _rule(name: str, family: str, weight: float, needs: str, *shapes: str) -> Rule:
    shape = re.compile("|".join(f"(?:{each})" for each in shapes))
    return Rule(name=name, family=family, weight=weight, needs=tuple(needs.split("|")), shape=shape)


_DROP: Final = (
    r"(?:ignor(?:e|es|ed|ing)|disregard\w{0,3}|forget|overrid\w{1,4}|bypass\w{0,3}|supersed\w{1,4}|discard\w{0,3}|abandon|neglect"
    r"|(?:do not|don't|stop|no longer) (?:follow|obey|adher|comply|listen)\w{0,4}(?: to| with)?)"
)
_ORDERS: Final = (
    r"(?:instruct\w{0,5}|prompts?|directi(?:ves?|ons?)|rules?|guidelines?|commands?|orders?|constraints?|polic(?:y|ies)"
    r"|programming|safeguards?|restrictions?|filters?|limitations?|protocols?|context|training|conversation|messages?)\b"
)
_HELD_BACK: Final = (
    r"(?:system (?:prompt|message|instructions?)|(?:initial|original|hidden|secret|internal|full|exact|entire) "
    r"(?:prompt|instructions?|message|rules|guidelines|configuration)|your (?:\w{1,12} )?(?:instructions?|prompt|rules|"
    r"guidelines|programming|configuration|directives?)|(?:instructions?|text|words|everything|conversation|content) "
    r"(?:above|before this|you were given|prior to)|api key|passwords?|credentials)"
)

RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "drop-orders", "override", 3.0,
        "ignor|disregard|forget|overrid|bypass|supersed|discard|abandon|neglect|not follow|n't follow|not obey|n't obey"
        "|stop follow|not adher|not comply|n't comply|no longer",
        rf"\b{_DROP}\b[^.!?\n]{{0,60}}?\b{_ORDERS}",
        r"\b(?:ignore|disregard|forget)\b[^.!?\n]{0,20}\b(?:(?:previous|above|before|earlier|prior)\b"
        r"|(?:everything|all) (?:you|i|that|the|we)\b)",
    ),
    _rule(
        "new-orders", "override", 2.0, "new |updated |instead|following instruct|real task|actual task|important",
        r"\b(?:new|updated|revised|real|actual|additional|important|special) (?:\w{1,12} )?"
        r"(?:instructions?|task|directives?|orders?|rules|prompt|objective)\b\s{0,3}[:*#\]\-(]",
        r"\byour (?:new|only|real|actual|true) (?:\w{1,12} )?(?:instructions?|task|goal|role|purpose|objective|directive)s?\b",
        r"\b(?:follow|obey|execute) (?:these|this|the following|my|only) (?:\w{1,12} )?(?:instructions?|commands?|orders|rules)",
    ),
    _rule(
        "from-now-on", "override", 1.5, "from now|from this|going forward|henceforth|for the rest of|from here on",
        r"\b(?:from now on|from this (?:point|moment)(?: on| forward)?|going forward|henceforth|from here on(?: out)?)\b"
        r"[^.!?\n]{0,30}\b(?:you|your|act|respond|answer|reply|always|chatgpt|speak)\b",
        r"\bfor the rest of (?:this|the|our) (?:conversation|chat|session)\b",
    ),
    _rule(
        "first-do", "override", 1.5, "before |first|instead of",
        r"\bbefore (?:you )?(?:answer|respond|reply|solv|continu|proceed|summari[sz]|complet|doing|processing)\w{0,4}\b"
        r"[^.!?\n]{0,80}\b(?:first|please|must|do the following|include|add|send)\b",
        r"\binstead of (?:answering|following|summari[sz]ing|responding|the (?:task|summary|requested))\b",
    ),
    _rule(
        "end-of-frame", "override", 2.0, "end of|end |stop|begin",
        r"\b(?:end of|end|stop) (?:the )?(?:system|prompt|instructions?|document|context|data|input|conversation|email)\b"
        r"[^\n]{0,10}[\])>:=*#\-]",
        r"[\[<(=*#-]{1,10}\s{0,3}(?:end|start|begin|stop)(?: of)? (?:the )?"
        r"(?:system|prompt|instructions?|document|context|data|input|output|conversation)\b",
    ),
    _rule(
        "you-are-now", "role", 2.0, "you are|you're|you will be|you have been|you become",
        r"\byou(?: are|'re) (?:now|no longer|going to (?:act as|pretend|play|respond|simulate))\b",
        r"\byou (?:will|shall|must) (?:now )?(?:be (?:an? |my |the |acting|playing|my)|become|act as|pretend|play the|simulate|roleplay|impersonate|emulate)\b",
        r"\byou (?:have been|are) (?:replaced|freed|jailbroken|liberated|unlocked|unshackled|hacked)\b",
        r"\byou are (?:about to )?(?:immerse|enter|playing)\b",
    ),
    _rule(
        "act-as", "role", 1.0, "want you to|need you to|like you to|refer to me|call me|address me|let's|lets |persona|act as|act like|pretend|roleplay|role-play|role play|play the role|impersonat|simulat|take on",
        r"\b(?:act|behave|respond|answer|speak|write|function) (?:as|like)(?: if| though)?\b[^.!?\n]{0,40}"
        r"\b(?:you|an?|the|ai|bot|model|character|assistant)\b",
        r"\bpretend(?:ing)? (?:to be|that you|you(?: are|'re| can| have)|as)\b",
        r"\b(?:role-?\s?play(?:ing)?|play the role|(?:take|taking) (?:on|up) (?:\w{1,12} ){0,3}(?:role|persona|identity)|assume the (?:role|identity|persona)|personify)\b",
        r"\b(?:i|we) (?:want|need|would like) you to (?:act|be|become|play|pretend|imagine|respond|answer|write|generate|take|speak|talk|simulate)\b",
        r"\b(?:refer to me|call me|address me) as\b|\blet'?s (?:play|pretend|roleplay)\b[^.!?\n]{0,20}\b(?:game|role|you)?",
        r"\b(?:impersonate|emulate|simulate) (?:an?|the|another)\b",
    ),
    _rule(
        "persona", "role", 2.0,
        " enabled| activated|override|unlocked|debug|do anything|jailbr|developer mode|dev mode|god mode|godmode|unfiltered|uncensored|amoral|unrestricted|unbiased"
        "|evil|dan |dan,|dan.|dan:|stan |dude|aim |liberat|always intelligent|opposite",
        r"\bdo anything now\b|\bjailbr(?:eak|oken)\w{0,4}\b|\b(?:developer|dev|god|debug\w{0,4}|admin|sudo|unlocked|opposite) ?mode\b",
        r"\bmode[: ]{0,3}(?:is |has been |now )?(?:enabled|activated|unlocked)\b|\b(?:system|security|safety) override\b",
        r"\b(?:unfiltered|uncensored|unrestricted|amoral|immoral|unethical)\b[^.!?\n]{0,40}"
        r"\b(?:ai|bot|model|response|answer|chatbot|assistant|version|advice|language|character|content|and)\b",
        r"\b(?:named|called|known as|as|be|playing|mode|are|of) [\"'*]{0,3}(?:dan|aim|stan|dude|sda|mongo|machiavelli\w{0,4}|evilbot)\b",
    ),
    _rule(
        "no-limits", "role", 2.0, "without|no |free from|free of|not bound|never |n't have|regardless|not restricted|any restrict",
        r"\b(?:without|no|free (?:from|of)|not (?:bound|restricted|limited|constrained) by|not have|n't have|remove|regardless of"
        r"|beyond|ignores?)"
        r" (?:\w{1,12} ){0,3}(?:restrictions?|limitations?|filters?|limits|ethic\w{0,5}|moral\w{0,4}|censor\w{0,4}|guidelines"
        r"|safeguards?|constraints|rules|boundaries|warnings?|disclaimers?|legality)\b",
        r"\bnever (?:refuse|decline|reject|deny|say (?:no|you can|that you can)|warn|apologi[sz]e|break character)\w{0,3}\b",
        r"\b(?:can|may|must|will) (?:not|never) (?:refuse|decline|reject|deny)\b",
    ),
    _rule(
        "stay-in", "role", 1.5, "in character|stay in|break character|still a|remain in|token",
        r"\b(?:stay|remain|keep|stays|always) in (?:the |your |this )?(?:character|role|persona)\b|\bbreak(?:ing)? (?:of )?character\b",
    ),
    _rule(
        "model-talk", "role", 1.0,
        "openai|chatgpt|gpt-|gpt3|gpt4|language model|llm|as an ai|anthropic|claude|gemini|llama|the ai|ai model|ai assistant"
        "|ai chatbot|grok|chatbot|deepseek|your response|your answer|your output",
        r"\b(?:openai|chatgpt|gpt-?[345]\w{0,3}|language model|llms?|as an ai|anthropic|claude|gemini|llama|grok|deepseek)\b",
        r"\b(?:an?|the|this|any|other) ai (?:model|assistant|chatbot|system|language|that|named|called)\b",
        r"\byour (?:responses?|answers?|outputs?|replies) (?:must|should|will|shall|needs? to|has to|have to|are)\b",
    ),
    _rule(
        "answer-so", "role", 1.0, "respond|repl|answer|start|begin|prefix|output|print|say ",
        r"\b(?:start|begin|prefix|precede|preface|end) (?:\w{1,12} ){0,4}(?:response|answer|output|reply|message|sentence|prompt)s?\b"
        r"[^.!?\n]{0,20}\b(?:with|by)\b",
        r"\b(?:only|just|simply|always|must) (?:respond|reply|answer|output|print|say|write|return)(?: to \w{1,12})?\b[^.!?\n]{0,20}"
        r"\b(?:with|as|in|to|the|exactly)\b",
        r"\b(?:two|both|2) (?:\w{1,12} )?(?:responses|answers|ways|outputs|paragraphs)\b|\b(?:my|the) first (?:question|request|prompt|command)\b",
        r"\bdo not (?:mention|explain|warn|include|add|say|write|output|reveal|provide|apologi[sz]e)\b",
    ),
    _rule(
        "forged-frame", "frame", 2.5, "<|[|#|system:|assistant:|user:|human:|{",
        r"<\|[^|>\n]{1,40}\|>|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>|\[/?system(?:[^\]\n]{0,20})\]",
        r"(?:^|\n)[ \t]{0,8}[#*\[(<]{0,4}\s?(?:system|assistant|human|user|chatgpt|ai)(?: ?(?:message|prompt|response|note))?[\])>*]{0,4} ?:",
        r"#{2,6} ?(?:instructions?|system|response|human|assistant|user|new|input)\b",
        r"</?(?:system|instructions?|prompt|user_?\w{0,8}|assistant|document|data|context|information|tool_\w{1,12}|rules?|important)>",
        r"[\"'](?:role|system_?prompt|instructions?)[\"'] ?: ?[\"'\[{]",
        r"(?:[=+.\-_*#~|]{2,20}/?[a-z](?:/[a-z]){2,12})",
    ),
    _rule(
        "what-is-hidden", "exfiltration", 2.5,
        "your unique|message|system prompt|system message|instruction|your prompt|rules|guidelines|above|api key|password|credential|configuration"
        "|hidden|original prompt|initial prompt|secret|everything|your programming|directive",
        r"\b(?:reveal|show|print|output|repeat|display|tell|leak|expose|disclose|give|provide|write|recite|share|dump|copy|list"
        r"|summari[sz]e|translate|what (?:is|are|was|were)|spell|encode|return|include|append|describe|quote)\b"
        rf"[^.!?\n]{{0,60}}\b{_HELD_BACK}",
        r"\b(?:repeat|say|print|output|write)\b[^.!?\n]{0,20}\b(?:verbatim|word for word)\b",
        r"\b(?:sentence|line|word|part|beginning|contents?) of your (?:system |initial )?(?:prompt|instructions|message)|\byour unique id\b",
        r"\babove this message\b|\bstarting with [\"']?you are\b",
    ),
    _rule(
        "send-out", "exfiltration", 2.0, "http|![|send |post |upload|forward|email",
        r"!\[[^\]\n]{0,80}\]\((?:https?:)?//[^)\s]{1,400}[?&=]",
        r"\b(?:send|post|upload|forward|exfiltrate|transmit|submit|append|email)\b[^.!?\n]{0,60}\b(?:to|at)\b[^.!?\n]{0,12}https?://",
        r"https?://[^\s)\"']{1,200}[?&]\w{1,20}=[\[{<$]",
    ),
    _rule(
        "calls", "tools", 2.0, "javascript:|onload|tool|function|<invoke|call|curl|wget|os.system|subprocess|rm -rf|onerror|<script|<img|powershell|eval(",
        r"[\"'](?:tool|tool_name|function|function_call|tool_calls?|arguments|action_input)[\"'] ?: ?[\"{\[]|</?(?:tool_call|invoke|function_call)",
        r"\b(?:call|invoke|execute|run|use|trigger) (?:the |a |your |this )?[`\"']?\w{0,30}[`\"']? ?(?:tool|function|plugin|command|script|code|shell)\b"
        r"[^.!?\n]{0,40}\b(?:with|to|and|using|now|immediately)\b",
        r"\b(?:curl|wget) (?:-\w{1,8} ){0,4}[\"']?https?://|\bos\.system\(|\bsubprocess\.\w{1,12}\(|\brm -rf [/~]|\bon(?:error|load) ?= ?|<script\b|\bjavascript:",
    ),
    _rule(
        "urgent", "override", 1.0, "important|urgent|critical|crucial|attention|must|warning|emergency|die|lose token|tokens",
        r"\b(?:it is|it's|this is|very|extremely|absolutely) (?:\w{1,12} )?(?:important|crucial|critical|imperative|vital|essential) "
        r"(?:that|you|to|message|do|for)\b",
        r"\b(?:attention|important|urgent|warning)[ :!*\]]{1,6}[^.!?\n]{0,60}\b(?:ai|assistant|model|you must|system|instructions?)\b",
        r"\byou (?:will )?(?:lose|have|start with|begin with) (?:\w{1,6} )?(?:\d{1,4} )?tokens\b",
    ),
    _rule(
        "pretext", "override", 1.5, "testing|test|debug|training exercise|special case|troubleshoot|experimental|capabilit|procedure",
        r"\bfor (?:testing|test|debugging|diagnostic|verification) purposes\b|\bthis is (?:only )?a (?:test|drill|simulation)[.:,]",
        r"\b(?:to|enable) (?:enable )?(?:debugging|troubleshoot\w{0,3})\b[^.!?\n]{0,30}\b(?:do|execute|please|perform|run|following)\b",
        r"\bas part of (?:a|this|the) (?:training|test\w{0,3}|security|audit) (?:exercise|pipeline|procedure|drill)|\bpart of a test pipeline\b",
        r"\bspecial case: if you\b|\bif you (?:are|have been) (?:told|asked|instructed) to (?:summari[sz]e|answer|translate|respond|ignore)\b",
    ),
    _rule(
        "in-your-answer", "override", 1.5, "your response|your answer|your output|your reply|your replies|your responses|your summary|no matter what|regardless",
        r"\b(?:include|append|add|insert|put|place|embed|write|say|mention)\b[^.!?\n]{0,40}\b(?:in|to|at the (?:end|beginning|start) of|into) your (?:\w{1,12} )?(?:response|answer|output|reply|summary)",
        r"\bat the (?:end|beginning|start|top) of (?:\w{1,6} )?your (?:response|answer|output|repl|message|summary)",
        r"\b(?:in|all|each|every one of) (?:of )?your (?:responses|answers|replies|outputs)\b",
        r"\bregardless of (?:any|all|the|what) (?:\w{1,12} )?(?:previous|prior|other|earlier|input|instructions?|rules)\b",
    ),
    _rule(
        "hypothetical", "role", 1.0, "hypothetical|fictional|imagin|story|thought experiment|alternate|alternative univ|in a world",
        r"\bhypothetical(?:ly)?\b[^.!?\n]{0,60}\b(?:respon\w{1,3}|answer|story|character|scenario|ai|world|you)\b",
        r"\b(?:fictional|imaginary|alternate|alternative) (?:\w{1,12} )?(?:world|story|scenario|universe|character|setting|reality|dimension)\b",
        r"\bthought experiment\b|\bimagine (?:that )?(?:you|a world|an ai|we)\b",
    ),
)  # fmt: skip
"""All of them."""

HIDDEN: Final = 3  # characters that cannot be seen, from which on somebody hides something
HIDDEN_WEIGHT: Final = 1.5
FOREIGN: Final = 2  # letters of another script within Latin words
FOREIGN_WEIGHT: Final = 1.0
DISGUISED_WEIGHT: Final = 1.0  # for what was found only in a run that had to be decoded, or that was spelt out
