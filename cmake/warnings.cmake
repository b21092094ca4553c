# SPDX-License-Identifier: MIT
add_compile_options(-Wall -Wextra -Wpedantic $<$<COMPILE_LANGUAGE:CXX>:-Wshadow> -Wconversion)
