"""cordon-scan: what it says of a push, asked as cordon-mirror asks it, with packs made by git and by hand."""

import os
import signal
import struct
import subprocess
import zlib

import pytest

import labobjects as lo
from labgate import ZERO, Judge, Repo, push_list, push_rules
from labnet import wait_for

MAIN = "refs/heads/main"


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """One for all: what one push does to it is nothing to the next."""
    j = Judge(tmp_path_factory.mktemp("gate"))
    yield j
    j.close()


@pytest.fixture
def repo(tmp_path):
    return Repo(tmp_path / "work")


def first(judge, pack, new="1" * 40, **kw):
    """A push of a first branch into a repository of which nothing is there."""
    return judge.push([(None, new, MAIN)], pack, **kw)


# -- packs that are none

def good():
    c, t, b = lo.change(files={b"a": b"a\n" * 99})
    return lo.pack(c, t, b), c


def resealed(data):
    """With a trailer that fits."""
    return data + lo.HASHES["sha1"](data).digest()


def raw(kind, size, data):
    """An entry that says any size."""
    return lo.entry(lo.Object(kind, b"\0" * size))[:len(lo.entry(lo.Object(kind, b"\0" * size))) - len(zlib.compress(b"\0" * size))] + data


MALFORMED = {
    "nothing": lambda p: b"",
    "cut in its head": lambda p: p[:11],
    "cut in the middle": lambda p: p[:len(p) // 2],
    "cut by a byte": lambda p: p[:-1],
    "a byte behind it": lambda p: p + b"x",
    "bytes behind its last object": lambda p: resealed(p[:-20] + b"x"),
    "a wrong trailer": lambda p: p[:-1] + bytes([p[-1] ^ 1]),
    "a bit flipped": lambda p: p[:30] + bytes([p[30] ^ 4]) + p[31:],
    "more objects than it has": lambda p: resealed(p[:8] + struct.pack(">I", 4) + p[12:-20]),
    "less objects than it has": lambda p: resealed(p[:8] + struct.pack(">I", 2) + p[12:-20]),
    "very many objects": lambda p: resealed(p[:8] + struct.pack(">I", 1 << 19) + p[12:-20]),
    "version 4": lambda p: resealed(p[:4] + struct.pack(">I", 4) + p[8:-20]),
    "not a pack": lambda p: resealed(b"KCAP" + p[4:-20]),
    "SHA-256's trailer": lambda p: p[:-20] + lo.HASHES["sha256"](p[:-20]).digest(),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_pack_is_refused(judge, what):
    a = first(judge, MALFORMED[what](good()[0]))
    assert (a.verdict, a.reason) == ("refused", "pack_malformed"), a.judged
    assert [c["reason"] for c in a.commands] == ["pack_malformed"] and a.commands[0]["index"] == 2**32 - 1
    assert a.files() == []


ENTRIES = {
    "type 0": [b"\x00" + zlib.compress(b"")],
    "type 5": [b"\x50" + zlib.compress(b"")],
    "a size that is not over": [b"\xb0" + b"\xff" * 12 + zlib.compress(b"")],
    "longer than it says": [raw(lo.BLOB, 3, zlib.compress(b"abcd"))],
    "shorter than it says": [raw(lo.BLOB, 5, zlib.compress(b"abcd"))],
    "no zlib": [raw(lo.BLOB, 5, b"abcde" * 9)],
    "raw deflate": [raw(lo.BLOB, 4, zlib.compress(b"abcd")[2:])],
    "a wrong checksum": [raw(lo.BLOB, 4, zlib.compress(b"abcd")[:-1] + b"\0")],
    "a dictionary": [raw(lo.BLOB, 4, (lambda c: c.compress(b"abcd") + c.flush())(zlib.compressobj(zdict=b"abcd")))],
    "an object twice": [lo.blob(b"same"), lo.blob(b"same")],
    "a delta of nothing": [raw(lo.OFS, 4, b"")],
    "a delta of itself": [b"\x64\x00" + zlib.compress(b"\4\4\4abcd"[:4])],
    "a delta from before the pack": [lo.blob(b"abcd"), b"\x64\xff\x7f" + zlib.compress(b"\4\4\4a")],
    "a delta into the middle of an entry": [lo.blob(b"abcd"), b"\x67\x05" + zlib.compress(b"\4\4\4abcd")],
    "instruction 0": [lo.blob(b"abcd"), lo.delta(lo.blob(b"abcd"), 4, b"\0")],
    "a copy beyond the base": [lo.blob(b"abcd"), lo.delta(lo.blob(b"abcd"), 4, lo.copy(1, 4))],
    "another base's length": [lo.blob(b"abcd"), lo.delta(lo.blob(b"abcd"), 4, lo.copy(0, 4), base_size=5)],
    "a delta that makes less": [lo.blob(b"abcd"), lo.delta(lo.blob(b"abcd"), 5, lo.copy(0, 4))],
    "a delta that makes more": [lo.blob(b"abcd"), lo.delta(lo.blob(b"abcd"), 3, lo.copy(0, 4))],
    "a delta that is cut": [lo.blob(b"abcd"), lo.delta(lo.blob(b"abcd"), 9, b"\x09abcd")],
}


@pytest.mark.parametrize("what", ENTRIES)
def test_an_entry_that_git_does_not_write_is_refused(judge, what):
    a = first(judge, lo.pack(*ENTRIES[what]))
    assert (a.verdict, a.reason) == ("refused", "pack_malformed"), (a.judged, a.commands)
    assert a.files() == []


# -- limits

def test_a_bomb_is_refused_before_it_is_there(judge):
    """A gigabyte of zeros in a megabyte; then a delta that makes much of little, before it is made."""
    a = first(judge, lo.pack(raw(lo.BLOB, 1 << 20, zlib.compress(bytes(1 << 20)))), max_inflated=1 << 19)
    assert (a.verdict, a.reason) == ("refused", "pack_limit_exceeded")
    base = lo.blob(b"a" * 65536)
    many = [lo.delta(base, 65536 * 1000 + i, lo.copy(0, 65536) * 1000 + lo.insert(b"x" * i)) for i in range(1, 20)]
    a = first(judge, lo.pack(base, *many), max_inflated=1 << 30)
    assert (a.verdict, a.reason) == ("refused", "pack_limit_exceeded")


def test_much_out_of_nothing_is_refused(judge):
    """20 versions of a quarter of a gigabyte out of a few kilobytes, whatever the bound on all is."""
    base = lo.blob(b"a" * 65536)
    many = [lo.delta(base, 65536 * 4000 + i, lo.copy(0, 65536) * 4000 + lo.insert(b"x" * i)) for i in range(1, 20)]
    a = first(judge, lo.pack(base, *many), max_inflated=1 << 50)
    assert (a.verdict, a.reason) == ("refused", "pack_limit_exceeded")
    assert [p["phase"] for p in a.progress] == ["received"], "none of it was made"


def test_a_delta_of_more_than_is_held_is_refused(judge):
    base = lo.blob(b"a" * 65536)
    a = first(judge, lo.pack(base, lo.delta(base, 65536 * 4097, lo.copy(0, 65536) * 4097)))
    assert (a.verdict, a.reason) == ("refused", "pack_limit_exceeded") and "256 MiB" in a.judged["detail"]


def test_many_of_one_object_and_many_that_lean_on_it(judge):
    """Twice is refused when all ids are known; until then what leans on an id is one entry's, not each one's."""
    base, n = lo.blob(b"0123456789abcdef"), 150000
    leans = b"".join(lo.entry(lo.delta(base, 21, lo.copy(0, 16) + lo.insert(b"%05x" % i))) for i in range(n))
    a = first(judge, resealed(struct.pack(">4sII", b"PACK", 2, 2 * n) + lo.entry(base) * n + leans))
    assert (a.verdict, a.reason) == ("refused", "pack_malformed"), a.judged
    assert a.commands[0]["text"] == "an object is in it twice"


def test_too_many_objects(judge):
    a = first(judge, good()[0], max_objects=2)
    assert (a.verdict, a.reason) == ("refused", "pack_limit_exceeded")


def test_a_long_chain_of_deltas(judge):
    """As git makes them at most they are read; more are refused, not followed."""
    def chain(n):
        items = [lo.blob(b"0" * 100)]
        last = items[0]
        for i in range(n):
            now = lo.blob(b"0" * 100 + b"%d" % i)
            items.append(lo.delta(last, len(now.data), lo.copy(0, 100) + lo.insert(b"%d" % i)))
            last = now
        return lo.pack(*items)
    assert first(judge, chain(5000)).reason == "pack_limit_exceeded"
    assert first(judge, chain(4000)).reason != "pack_limit_exceeded"


# -- what it leans on

def test_a_missing_base_is_said(judge, repo):
    """And in whatever order deltas come, those that lean on each other in a ring are never made."""
    base = lo.blob(b"abcd" * 50)
    a = first(judge, lo.pack(lo.delta(base, 8, lo.copy(0, 8))))
    assert (a.verdict, a.judged["missing"]) == ("missing", base.id) and a.files() == []


# -- a judge that dies

def big(n=40):
    return lo.pack(*(lo.blob(os.urandom(1 << 20)) for _ in range(n)))


def test_a_killed_judge_is_no_verdict(judge):
    """Whoever asked hears the end; the next push is judged."""
    asked = judge.start([(None, "1" * 40, MAIN)], big())
    assert asked.next()[0] == "progress"
    for pid in judge.judges():
        os.kill(pid, signal.SIGKILL)
    a = asked.answer()
    assert a.judged is None and a.verdict == "failed"
    assert first(judge, good()[0][:-1]).reason == "pack_malformed"
    assert "event=judge_killed signal=9" in judge.logs()


def test_whoever_listens_no_more_ends_the_work(judge):
    asked = judge.start([(None, "1" * 40, MAIN)], big())
    assert asked.next()[0] == "progress" and judge.judges()
    asked.sock.close()
    wait_for("its end", lambda: not judge.judges())


def test_many_at_a_time_wait_for_each_other(judge):
    pack = lo.pack(lo.blob(b"x"), lo.blob(b"x"))
    asked = [judge.start([(None, "1" * 40, MAIN)], pack) for _ in range(30)]
    assert {a.answer().reason for a in asked} == {"pack_malformed"}
    wait_for("nobody left", lambda: not judge.judges())


def test_one_sandbox_leaves_room_for_another(judge):
    """Judges that stand still, and a dozen more pushes behind them: somebody else's is judged meanwhile."""
    asked, stopped = [], []

    def stop():
        for pid in set(judge.judges()) - set(stopped):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        return len(stopped)
    for n in range(1, 4):
        asked.append(judge.start([(None, "1" * 40, MAIN)], big(), sandbox=7))
        wait_for("a judge", lambda n=n: stop() == n, step=0.001)
    asked += [judge.start([(None, "1" * 40, MAIN)], good()[0], sandbox=7) for _ in range(12)]
    assert first(judge, good()[0][:-1], sandbox=8).reason == "pack_malformed"
    assert first(judge, good()[0][:-1], sandbox=9).reason == "pack_malformed"
    assert len(judge.judges()) == 3
    asked.pop().sock.close()			# one that waits goes away
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    assert all(a.answer().judged for a in asked)


QUESTIONS = {
    "a list that is none": {"raw_list": b"\0" * 16},
    "a list of another format": {"raw_list": push_list([(None, "1" * 64, MAIN)], form="sha256")},
    "rules that are none": {"rules": b"\1" * 100},
    "rules without an end": {"rules": push_rules()[:24] + b"\1" * (len(push_rules()) - 24)},
}


@pytest.mark.parametrize("what", QUESTIONS)
def test_a_question_that_is_none_fails(judge, what):
    a = first(judge, good()[0], **QUESTIONS[what])
    assert (a.verdict, a.reason) == ("failed", "scan_failed") and a.files() == []


def test_exceptions_that_are_none_fail(judge, tmp_path):
    (tmp_path / "exceptions.yaml").write_text("version: 1\nexceptions: [what]\n")
    a = first(judge, good()[0], exceptions=tmp_path / "exceptions.yaml")
    assert (a.verdict, a.reason) == ("failed", "scan_failed")


def test_a_quarantine_that_cannot_be_written_fails(judge, repo):
    """It was removed meanwhile; as with a disk that is full, nothing is let through."""
    new = repo.commit({"a": "b"})
    asked = judge.start([(None, new, MAIN)], repo.pack(new), removed=True)
    a = asked.answer()
    assert (a.verdict, a.reason) == ("failed", "scan_failed"), a.judged


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_disk_that_is_full_fails(tmp_path, repo):
    """The index has no room; the pack of a thin push neither."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k,mode=755", "tmpfs", small], check=True)
    try:
        j = Judge(small.parent, quarantines=small)
        repo.commit({f"f{i}": "x" * i for i in range(300)})
        new = repo.head()
        a = j.push([(None, new, MAIN)], repo.pack(new))
        assert (a.verdict, a.reason, a.judged["detail"]) == ("failed", "scan_failed", "No space left on device")
        j.close()
    finally:
        subprocess.run(["umount", small], check=True)


def test_files_that_would_be_too_long_are_left_out(judge, repo, tmp_path):
    """The index, or the pack of a thin push with what it leans on: the verdict stands, and there is no name of a pack."""
    base = "".join(f"line {i} of {os.urandom(8).hex()}\n" for i in range(400))
    old = repo.commit({"a": base})
    mirror = repo.mirror(tmp_path / "mirror", old)
    new = repo.commit({"a": base + "more\n"})
    thin = repo.pack(new, old)
    whole = judge.push([(old, new, MAIN)], thin, mirror)
    need = sum(os.stat(f"{whole.folder}/{f}").st_size for f in whole.files())
    assert whole.judged["thin"] and need > len(thin), whole.judged
    for most in (need, need - 21, len(thin), 0):		# the trailer of a pack is not counted
        a = judge.push([(old, new, MAIN)], thin, mirror, max_written=most)
        assert a.verdict == "clean" and a.judged["thin"] == (most == need), (most, a.judged)
        assert (a.judged["pack"] == ZERO["sha1"]) == (most < need)


@pytest.mark.parametrize("question", [b"", b"x" * 7, struct.pack("<HHI", 7, 0, 0), struct.pack("<HHI", 1, 4, 0) + b"abcd"])
def test_what_no_mirror_asks_ends_it(tmp_path, question):
    """All of it, and cordon-mirror starts another."""
    j = Judge(tmp_path)
    asked = j.start([(None, "1" * 40, MAIN)], big())
    assert asked.next()[0] == "progress"
    j.pair.send(question)
    assert asked.answer().judged is None
    j.close()
