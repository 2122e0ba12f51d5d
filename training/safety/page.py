"""The safety report as one HTML page for the operator.

Shows the text of what was judged wrongly, folded away behind a warning: it is
meant to be read and not to be published. Knows nothing of measuring.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from training.safety.calibrate import wilson
from training.safety.report import Result

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b2430}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #d8dee6}
td.n{text-align:right;font-variant-numeric:tabular-nums}.no{color:#a3200d;font-weight:600}.yes{color:#116329}
details{margin:.6rem 0}li{margin:.2rem 0}.note{color:#57606a}
@media (prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}th,td{border-color:#30363d}.no{color:#ff7b72}.yes{color:#7ee787}}
"""


def render(results: Sequence[Result], version: str, date: str) -> str:
    """The whole page."""
    rows = "\n".join(_row(r) for r in results)
    wrong = "\n".join(_wrong(r) for r in results if r.wrong)
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Lanner: safety report</title>
<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>
<h1>Safety report</h1><p>{html.escape(date)} · <code>{html.escape(version)}</code></p>
<p>Stopped means that the model would not have been called. Intervals are Wilson, 95 %.
Sets that say “ordinary”, “safe” or “no label” should be let through; all others stopped.</p>
<table><tr><th>set<th>stopped<th>share<th>95 %<th>aim<th>first turn</tr>
{rows}</table><h2>Judged wrongly</h2>
<p class="no">What follows holds explicit words about suicide, self-harm and violence.</p>
{wrong}</html>
"""


def _row(r: Result) -> str:
    low, high = wilson(r.stopped, len(r.measured.items))
    aim = (
        ""
        if r.measured.bound is None
        else f"{'≥' if r.measured.want == 'stop' else '≤'} {r.measured.bound:g}"
    )
    kind = {None: "", True: "yes", False: "no"}[r.met]
    first = f"{sorted(r.first_turns)[len(r.first_turns) // 2]}" if r.first_turns else ""
    note = (
        f'<br><span class="note">{html.escape(r.measured.note)}</span>' if r.measured.note else ""
    )
    return (
        f"<tr><td>{html.escape(r.measured.name)}{note}<td class=n>{r.stopped} of {len(r.measured.items)}"
        f'<td class="n {kind}">{r.share:.3f}<td class=n>{low:.3f}–{high:.3f}<td class=n>{aim}<td class=n>{first}</tr>'
    )


def _wrong(r: Result) -> str:
    what = "missed" if r.measured.want == "stop" else "false alarms"
    items = "\n".join(
        f"<li><code>{html.escape(item.key)}</code> ({score:.2f}; {html.escape(', '.join(rules) or 'nothing found')}) "
        + " / ".join(html.escape(t["text"]) for t in item.turns if t["role"] == "user")
        for item, score, rules in r.wrong
    )
    return f"<details><summary>{html.escape(r.measured.name)}: {len(r.wrong)} {what}</summary><ol>{items}</ol></details>"
