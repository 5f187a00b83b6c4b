#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring benchmark's chart: time per request against batch."""

from .errors import Failure

TITLES = {
    "echo": "virtio-echo, polled by an iothread",
    "blk": "virtio-blk on null-co, polled by an iothread",
    "net": "virtio-net TX without peer, CPU time of QEMU",
}

# Okabe and Ito's palette, which the colour-blind can tell apart.
COLOURS = {
    ("split", False, False): "#0072b2",
    ("split", False, True): "#56b4e9",
    ("split", True, False): "#009e73",
    ("packed", False, False): "#d55e00",
    ("packed", False, True): "#e69f00",
    ("packed", True, False): "#cc79a7",
}
STYLES = ("-", "--", ":", "-.")


def _name(row):
    return (row["ring"] + " indirect" * row["indirect"] +
            " in_order" * row["in_order"])


def _series(report, device):
    """Lines of one panel: (key, variant) -> list of (batch, summary)."""
    lines = {}
    for row in report["cells"]:
        key = (row["ring"], row["indirect"], row["in_order"])
        if row["device"] != device or row["event_idx"] or key not in COLOURS:
            continue
        result = row[row["metric"]]
        for variant, got in result["variants"].items():
            if got:
                lines.setdefault((key, _name(row), variant), []).append(
                    (row["batch"], got))
    return lines


def _floor(report, device):
    """Median floor of split and packed, not in_order, against batch."""
    lines = {}
    for row in report["cells"]:
        if (row["device"] != device or row["event_idx"] or row["indirect"]
                or row["in_order"]):
            continue
        got = row[row["metric"]]["floor"]
        if got:
            lines.setdefault(row["ring"], []).append((row["batch"], got))
    return lines


def _plot(axes, points, **style):
    points = sorted(points, key=lambda p: p[0])
    middle = [p[1]["median"] for p in points]
    axes.errorbar([p[0] for p in points], middle, capsize=2.5, markersize=4,
                  yerr=[[m - p[1]["q1"] for m, p in zip(middle, points)],
                        [p[1]["q3"] - m for m, p in zip(middle, points)]],
                  **style)


def _lines_panel(axes, report):
    """Misses per request: what the talk counts by hand."""
    lines = {}
    for one in report["lines"]:
        if one["shape"] == "direct" and one["mode"] in ("poll", "event"):
            key = (one["layout"], one["in_order"], one["mode"])
            lines.setdefault(key, []).append((one["batch"], one["misses"]))
    for (layout, in_order, mode), points in lines.items():
        points.sort()
        axes.plot([p[0] for p in points], [p[1] for p in points], marker="o",
                  markersize=4, color=COLOURS[layout, False, in_order],
                  linestyle="-" if mode == "poll" else "--",
                  label=layout + " in_order" * in_order +
                  ("" if mode == "poll" else ", notified by event index"))
    axes.set_title("Cache misses on the ring, both sides, counted",
                   fontsize=10)
    axes.set_ylabel("misses per request")


def _finish(axes, batches, ticker):
    """Logarithmic axes with plain numbers, grid and legend."""
    empty = not any(len(line.get_xdata()) for line in axes.get_lines())
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(batches)
    axes.xaxis.set_major_formatter(ticker.ScalarFormatter())
    for set_formatter in (axes.yaxis.set_major_formatter,
                          axes.yaxis.set_minor_formatter):
        set_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    axes.tick_params(axis="y", which="minor", labelsize=6)
    axes.set_xlabel("batch (requests published at a time)")
    axes.grid(True, which="both", linewidth=0.3)
    if not empty:
        axes.legend(fontsize=6.5)
    else:
        axes.text(0.5, 0.5, "every cell void or discarded", ha="center",
                  transform=axes.transAxes)


def draw(report, path):
    """Write the chart of a report as SVG.  Returns the number of lines
    drawn; void cells are left out."""
    try:
        import matplotlib
    except ImportError:
        raise Failure("the chart needs matplotlib",
                      "Install the Debian package python3-matplotlib, or "
                      "run: scripts/install-deps") from None
    matplotlib.use("svg")
    from matplotlib import pyplot, ticker

    # Text stays text: small, and searchable in the page.
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "vadis"
    devices = [d for d in TITLES
               if any(c["device"] == d for c in report["cells"])]
    count = len(devices) + bool(report["lines"])
    figure, panels = pyplot.subplots(
        (count + 1) // 2, 2, squeeze=False,
        figsize=(11, 5.2 * ((count + 1) // 2)))
    panels = list(panels.flat)
    for unused in panels[count:]:
        unused.set_axis_off()
    batches = sorted({c["batch"] for c in report["cells"] + report["lines"]})
    labels = [v["label"] for v in report["variants"]]
    # the subject, last in the list, gets the full line
    style_of = dict(zip(reversed(labels), STYLES * len(labels)))
    drawn = 0
    for axes, device in zip(panels, devices):
        for (key, name, variant), points in _series(report, device).items():
            # colour tells the configuration, the kind of line the variant
            label = name if variant == labels[-1] else None
            _plot(axes, points, color=COLOURS[key], label=label, marker="o",
                  linestyle=style_of[variant],
                  linewidth=1.6 if variant == labels[-1] else 1.0,
                  alpha=1.0 if variant == labels[-1] else 0.6)
            drawn += 1
        for ring, points in _floor(report, device).items():
            _plot(axes, points, color="#888888", marker="",
                  linestyle="-" if ring == "packed" else "--", linewidth=1.0,
                  label=f"floor: bare {ring} ring")
            drawn += 1
        if len(labels) > 1:
            for variant in reversed(labels):
                axes.plot([], [], color="#444444", label=f"= {variant}",
                          linestyle=style_of[variant])
        axes.set_title(TITLES[device], fontsize=10)
        axes.set_ylabel("ns per request")
        _finish(axes, batches, ticker)
    if report["lines"]:
        axes = panels[len(devices)]
        _lines_panel(axes, report)
        _finish(axes, batches, ticker)
    figure.suptitle("Time per request against batch: median and quartiles",
                    fontsize=12)
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return drawn
