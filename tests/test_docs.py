"""The documentation names what there is: all of it, once, and nothing else.

Keys of policies are printed into docs/policy.md from their table, and test_policy_host compares the two.
"""

import glob
import re

from lab import ROOT
from reference import audit_reference, read, reasons

PARTS = ("base", "policy", "nft", "netd", "dns", "gitproxy", "cli")


def once(names):
    assert len(names) == len(set(names)), sorted({n for n in names if list(names).count(n) > 1})
    return set(names)


def sources(parts=PARTS):
    for part in parts:
        for path in glob.glob(f"{ROOT}/{part}/**/*.c", recursive=True):
            with open(path) as f:
                yield f.read()


def test_reasons():
    """In the order of policy/reason.h, each with something to say."""
    there = re.findall(r'X\([A-Z_]+, "(\w+)",', read("policy/reason.h"))
    assert len(there) > 50 and [name for name, _ in reasons()] == there
    assert all(cells[0] for _, cells in reasons())


# -- the audit log

def test_audit_events():
    text = "\n".join(sources())
    there = set(re.findall(r'\.event = "(\w+)"', text)) | set(re.findall(r'write_event\(a, "(\w+)"', text))
    there |= set(re.findall(r'\.event = [^"\n]*"(\w+)"[^"\n]*"(\w+)"', text)[0])
    assert once(audit_reference().event_rows) == there


def test_audit_fields():
    """Of lines and of the items of their lists: what is written is documented, and the other way round."""
    ref = audit_reference()
    text = "\n".join(sources())
    there = set(re.findall(r'audit_(?:str|rd|u64|list)\(\s*&?\w+,\s*"(\w+)"', text)) | {"ipv4", "ipv6"}
    there |= set(re.findall(r'put_oid\(\s*l,\s*"(\w+)"', text)) | {"ts", "seq", "src", "prev", "count", "cut"}
    items = set().union(*(once(fields) for fields in ref.items.values()))
    assert once(ref.always) | once(ref.fields) | items == there
    assert set().union(*ref.events.values()) <= set(ref.fields)
    assert set(ref.fields) - set().union(*ref.events.values()) == {"count", "cut"}
    assert set(ref.items) <= set(ref.fields)


def test_a_line_that_is_not_documented_is_noticed():
    ref = audit_reference()
    good = {"event": "push", "src": "keeper", "commands": [{"ref": "x"}], **dict.fromkeys(ref.always[6:], "")}
    assert ref.missing(good) == []
    assert ref.missing({**good, "surprise": 1, "commands": [{"tip": "x"}]}) == ["push.surprise", "push.commands[].tip"]
    assert ref.missing({**good, "src": "dns"}) == ["push by dns"]
    assert ref.missing({**good, "event": "pull"}) == ["event pull"]

