# SPDX-License-Identifier: MIT
#
# Python tests of the daemon as a process: one line each.
