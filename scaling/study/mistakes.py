"""What Hydra and OmegaConf say of a config that is wrong → what is wrong, where, and what to write."""

from __future__ import annotations

import difflib
import re
import shlex
import typing

from scaling.study.config import RunConfig
from scaling.study.keys import explain_unknown, is_key

_UNKNOWN = re.compile(r"Key '([^']*)' not in '\w+'\s+full_key: (\S+)[\s\S]*")
_SECTION = re.compile(r"Merge error: \w+ is not a subclass of (\w+)\. value: (.*)[\s\S]*")
_MANY = re.compile(
    r"Value (?:'(?P<quoted>[\[{].*?[\]}]|[^']*,[^']*)' of type '\w+' could not be converted to \w+"
    r"|(?P<bare>[\[(].*[\])]) \(\w+\) is not a valid input for .*)\s+full_key: (?P<key>\S+)[\s\S]*"
    r"|Cannot convert '\w+' to string: '(?P<text>[\[(].*[\])])'\s+full_key: (?P<name>\S+)[\s\S]*"
)
_NO_LIST = re.compile(
    r"Invalid value assigned: \w+ is not a ListConfig, list or tuple\.\s+full_key: (\S+)[\s\S]*"
)
_TYPE = re.compile(
    r"(?:Value '(?P<value>[^\n]*)' of type '\w+' could not be converted to (?P<kind>\w+)"
    r"|Value '(?P<truth>[^\n]*)' is not a valid bool \(type \w+\))\s+full_key: (?P<key>\S+)[\s\S]*"
)
_CHOICE = re.compile(
    r"Invalid value '(?P<value>[^\n]*)', expected one of \[(?P<known>[^\]]*)\]"
    r"\s+full_key: (?P<key>\S+)[\s\S]*"
)
_KINDS = {"Integer": "a whole number", "Float": "a number"}
_ADVICE = re.compile(r"\n?To append to your [^\n]*")  # Hydra's, to prefix +: with it a typo was ignored
_WRAPPED = re.compile(r"\w+ raised while composing config:\s*|Error merging override \S+\s*")
_OPTION = re.compile(
    r"Could not find '(?P<group>\S+)/(?P<name>[^/\s']+)'\s+Available options in '[^']*':"
    r"\n(?P<known>(?:\t[\w.-]+\n?)+)[\s\S]*"
)
_NO_VALUE = re.compile(r"Error parsing override '(?P<word>[\w.-]+)'\s+missing EQUAL[\s\S]*")
_TWICE = re.compile(r"Multiple values for (?P<group>\S+)\. To override[\s\S]*")
# What the grammar says of values that it cannot read.
_UNREAD = ("no viable alternative", "NoViableAlt", "mismatched input", "extraneous input")
_HEADER = "# @package _global_"
_EXTRA_GROUPS = {"hydra/launcher/joblib": "joblib"}  # config group option → extra whose plugin has it

# What is written for a section that was given a single value.
_EXAMPLES = {
    "model": "model: {{params: 1e5}}, or of another family defaults: [override /model: {value}]",
    "data": "data: {{corpus: {value}}} with the corpus' keys beside it; on the command line data={value}",
    "budget": "budget: {{tokens: {value}}}",
    "training": "training: {{learning_rate: 3e-3}}",
}


def explain(error: Exception) -> str:
    """The message that says what is wrong: Hydra wraps it, sometimes twice."""
    inner: BaseException = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    text = str(inner).strip()
    outer = str(error).strip()
    if text not in outer and outer:
        text = f"{outer}\n{text}"
    text = _ADVICE.sub("", text)
    for option, extra in _EXTRA_GROUPS.items():
        if f"'{option}'" in text:
            return (
                f"{option.rpartition('/')[0]}={extra} needs a plugin: pip install 'scaling-harness[{extra}]'"
            )
    for pattern, say in _SAID:
        found = pattern.search(text)
        said = say(found) if found else None
        if found and said:
            where = _WRAPPED.sub("", text[: found.start()]).replace("In 'config':", "").strip()
            return f"{where} {said}".strip()
    return text


