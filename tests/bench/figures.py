# SPDX-License-Identifier: GPL-2.0-or-later
"""What tables of measurements are made of."""

import statistics


def median(rows, key):
    """Of the rows that have it; None if none has."""
    values = [r[key] for r in rows if r[key] is not None]
    return statistics.median(values) if values else None


def text(value):
    """A cell."""
    if value is None:
        return '-'
    return '%.2f' % value if value < 10 else '%.0f' % value
