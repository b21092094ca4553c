# SPDX-License-Identifier: MIT
#
# Python tests of the daemon as a process: one line each.
lanyard_python_test(compat/command_line_test.py)
lanyard_python_test(compat/console_test.py)
lanyard_python_test(compat/daemon_test.py)
lanyard_python_test(compat/start_and_stop_test.py)
lanyard_python_test(system/console_robustness_test.py)
lanyard_python_test(system/frames_test.py)
lanyard_python_test(system/handshake_identity_test.py)
lanyard_python_test(system/handshake_test.py)
lanyard_python_test(system/life_test.py)
lanyard_python_test(system/random_input_test.py)
lanyard_python_test(system/stations_test.py)
