"""Every bar of every issue, as data: which rows say whether it is met; and why, where one is missed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PROMISES", "WHY", "Promise"]


@dataclass(frozen=True)
class Promise:
    """One bar of an issue, in its words. It is met where all its rows are.

    `rows`: the ids of the rows that measure it, or the beginning of several ids, ending with `*`. `test`: the test that
    holds it, where it is no number that a benchmark prints. `open`: why nothing has measured it.
    """

    issue: int
    says: str
    rows: tuple[str, ...] = ()
    test: str = ""
    open: str = ""


def _(issue: int, says: str, *rows: str, test: str = "", open: str = "") -> Promise:
    return Promise(issue, says, rows, test, open)


PROMISES = [
    # ---- 2: the main job
    _(2, "`make demo` answers within 60 s after installation on 2 cores", "startup/seconds-of-reroll-demo-median"),
    _(2, "installed core at most 300 MB", "startup/mb-of-an-installed-core"),
    _(2, "`reroll --help` within 0.5 s", "startup/seconds-of-reroll---help-median"),
    _(2, "`import reroll` within 0.3 s", "startup/seconds-of-import-reroll-median"),
    _(
        2,
        "certify 99 % at alpha 5 %: exact error at most 5 % on both sides, looking after every call",
        "certify/certify-99-ever-wrong-met",
        "certify/certify-99-ever-wrong-not-met",
    ),
    _(
        2,
        "355 calls at zero failures open-ended, 317 with a horizon of 1,000",
        "certify/certify-99-calls-at-no-failure-open-ended",
        "certify/certify-99-calls-at-no-failure-horizon-1-000",
    ),
    _(
        2,
        "a case that fails 5 % is refused after 84 calls on average, one of 20 % after 10",
        "certify/certify-99-calls-until-a-case-that-fails-*",
    ),
    _(2, "bundled model: at least 150 completions a second", "throughput/completions-a-second-of-the-bundled-model"),
    _(
        2,
        "training of the bundled model: under 45 CPU minutes; a GGUF of at most 2 MB",
        "model/cpu-minutes-of-training",
        "model/mb-of-the-file",
    ),
    _(
        2,
        "under edits that keep the meaning: failure rate within 0.10 of the constructed one",
        "model/groups-of-edits-off-by-more-than-0.10-of-114",
    ),
    _(
        2,
        "pass^1…pass^4 of GPT-4o on the airline tasks: 0.420, 0.273, 0.220, 0.200",
        test="tests/test_real_data.py::test_the_published_pass_k_of_gpt_4o_on_airline_tasks_comes_out",
    ),
    # ---- 3: right at any look
    _(3, "certify 99 % at 5 %: mean calls ≤ 1.20 × the limit (1.21 at 2 %, 1.5 at 20 %)", "certify/certify-99-at-*"),
    _(
        3,
        "other targets 90…99.9 %, alpha 1…10 %: the same + .08, for failure rates up to 10 × the tolerated one",
        "certify/targets-90*",
        "certify/targets-95*",
        "certify/targets-50*",
    ),
    _(3, "a new threshold in at most 0.5 s, 99.99 % included", "certify/cpu-seconds-for-a-new-threshold"),
    _(
        3,
        "interval: ever-miss ≤ 5 % at every rate",
        "interval/interval-ever-outside",
        "interval/mean-over-cases-ever-outside",
        "interval/pass^2-over-cases-ever-outside",
        "interval/graded-scores-ever-outside",
    ),
    _(
        3,
        "interval: width ≤ 1.25 × Clopper–Pearson at 0 failures, ≤ 1.7 × to n = 300, ≤ 1.85 × to n = 3000; never zero",
        "interval/interval-at-0-failures-width-times-clopper-pearson",
        "interval/interval-to-300-calls-width-times-clopper-pearson",
        "interval/interval-to-3000-calls-width-times-clopper-pearson",
        "interval/interval-narrowest-ever-in-points",
    ),
    _(
        3,
        "A vs B: false ≤ 5 %, clusters included",
        "compare/a-vs-b-false-better-ever",
        "compare/a-vs-b-repeated-cases-false-better-worst",
    ),
    _(
        3,
        "A vs B: ≤ 1.15 × bound for 5…15 point effects",
        "compare/a-vs-b-mean-pairs-times-the-limit-worst-of-5-to-15-points-where-b-wins-66-to-88-of-differing-pairs",
        "compare/a-vs-b-mean-pairs-times-the-limit-worst-of-four-further-effects-of-5-to-15-points",
    ),
    _(3, "“no different” only where it is so", "compare/no-different-though-they-differ-by-the-margin-worst"),
    _(3, "best of 5: wrong ≤ 5 %", "best/best-of-5-hard-cases-shared-named-wrongly", "best/best-of-k-near-ties*"),
    _(
        3,
        "best of 5: ≤ 1.6 × the unpaired bound with shared difficulty",
        "best/best-of-5-hard-cases-shared-mean-calls-times-the-limit-without-pairing",
    ),
    _(3, "drift, baseline known: the stated run length is met", "drift/run-length-at-*"),
    _(
        3,
        "drift: delay ≤ 1.25 × the exact CUSUM limit for 1.5…20 ×",
        "drift/delay-at-a-rise-of-*",
        "drift/delay-the-exact-limit-at-other-baselines-and-run-lengths-worst",
    ),
    _(3, "drift, baseline estimated: the run length is still met", "drift/baselines-from-*"),
    _(3, "judge: coverage ≥ 93 % at rates ≥ 1 %", "judge/coverage-at-*"),
    _(3, "judge: width ≤ 0.7 × human-only at 200 labels", "judge/width-at-200-labels-people-only-the-widest"),
    _(3, "luck: 50 % against 2 % in ≤ 5 fresh runs", "certify/luck-50-against-2-fresh-runs"),
    _(3, "luck: 20 % against 5 % in ≤ 26", "certify/luck-20-against-5-fresh-runs"),
    # ---- 4: the runner
    _(
        4,
        "CPU ≤ 0.4 ms a call at 10,000 calls, 500 ms, 1,000 in flight",
        "runner/cpu-ms-a-call-at-500-ms-and-1000-in-flight",
    ),
    _(
        4,
        "wall ≤ 1.3 × ideal there, ≤ 1.5 × at 50 ms and 200",
        "runner/wall-over-ideal-at-500-ms-and-1000-in-flight",
        "runner/wall-over-ideal-at-50-ms-and-200-in-flight",
    ),
    _(4, "memory ≤ 150 MB and flat to 1,000,000 calls", "runner/memory-in-mb*", "runner/mb-more-for-a-million*"),
    _(
        4,
        "under the mix of faults: no slot lost, none twice, every attempt recorded",
        "runner/slots-lost",
        "runner/slots-twice",
        "runner/attempts-not-recorded",
    ),
    _(4, "200 kills: totals right every time, at most calls in flight paid again", "kills/*"),
    _(
        4,
        "Ray with an actor killed and a node removed: 4,000 of 4,000 rows, none twice, ≤ 5 % paid twice",
        "cluster/rows-missing",
        "cluster/rows-twice",
        "cluster/share-of-calls-paid-twice",
    ),
    _(4, "4 actors ≥ 3 × one on a latency-bound load", "cluster/4-actors-times-the-samples-a-second-of-one"),
    _(4, "a sample with 60 logprobs ≤ 1.5 KB", "store/bytes-of-a-sample-with-60-logprobs"),
    _(4, "failure rate by variant over 1,000,000 samples ≤ 100 ms", "million/failure-rate-by-variant-over-1-000-000*"),
    # ---- 5: the distribution
    _(5, "futures: ±1 point in ≤ 300 tokens, ±0.1 in ≤ 5,000", "futures/bundled-tokens-to-*"),
    _(5, "the exact rate lies in the bracket", "futures/bundled-exact-rate-outside*"),
    _(5, "hybrid ≤ 1.1 × plain sampling's tokens on 200 random worlds", "futures/worlds-hybrid-s-tokens*"),
    _(
        5,
        "dud, 60 tokens: hit ≥ .95, false ≤ .02, ≤ 2.5 % of exhaustive tokens",
        "tokens/60-tokens-hit",
        "tokens/60-tokens-false-claims",
        "tokens/60-tokens-share-of-exhaustive-tokens",
    ),
    _(
        5,
        "dud, 200 tokens: ≥ .90 at ≤ 1 %",
        "tokens/200-tokens-hit",
        "tokens/200-tokens-share-of-exhaustive-tokens",
    ),
    _(5, "grader flips of 5 %: ≥ .90", "tokens/hit-grader*"),
    _(5, "interval coverage ≥ .85", "tokens/90-bands-of-success-before-and-after-the-dud-hold"),
    _(5, "certified miss ≤ .05", "tokens/certified-intervals-that-miss-where-what-they-assume-holds"),
    _(
        5,
        "prefix only within ±10 tokens ≥ .85; ten turns ≥ .90",
        "tokens/prefixes-only-hit-within-10-tokens",
        "tokens/ten-turns-hit",
    ),
    _(
        5,
        "real forks of a Llama-3-8B: hit ≥ .80, false ≤ .05, ≤ 4 %",
        open="these forks are not in the repository: whoever has them replays them.",
    ),
    _(
        5,
        "surprise: agrees with the exact log-probability to 1e-6 in process, to server noise over HTTP",
        "surprise/in-process*",
        "surprise/over-http*",
    ),
    _(
        5,
        "≤ 1 CPU second per case of 250 tokens besides the calls",
        "tokens/cpu-seconds-for-a-case-of-250-tokens-besides-the-calls-mean",
        "futures/bundled-cpu-seconds*",
    ),
    # ---- 6: the cause
    _(6, "macro-averaged verdict ≥ .90 over all request classes", "cause/in-family-macro-verdict"),
    _(6, "locator F1 ≥ .85; true effect of removing what was named ≥ .85", "cause/locator-f1", "cause/true-effect*"),
    _(6, "false accusations ≤ .05", "cause/in-family-false-accusation"),
    _(6, "interval coverage ≥ .93", "cause/rate-covered", "inquiry/interval-of-the-joint-drop-covers"),
    _(6, "mean calls ≤ 250, 90th percentile ≤ 450", "cause/mean-calls", "cause/p90-calls"),
    _(
        6,
        "worlds outside the family: ≥ .70 with false accusations ≤ .10",
        "cause/out-of-family-macro-verdict",
        "cause/out-of-family-false-accusation",
        "inquiry/outside-the-family*",
    ),
    _(
        6,
        "strong single trigger among 30 parts: ≥ .95 found in ≤ 150 calls",
        "inquiry/a-strong-single-factor-among-30-found",
        "inquiry/its-mean-calls",
    ),
    _(6, "the same cue twice (OR) ≥ .90", "inquiry/the-same-cue-twice-found"),
    _(6, "60 parts cost ≤ 1.5 × the calls of 30", "inquiry/60-factors-times-the-calls-of-30"),
    _(6, "with 10 % judge flips still ≥ .95", "inquiry/10-of-verdicts-flipped-single-found"),
    _(6, "every planted cause of `meetings` is named", "meetings/*"),
    _(6, "at most 0.5 CPU seconds of thinking per diagnosis", "inquiry/cpu-seconds-of-an-inquiry"),
    # ---- 7: fixes
    _(
        7,
        "special cases, detect-and-block, copied few-shot, “never do X” accepted ≤ .02",
        "fixes/special-cases-and-their-like-accepted-the-worst-of-them",
        "fixes/other-rates-special-cases-and-their-like-accepted-the-worst-of-them",
        "fixes_product/special-cases-and-their-like-accepted",
    ),
    _(
        7,
        "harmless general levers accepted ≥ .75 and rejected ≤ .15",
        "fixes/harmless-general-levers-accepted-mean",
        "fixes/harmless-general-levers-rejected-the-worst-of-them",
        "fixes/other-rates-harmless-general-levers-*",
        "fixes_product/harmless-general-fixes-*",
    ),
    _(
        7,
        "control harm bound holds ≥ .95",
        "fixes/control-harm-is-above-its-limit-the-worst-world",
        "fixes/other-rates-control-harm-is-above-its-limit-the-worst-world",
        "fixes/a-harm-of-just-the-margin-*",
    ),
    _(
        7,
        "predicted effect of retries inside its interval ≥ .90",
        "fixes_product/predicted-effect-of-retries-in-its-range-all-inputs-the-worst-row",
        "fixes_product/predicted-calls-of-retries-in-their-range-the-worst-row",
    ),
    _(
        7,
        "a special case is rejected in at most 150 calls",
        "fixes/hard-coded-patches-rejected-in-150-calls-share-of-trials",
        "fixes/other-rates-hard-coded-patches-rejected-in-150-calls-share-of-trials",
        "fixes_product/hard-coded-patches-rejected-in-150-calls",
    ),
    _(7, "eight kinds of lever: measured effects agree with the exact ones", "levers/*"),
    _(7, "GPT-4o's recordings: variants are ranked, real differences said", "recorded/*"),
    _(
        7,
        "which of 5 fixes is best: ≤ 1.6 × the unpaired bound",
        "best/best-of-5-hard-cases-shared-mean-calls-times-the-limit-without-pairing",
    ),
    # ---- 8: the pages
    _(8, "first page within 0.5 s", "pages/the-first-page-s"),
    _(8, "any page with 100,000 samples usable within 1 s", "pages/any-page-with-that-many-samples-s"),
    _(8, "live update within 0.3 s of the outcome", "pages/a-live-update-after-its-outcome-s"),
    _(8, "memory flat over 10,000 updates", "pages/memory-over-10-000-updates-mb"),
    _(8, "50 readers at once while a run goes on", "pages/50-readers-at-once-slowest-page-s"),
    _(
        8,
        "every page at 1280 and 390 px, axe without a serious finding, zero external requests",
        test="tests/test_pages.py::test_every_page_fits_the_screen_is_accessible_and_asks_nothing_of_anybody_else",
    ),
    _(
        8,
        "hostile completions are inert",
        test="tests/test_pages.py::test_hostile_completions_are_inert_text_on_every_page_that_shows_them",
    ),
    # ---- 9: Slack and traces
    _(
        9,
        "Slack: no duplicate answers under retries and restarts",
        test="tests/test_slack.py::test_a_fault_of_slack_costs_a_try_and_no_message_comes_twice",
    ),
    _(
        9,
        "Slack: answers queued while Slack is down arrive once",
        test="tests/test_slack.py::test_messages_are_kept_while_slack_is_down_and_come_once_after_a_restart",
    ),
    _(9, "receiver: 5,000 spans a second on one core", "receiver/spans-acknowledged-and-read-for-a-second-of-cpu"),
    _(
        9,
        "no acknowledged span lost under load or kill -9",
        test="tests/test_receiver.py::test_a_kill_in_the_middle_of_a_load_loses_nothing_that_was_acknowledged_and_stores_nothing_twice",
    ),
    _(
        9,
        "gzip bombs refused",
        test="tests/test_receiver.py::test_a_bomb_is_refused_and_fills_no_memory",
    ),
    _(9, "1,000,000 recorded completions in under 120 s", "importing/seconds-to-import-them"),
    _(9, "… and 500 MB", "importing/peak-memory-of-the-import-all-its-processes-mb"),
    _(
        9,
        "real exports made by the real tools go in and replay",
        test="tests/test_real_exports.py::test_a_traced_call_is_made_again_as_far_as_it_is_known",
    ),
    # ---- 10: pytest, CI, production
    _(
        10,
        "a healthy suite of 100 tests at 95 % each is red in at most 5 % of runs",
        "suite_gate/a-healthy-suite-of-100-tests-at-95-is-red",
    ),
    _(10, "a regression to 75 % is caught with ≥ 90 %", "suite_gate/a-regression-to-75-is-red-of-100-tests"),
    _(10, "mean calls per healthy test at 99 % ≤ 30", "suite_gate/mean-trials-of-a-test-at-99-of-100-tests"),
    _(10, "overhead ≤ 5 ms a test besides the calls", "suite_gate/milliseconds-a-test-beside-its-calls*"),
    _(10, "importing the plugin ≤ 20 ms", "suite_gate/milliseconds-to-import-the-plugin*"),
    _(
        10,
        "the stated run length on 10,000 healthy streams, known and estimated baselines",
        "watch/weeks-between*",
        "watch/false-alarms-spent*",
    ),
    _(10, "with a known baseline 1 % → 5 % is seen within 1.25 × the exact limit", "watch/delay-from-1-to-5-known*"),
    _(10, "1,000 streams, 1,000 outcomes a second on one core", "watch/outcomes-per-cpu-second-in-1-000-streams"),
    _(
        11,
        "wheel and sdist install and work on Python 3.11, 3.12, 3.13",
        "release/artefacts-that-do-not-work-on-a-python",
    ),
    # ---- 11: proof
    _(11, "`make bench-quick` in under 10 minutes", "bench_quick/cpu-minutes-of-make-bench-quick"),
    _(11, "nothing wrong: false claims at most the promised alpha, for every verdict", "nothing_wrong/wrong*"),
]

WHY: dict[str, str] = {
    "waiting/calls-overlapping-to-rounds-500-ms-spread-8-in-flight-3-failing": (
        "230 calls, as before 2026-11-30, when batches that are waited for took 228 and now take 224."
    ),
    "cause/in-family-macro-verdict": (
        "Undecided is not right here, and with 450 calls it is what is said in four in ten of the worlds in which "
        "nothing is to blame, and in a quarter or less of those with weak, rare, additive and order causes. Of the "
        "worlds whose check asks for what nothing mentions, a fifth judge by code, from which nobody can read what it "
        "wants: undecided is all that can be said there."
    ),
    "compare/a-vs-b-mean-pairs-times-the-limit-worst-of-four-further-effects-of-5-to-15-points": (
        "The limit counts fractions of pairs. From 10 % to 0 % every differing pair goes one way, and six of "
        "them are needed where the limit says 4.3; where the coin is nearly fair (50 % to 45 %, 30 % to 20 %)"
        " the mixture of bets costs a fifth."
    ),
    "drift/delay-the-exact-limit-at-other-baselines-and-run-lengths-worst": (
        "The weights of the bets were fitted to a baseline of 1 % and 10,000 calls. Small rises over a "
        "baseline of 10 % (1.5 times) are told latest. Weights for each number of failures between false alarms "
        "keep the bar where run lengths stay, and raise too many false alarms in a watch, whose run lengths move."
    ),
    "fixes/hard-coded-patches-rejected-in-150-calls-share-of-trials": (
        "Telling a patch that leaves its neighbours as they are from one that halves their failures takes "
        "ln(20) / KL runs of each: more than 150 where failures are rare."
    ),
    "fixes/other-rates-hard-coded-patches-rejected-in-150-calls-share-of-trials": (
        "The same: where the case fails 12 % instead of 50 %, or neighbours fail less or more than it, it takes 150 "
        "to 330 calls."
    ),
    "model/groups-of-edits-off-by-more-than-0.10-of-114": (
        "Two and three names in a request, mostly: names aside 1 of 114 is off, by 0.111. A larger model than"
        " 2 MB was not allowed."
    ),
}
