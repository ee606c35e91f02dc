"""The store's tables. Change one only together with a new file in migrations/versions (a test compares them).

Times are UTC integer microseconds (`_us`), durations seconds. JSON stands only where the content is open-ended.
Nothing here is ever overwritten but `programs.body` (a program's name and targets, no part of its identity),
`cases.seen_us`, the counters in `series`, and where a job, a Slack message, a measurement asked for on Slack, a watch,
its streams, its alarms, what is told of them and a received batch stand, the sample that an evaluation is about, and
the reward that evaluations make. Only received batches are removed, once read, and outcomes of a reward that changed.

Version history
    0001  the first
    0002  long texts packed (samples.long_text); outcomes know the variant and source of their sample, with an index
    0003  what a model can do (probes); cached prompt tokens; several samples of one call (samples.choice)
    0004  for the pages: findings, jobs and what they ask people, marks on reports, access tokens
    0005  for Slack: what came in, what was asked for in which thread, what goes out
    0006  where imported samples were made (origins)
    0007  for watching production: how far it looked, streams, alarms, what is told of them
    0008  what exporters send: batches, calls that were taken, counts
    0009  what is said of calls elsewhere (evaluations), and the indices that find a call by where it was made
    0010  who said it, and when
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from reroll.errors import StoreError

__all__ = [
    "VERSIONS",
    "VERSION_TABLE",
    "access_tokens",
    "attempts",
    "cases",
    "checks",
    "decisions",
    "evaluations",
    "findings",
    "job_questions",
    "jobs",
    "known",
    "make",
    "origins",
    "outcomes",
    "payloads",
    "probes",
    "programs",
    "received_batches",
    "received_calls",
    "received_counts",
    "report_marks",
    "reports",
    "requests",
    "samples",
    "series",
    "slack_asks",
    "slack_events",
    "slack_outbox",
    "watch_alarms",
    "watch_posts",
    "watch_streams",
    "watches",
]

# "0001" to "0010", oldest first; the last is what this code reads and writes.
VERSIONS: tuple[str, ...] = tuple(f"{n:04}" for n in range(1, 11))
VERSION_TABLE = "reroll_version"  # a name of our own, so that nobody else's Alembic is taken for ours

metadata = MetaData()


# As Alembic, which writes on in it, makes it.
stamp = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)


def make(connection: Connection) -> None:
    """An empty database has every table of the present version, and says so.

    Going through all migrations instead would come to the same (a test compares), with Alembic to import: 50 ms, 8 MB.
    """
    metadata.create_all(connection, checkfirst=False)
    stamp.create(connection)
    connection.execute(stamp.insert().values(version_num=VERSIONS[-1]))


def known(version: str | None, store: object) -> str | None:
    """The version itself. Raises: StoreError, naming the store, if this reroll has never heard of it."""
    if version is not None and version not in VERSIONS:
        raise StoreError(
            f"the store {store} was written by a newer reroll (its version is {version}, this one reads up to "
            f"{VERSIONS[-1]}); upgrade reroll or choose another --store",
            slug="store-newer",
        )
    return version


# SQLite counts only an INTEGER PRIMARY KEY by itself; elsewhere 64 bits must be asked for.
BIG = BigInteger().with_variant(Integer, "sqlite")

# Programs by content: one row per thing that can give an output.
programs = Table(
    "programs",
    metadata,
    Column("id", Text, primary_key=True),  # Program.id
    Column("name", Text, nullable=False),
    Column("body", Text, nullable=False),  # JSON, key order kept
    Column("put_us", BigInteger, nullable=False),
)

# Cases as they were whenever they were used: editing one adds a row.
cases = Table(
    "cases",
    metadata,
    Column("id", Text, nullable=False),  # the user's name for it
    Column("version", Text, nullable=False),  # content id of the body
    Column("content_id", Text, nullable=False),  # identity of the input alone
    Column("body", Text, nullable=False),  # JSON
    Column("put_us", BigInteger, nullable=False),
    Column("seen_us", BigInteger, nullable=False),  # last put: the newest is the case's present form
    PrimaryKeyConstraint("id", "version"),
)

# What people said.
reports = Table(
    "reports",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),  # content id of report and program
    Column("program_id", Text),
    Column("case_id", Text, nullable=False),
    Column("body", Text, nullable=False),  # JSON
    Column("put_us", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# The exact request of every sample, once, so that it can be shown and sent again.
requests = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True),  # Request.id(identity)
    Column("identity", Text, nullable=False),  # the very model: name, address, weights
    Column("model", Text, nullable=False),
    Column("base_url", Text),
    Column("body", Text, nullable=False),  # JSON, key order kept
    Column("raw", LargeBinary),  # exact bytes where the program is a stored request
    Column("put_us", BigInteger, nullable=False),
)

# Which index the next draw of a series gets. Only ever counts up.
series = Table(
    "series",
    metadata,
    Column("request_id", Text, nullable=False),
    Column("series", Text, nullable=False),
    Column("next_index", BigInteger, nullable=False),
    PrimaryKeyConstraint("request_id", "series"),
)

# One row per settled draw, error or not. `seq` is the order in which results became known, and
# never used twice: a sequential test is replayed by it. No foreign key to requests and programs:
# a completion that was paid for is kept even where a caller forgot to put those first.
samples = Table(
    "samples",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),  # s_ and 12 random letters and digits, made to be pasted
    Column("request_id", Text, nullable=False),
    Column("series", Text, nullable=False),
    Column("idx", BigInteger, nullable=False),
    Column("program_id", Text, nullable=False),
    Column("case_id", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column(
        "source", Text, nullable=False
    ),  # draw | imported | reported | refused (no call taken) | outage | cut | copy | replay | continued | judge
    Column("settled_us", BigInteger, nullable=False),
    Column("seconds", Float),  # in flight, all attempts together, our own waits left out; null: not known
    Column("text", Text),  # null: no completion
    Column("finish_reason", Text),
    Column("tool_calls", Text),  # JSON list; null: none
    Column("refusal", Text),
    Column("error", Text),  # null: no error
    Column("reward", Float),
    Column("seed", BigInteger),
    Column("model", Text),  # what the server said answered
    Column("fingerprint", Text),
    Column("prompt_tokens", BigInteger),  # these three and cached_tokens: null means not known, never 0
    Column("completion_tokens", BigInteger),
    Column("usd", Float),
    # JSON of the true values of columns above that SQL cannot hold (lone surrogates, NUL, seeds over
    # 63 bits), where those columns then show a stand-in. Nearly always null.
    Column("exact", Text),
    Column("long_text", LargeBinary),  # zstd of the whole text, where `text` shows only its beginning; else null
    Column("cached_tokens", BigInteger),  # those of prompt_tokens that the server took from its cache
    # Which of the completions of its call (n > 1): 0 or null is the first, which has the call's attempts, prompt
    # tokens and money; the call's others have the indices after it.
    Column("choice", Integer),
    UniqueConstraint("request_id", "series", "idx", name="samples_slot"),
    sqlite_autoincrement=True,
)
Index("samples_case", samples.c.case_id, samples.c.program_id)
Index("samples_program", samples.c.program_id)

# What is large and seldom read, out of the way of scans over samples.
payloads = Table(
    "payloads",
    metadata,
    Column("seq", BIG, ForeignKey("samples.seq"), primary_key=True, autoincrement=False),
    Column("tokens", LargeBinary),  # texts, ids, logprobs: store_tokens.py says how packed
    Column("raw", LargeBinary),  # the server's body: zstd (once: zlib) of UTF-8
)

# One row per HTTP try inside a sample.
attempts = Table(
    "attempts",
    metadata,
    Column("seq", BIG, ForeignKey("samples.seq"), nullable=False),
    Column("n", Integer, nullable=False),  # 0, 1, ...
    Column("started_us", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("waited", Float, nullable=False),  # slept before this try
    Column("status", Integer),
    Column("error", Text),
    Column("server_id", Text),  # the server's own name for the call
    PrimaryKeyConstraint("seq", "n"),
    sqlite_with_rowid=False,
)

# When a check, and each set of checks, was first held against anything: samples drawn before that were
# there to be seen when it was chosen.
checks = Table(
    "checks",
    metadata,
    Column("id", Text, primary_key=True),  # k1: Check.identity; ks1: content id of the sorted ids of a set
    Column("first_us", BigInteger, nullable=False),
)

# What a check said of a sample. A changed check has another checks_id, so its rows are new ones.
outcomes = Table(
    "outcomes",
    metadata,
    Column("sample_id", Text, ForeignKey("samples.id"), nullable=False),
    Column("checks_id", Text, nullable=False),  # content id of what was checked
    Column("check_name", Text, nullable=False),
    Column("outcome", Text, nullable=False),  # pass | fail | invalid
    Column("reason", Text, nullable=False),
    Column("marks", Text),  # JSON list of [start, end): the characters that show it; null: none
    Column("judged_us", BigInteger, nullable=False),
    Column("variant", Text),  # these two: of the sample, so that rates are counted without looking at samples
    Column("source", Text),
    PrimaryKeyConstraint("sample_id", "checks_id"),
    sqlite_with_rowid=False,
)
Index("outcomes_rates", outcomes.c.checks_id, outcomes.c.source, outcomes.c.variant, outcomes.c.outcome)

# Append-only: everything that is needed to make the decision again and see whether it was right.
decisions = Table(
    "decisions",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),  # d_ and 12 letters and digits
    Column("rule", Text, nullable=False),  # name/version of the rule: "certify/1"
    Column("question", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("alpha", Float),
    Column("target", Float),
    Column("reference_rate", Float),
    Column("horizon", BigInteger),
    Column("stop_reason", Text),
    Column("program_id", Text),
    Column("case_id", Text),
    Column("checks_ids", Text, nullable=False),  # JSON list: whose outcomes counted
    Column("samples", Text, nullable=False),  # JSON list of [first, last]: samples.seq that counted
    Column("evidence", Text, nullable=False),  # JSON
    Column("made_us", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# Where an imported sample was made, so that what is said of it can be put beside it there. "" where not known.
origins = Table(
    "origins",
    metadata,
    Column("sample_id", Text, primary_key=True, nullable=False),
    Column("trace", Text, nullable=False),  # of the call's span; hexadecimal where it is OpenTelemetry's
    Column("span", Text, nullable=False),
    Column("response", Text, nullable=False),  # the server's own name for its answer
    sqlite_with_rowid=False,
)

Index("origins_call", origins.c.trace, origins.c.span)
Index("origins_response", origins.c.response)

# What was said of a call elsewhere: it may come with the call, before or after it. Without its call it waits here.
evaluations = Table(
    "evaluations",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("key", LargeBinary, nullable=False, unique=True),  # of all that follows but sample_id: said twice it is one
    Column("trace", Text, nullable=False),  # of the call; "" where not known, as in the next two
    Column("span", Text, nullable=False),
    Column("response", Text, nullable=False),  # the server's own name for its answer
    Column("name", Text, nullable=False),
    Column("label", Text, nullable=False),  # in words, such as pass or fail; "" for none
    Column("score", Float),
    Column("comment", Text, nullable=False),
    Column("sample_id", Text),  # the first sample of its call; null: the call is not here
    Column("came_us", BigInteger, nullable=False),
    Column("scorer", Text, nullable=False, server_default=text("''")),  # who or what said it; "" where not known
    Column("said_us", BigInteger),  # when it was said; null: not known
    sqlite_autoincrement=True,
)
Index("evaluations_call", evaluations.c.trace, evaluations.c.span)
Index("evaluations_response", evaluations.c.response)
Index("evaluations_sample", evaluations.c.sample_id)

# What a model was found to be able to do. Append-only, so that it can be said what changed since.
probes = Table(
    "probes",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("identity", Text, nullable=False),  # the very model: name, address, weights
    Column("version", Text, nullable=False),  # what the server said answered: model and fingerprint; "" if it did not
    Column("probe", Integer, nullable=False),  # version of the probe that asked
    Column("capabilities", Text, nullable=False),  # JSON
    Column("probed_us", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
Index("probes_model", probes.c.identity, probes.c.seq)

# What a command found: its JSON, whole, so that a page can show it again. Append-only.
findings = Table(
    "findings",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),  # f_ and 12 letters and digits
    Column("command", Text, nullable=False),  # investigate, forks, ...
    Column("case_id", Text),
    Column("program_id", Text),
    Column("report_id", Text),
    Column("sample_id", Text),
    Column("job_id", Text),
    Column("verdict", Text, nullable=False),
    Column("line", Text, nullable=False),  # one plain sentence
    Column("body", LargeBinary, nullable=False),  # zstd of JSON; store_rows_web.py says how outcomes are packed
    Column("made_us", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
Index("findings_case", findings.c.case_id, findings.c.seq)
Index("findings_report", findings.c.report_id, findings.c.seq)

# What the pages run: one command each. `key` is what it does: of equal ones only one waits or runs.
jobs = Table(
    "jobs",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),  # j_ and 12 letters and digits
    Column("key", Text, nullable=False),
    Column("words", Text, nullable=False),  # JSON list: the command line, without project and store
    Column("title", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("token_id", Text),  # the access token that asked, whose cap it counts against
    Column("case_id", Text),
    Column("report_id", Text),
    Column("state", Text, nullable=False),  # waiting | running | done | failed | stopped
    Column("worker", Text),  # host:pid of who runs it
    Column("asked_us", BigInteger, nullable=False),
    Column("started_us", BigInteger),
    Column("beat_us", BigInteger),  # the worker's last sign of life
    Column("stop_us", BigInteger),  # when somebody wanted it stopped
    Column("ended_us", BigInteger),
    Column("changed_us", BigInteger, nullable=False),
    Column("progress", Text),  # JSON: where it stands
    Column("finding_id", Text),
    Column("message", Text, nullable=False),  # why it failed; "" if it did not
    Column("max_calls", BigInteger),
    Column("max_usd", Float),
    Column("usd", Float),  # what it cost, as far as known
    sqlite_autoincrement=True,
)
Index("jobs_state", jobs.c.state)
ACTIVE = text("state IN ('waiting', 'running')")
Index("jobs_active", jobs.c.key, unique=True, sqlite_where=ACTIVE, postgresql_where=ACTIVE)

# What a job asks people while it runs: is this completion right?
job_questions = Table(
    "job_questions",
    metadata,
    Column("job_id", Text, nullable=False),
    Column("n", Integer, nullable=False),  # 0, 1, ...
    Column("question", Text, nullable=False),  # JSON
    Column("answer", Text),
    Column("by", Text),
    Column("asked_us", BigInteger, nullable=False),
    Column("answered_us", BigInteger),
    PrimaryKeyConstraint("job_id", "n"),
    sqlite_with_rowid=False,
)

# What people say of a report: its status, its owner, which other it is like. Append-only; the newest word counts.
report_marks = Table(
    "report_marks",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("report_id", Text, nullable=False),
    Column("what", Text, nullable=False),  # status | owner | same_as
    Column("value", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
Index("report_marks_report", report_marks.c.report_id, report_marks.c.seq)

# Who may see the pages besides whoever started them. The token itself is nowhere.
access_tokens = Table(
    "access_tokens",
    metadata,
    Column("id", Text, primary_key=True),  # t_ and 12 letters and digits
    Column("hash", Text, nullable=False, unique=True),  # SHA-256, in hex
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # JSON list
    Column("max_usd", Float),
    Column("made_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
)

# What came from Slack, taken once: kept before it is acknowledged, its content forgotten when it was dealt with.
slack_events = Table(
    "slack_events",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False, unique=True),
    Column("channel", Text, nullable=False),
    Column("ts", Text, nullable=False),  # Slack's name of the message
    Column("kind", Text, nullable=False),  # mention | message | command | shortcut | press | form
    Column("body", Text, nullable=False),  # JSON; "" once dealt with
    Column("seen_us", BigInteger, nullable=False),
    Column("done_us", BigInteger),
    UniqueConstraint("channel", "ts", "kind"),
    sqlite_autoincrement=True,
)
Index("slack_events_open", slack_events.c.done_us)

# What was asked for in a thread: a question that is open, an offer with its price, a job that runs, an answer told.
slack_asks = Table(
    "slack_asks",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),  # w_ and 12 letters and digits
    Column("cause", Text, nullable=False, unique=True),  # the event that asked
    Column("channel", Text, nullable=False),
    Column("thread", Text, nullable=False),  # the thread's first message; "" for none
    Column("asked_by", Text, nullable=False),  # Slack's id of the person
    Column("what", Text, nullable=False),  # investigate | rerun | certify | try | cause | question
    Column("state", Text, nullable=False),  # open | offered | running | told
    Column("case_id", Text),
    Column("report_id", Text),
    Column("job_id", Text),
    Column("about", Text, nullable=False),  # JSON: the words, or the fields of the job
    Column("max_usd", Float),  # the most that it may cost; null: not known
    Column("made_us", BigInteger, nullable=False),
    Column("started_us", BigInteger),
    sqlite_autoincrement=True,
)
Index("slack_asks_thread", slack_asks.c.channel, slack_asks.c.thread, slack_asks.c.seq)
Index("slack_asks_state", slack_asks.c.state)
Index("slack_asks_report", slack_asks.c.report_id)

# What goes to Slack: kept until Slack has it. `key` is what it says: the same is never said twice.
slack_outbox = Table(
    "slack_outbox",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False, unique=True),
    Column("channel", Text, nullable=False),
    Column("method", Text, nullable=False),  # post | edit | file | whisper
    Column("body", Text, nullable=False),  # JSON; "" once delivered
    Column("state", Text, nullable=False),  # waiting | sending | sent | refused
    Column("tries", Integer, nullable=False),
    Column("next_us", BigInteger, nullable=False),  # not before
    Column("ts", Text),  # Slack's name of the message
    Column("problem", Text, nullable=False),  # what Slack said last; "" if nothing went wrong
    Column("made_us", BigInteger, nullable=False),
    Column("sent_us", BigInteger),
    sqlite_autoincrement=True,
)
Index("slack_outbox_state", slack_outbox.c.state, slack_outbox.c.seq)

# Who watches production, and how far they looked: what is `seen` was counted in the streams, in the same transaction.
watches = Table(
    "watches",
    metadata,
    Column("name", Text, primary_key=True),  # as its watch.yaml calls it
    Column("seen", BigInteger, nullable=False),  # samples.seq up to which everything was counted
    Column("history", BigInteger, nullable=False),  # the newest seq when it began: alarms up to there tell nobody
    Column("body", Text, nullable=False),  # JSON: the account of false alarms
    Column("began_us", BigInteger, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
)

# The state of every watched stream.
watch_streams = Table(
    "watch_streams",
    metadata,
    Column("watch", Text, nullable=False),
    Column("key", Text, nullable=False),  # content id of what `named` says
    Column("named", Text, nullable=False),  # JSON: name, what is watched, program, version, model
    Column("body", Text, nullable=False),  # JSON: all that its past has to say
    Column("changed_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("watch", "key"),
)

# What was raised, and whether it is over.
watch_alarms = Table(
    "watch_alarms",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),  # content id of watch, stream and the call that raised it
    Column("watch", Text, nullable=False),
    Column("stream", Text, nullable=False),  # watch_streams.key
    Column("kind", Text, nullable=False),  # worse | invalid | silent
    Column("state", Text, nullable=False),  # open | resolved | history
    Column("body", Text, nullable=False),  # JSON: words, numbers, the samples that raised it
    Column("report_id", Text),
    Column("job_id", Text),  # the job that investigates it
    Column("job", Text),  # wanted | asked | why there is none; null: none is wanted
    Column("raised_us", BigInteger, nullable=False),
    Column("resolved_us", BigInteger),
    Column("claimed_us", BigInteger),  # when somebody took it to ask for its job
    sqlite_autoincrement=True,
)
Index("watch_alarms_state", watch_alarms.c.watch, watch_alarms.c.state)

# What a webhook is told: kept until it has it. `key` is what it says: the same is never said twice.
watch_posts = Table(
    "watch_posts",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False, unique=True),
    Column("watch", Text, nullable=False),
    Column("body", Text, nullable=False),  # JSON; "" once delivered
    Column("state", Text, nullable=False),  # waiting | sending | sent | refused
    Column("tries", Integer, nullable=False),
    Column("next_us", BigInteger, nullable=False),  # not before
    Column("problem", Text, nullable=False),  # what went wrong last; "" if nothing did
    Column("made_us", BigInteger, nullable=False),
    Column("sent_us", BigInteger),
    sqlite_autoincrement=True,
)
Index("watch_posts_state", watch_posts.c.watch, watch_posts.c.state, watch_posts.c.seq)

# What an exporter sent, kept before it is acknowledged and removed once it is read; what could not be read stays.
received_batches = Table(
    "received_batches",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=True),
    Column("signal", Text, nullable=False),  # traces | logs
    Column("encoding", Text, nullable=False),  # protobuf | json
    Column("packing", Text, nullable=False),  # gzip | zstd | "" for neither
    Column("sender", Text, nullable=False),  # the name of the access token
    Column("state", Text, nullable=False),  # waiting | unreadable
    Column("spans", BigInteger, nullable=False),  # or log records
    Column("broken", BigInteger, nullable=False),  # spans that were not kept: they cannot be read
    Column("refused", BigInteger, nullable=False),  # the same: they held a key in use
    Column("size", BigInteger, nullable=False),  # bytes of the body
    Column("came_us", BigInteger, nullable=False),
    Column("worker", Text),  # who reads it
    Column("claimed_us", BigInteger),  # the worker's last sign of life
    Column("tries", Integer, nullable=False),
    Column("problem", Text, nullable=False),  # why it could not be read; "" while nothing went wrong
    Column("body", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
Index(
    "received_batches_state",
    received_batches.c.state,
    received_batches.c.seq,
    received_batches.c.size,
    received_batches.c.spans,
)

# The calls that came by themselves, by trace and span: the batch that a call was first in has it, whatever comes later.
received_calls = Table(
    "received_calls",
    metadata,
    Column("key", LargeBinary, primary_key=True, nullable=False),  # of 16 bytes
    Column("batch_seq", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What became of the spans of all batches that were read.
received_counts = Table(
    "received_counts",
    metadata,
    Column("what", Text, nullable=False),  # batches | spans | taken | stored | skipped
    Column("why", Text, nullable=False),  # of those that were skipped; "" for the others
    Column("n", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("what", "why"),
    sqlite_with_rowid=False,
)
