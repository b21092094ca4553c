# SPDX-License-Identifier: MIT
#
# The man pages against the tables of the program, and their language against mandoc.
add_executable(lanyard_man_test man_test.cpp)
target_link_libraries(lanyard_man_test PRIVATE lanyard_cli lanyard_core GTest::gtest_main)
target_compile_definitions(lanyard_man_test PRIVATE LANYARD_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
gtest_discover_tests(lanyard_man_test TEST_PREFIX man/ PROPERTIES LABELS unit TIMEOUT 60)

add_test(NAME man/lint COMMAND ${CMAKE_CURRENT_LIST_DIR}/man_lint)
set_tests_properties(man/lint PROPERTIES LABELS style TIMEOUT 60 SKIP_RETURN_CODE 77)