def explain_override(line: str, error: Exception) -> str:
    """What to write instead of an override that Hydra's grammar does not take."""
    said = explain(error)
    key, equals, value = line.partition("=")
    if not equals or not any(word in said for word in _UNREAD):
        return said
    text = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return f"{line}: Hydra cannot read this value. If it is text, quote it: {shlex.quote(f'{key}={text}')}"


def _unknown(found: re.Match[str]) -> str | None:
    name, key = found[1], found[2]
    if key.startswith("hydra."):
        return None
    if key == "study" or name.strip("_") in ("global", "globals"):  # all was taken for what is below that
        return f"begin the file with the line {_HEADER}"
    if "." in name and is_key(name):
        section, _, last = name.rpartition(".")
        return (
            f"{name}: a file nests its keys; write {section}: {{{last}: VALUE}}, and to sweep over values\n"
            f"{_sweep(name, 'VALUE,VALUE')}"
        )
    return explain_unknown(key)


def _section(found: re.Match[str]) -> str | None:
    hints = typing.get_type_hints(RunConfig)
    section = next((name for name in _EXAMPLES if hints[name].__name__ == found[1]), None)
    if section is None:
        return None
    example = _EXAMPLES[section].format(value=found[2].strip())
    return f"{section}: keys are needed here, not the single value {found[2].strip()}; write {example}"


def _many(found: re.Match[str]) -> str | None:
    key, values = found["key"] or found["name"], found["quoted"] or found["bare"] or found["text"]
    if not is_key(key):
        return None
    inside = ",".join(part.strip().strip("'\"") for part in values.strip("[]()").split(","))
    return (
        f"{key}: one value is needed here; got {values}. To sweep over values, write in the file\n"
        f"{_sweep(key, inside)}\nor on the command line {key}={inside}"
    )


def _type(found: re.Match[str]) -> str | None:
    value, kind = found["value"], _KINDS.get(found["kind"] or "")
    if found["truth"] is not None:
        value, kind = found["truth"], "true or false"
    return f"{found['key']}: {kind} is needed; got {value!r}." if kind else None


def _choice(found: re.Match[str]) -> str:
    known = found["known"].split(", ")
    near = difflib.get_close_matches(found["value"].lower(), known, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{found['key']}: one of {', '.join(known)} is needed; got {found['value']!r}.{hint}"


def _no_list(found: re.Match[str]) -> str:
    key = found[1]
    section, _, last = key.rpartition(".")
    nested = f"{section}: {{{last}: [VALUE]}}" if section else f"{last}: [VALUE]"
    return f"{key}: a list is needed; write {nested} in a file, '{key}=[VALUE]' on the command line"


def _sweep(key: str, values: str) -> str:
    return f'hydra: {{sweeper: {{params: {{{key}: "{values}"}}}}}}'


def _option(found: re.Match[str]) -> str:
    group, name = found["group"], found["name"]
    known = found["known"].split()
    near = difflib.get_close_matches(name.lower(), known, 1)
    hint = f" Did you mean {group}={near[0]}?" if near else ""
    own = f" One that an extension registers: {group}.name={name}." if group == "optimizer" else ""
    return f"{group}={name}: there is no {name}.{hint} There are {', '.join(known)}.{own}"


def _no_value(found: re.Match[str]) -> str:
    word = found["word"]
    return f"{word}: an override is KEY=VALUE. A study is named study={word}, a run of no study name={word}."


def _twice(found: re.Match[str]) -> str:
    name = found["group"]
    return f"{name}: chosen already. Write {name}=NAME without the +; in a file, override /{name}: NAME."


_SAID = (
    (_OPTION, _option),
    (_NO_VALUE, _no_value),
    (_TWICE, _twice),
    (_UNKNOWN, _unknown),
    (_SECTION, _section),
    (_MANY, _many),
    (_NO_LIST, _no_list),
    (_TYPE, _type),
    (_CHOICE, _choice),
)
