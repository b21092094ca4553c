# SPDX-License-Identifier: MIT
#
# How the sources look. One script a rule; a script that cannot run says why and counts as skipped.
foreach(rule format shellcheck sizes spdx text)
  add_test(NAME style/${rule} COMMAND ${CMAKE_CURRENT_LIST_DIR}/style/${rule})
  set_tests_properties(style/${rule} PROPERTIES LABELS style TIMEOUT 120 SKIP_RETURN_CODE 77)
endforeach()
