# SPDX-License-Identifier: GPL-2.0-or-later
"""What the demo, the benchmarks and the system tests share: starting a
Tidemark (or a QEMU), talking QMP and qtest to it, and boot sectors."""
