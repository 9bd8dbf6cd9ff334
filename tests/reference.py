"""reference - what the documentation says there is, read from its tables

docs/audit.md lists every event of the audit log with its fields, docs/refusals.md every reason. Labs hold what
their daemons wrote against the former (Lab.problems), test_docs.py holds the sources against both.
"""

import functools
import json
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read(path):
    with open(os.path.join(ROOT, path)) as f:
        return f.read()


def rows(text):
    """The rows of every table in it: lists of cells."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| |")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def words(cell):
    return re.findall(r"`([^`]+)`", cell)


def named(text):
    """Rows whose first cell names things: [(name, other cells)], a row of two names twice."""
    return [(name, row[1:]) for row in rows(text) for name in words(row[0])]


def section(text, heading):
    """What stands below a heading, to the next of its depth."""
    body = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^{heading.split()[0]} ", body, maxsplit=1, flags=re.M)[0]


class AuditReference:
    """docs/audit.md: `always` and `fields` are names, `events` and `items` sets of fields by name."""

    def __init__(self):
        text = read("docs/audit.md")
        self.always = [name for name, _ in named(section(text, "## Every line"))]
        events = named(section(text, "## Events"))
        self.events, self.writers = {}, {}
        for name, (writer, _, fields) in events:
            like = re.match(r"as `(\w+)`", fields)
            self.events[name] = set(words(fields)) - {like and like[1]} | (self.events[like[1]] if like else set())
            self.writers[name] = writer
        fields, *items = re.split(r"^Items of `(\w+)`:$", section(text, "## Fields"), flags=re.M)
        self.fields = [name for name, _ in named(fields)]
        self.items = {name: [n for n, _ in named(table)] for name, table in zip(items[::2], items[1::2])}
        self.event_rows = [name for name, _ in events]

    def missing(self, line):
        """What of a line of the log is not documented: words, or nothing."""
        event = line.get("event")
        if event not in self.events:
            return [f"event {event}"]
        known = {*self.always, *self.events[event], "count", "cut"}
        found = [f"{event}.{k}" for k in line if k not in known]
        if self.writers[event] not in ("all", line["src"]):
            found.append(f"{event} by {line['src']}")
        for name, fields in self.items.items():
            found += [f"{event}.{name}[].{k}" for item in line.get(name, []) for k in item if k not in fields]
        return found


@functools.cache
def audit_reference():
    return AuditReference()


def undocumented(path):
    """What a file of the audit log holds that docs/audit.md does not have. Half lines, and others' lines, are not ours."""
    found = set()
    with open(path, errors="replace") as f:
        for text in f:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and {"seq", "src", "prev", "event"} <= line.keys():
                found.update(audit_reference().missing(line))
    return sorted(found)


def reasons():
    """[(word, what docs/refusals.md says of it)], in its order."""
    return [(name, cells) for name, cells in named(section(read("docs/refusals.md"), "## Reasons"))]
