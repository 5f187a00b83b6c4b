# SPDX-License-Identifier: GPL-2.0-or-later
"""Sphinx configuration of Vadis's own pages (scripts/docs-build)."""

import pathlib

TOP = pathlib.Path(__file__).resolve().parents[2]

project = 'Vadis'
author = 'The Vadis developers'
copyright = 'the Vadis developers, GPL-2.0-or-later'
version = release = (TOP / 'VERSION').read_text().strip()
root_doc = 'vadis/index'
# Laid over QEMU's own documentation these pages are reached from its trees;
# the two list pages exist for that alone.
exclude_patterns = ['system/devices/vadis.rst', 'specs/vadis.rst']
nitpicky = True
html_theme = 'sphinx_rtd_theme'
html_show_copyright = False
