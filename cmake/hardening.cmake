# SPDX-License-Identifier: MIT
#
# What Debian's hardening=+all gives, whoever builds it; sanitizers instead when they are asked for.
include(CheckPIESupported)
check_pie_supported(LANGUAGES C CXX)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(LANYARD_SANITIZE)
  add_compile_options(-fsanitize=${LANYARD_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  string(REPLACE "fuzzer-no-link," "" lanyard_link_sanitizers "${LANYARD_SANITIZE}")
  add_link_options(-fsanitize=${lanyard_link_sanitizers})
else()
  add_compile_options(-fstack-protector-strong -fstack-clash-protection -fcf-protection
                      $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
  add_link_options(LINKER:-z,relro,-z,now LINKER:--as-needed)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
endif()
