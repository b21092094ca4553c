# SPDX-License-Identifier: MIT
#
# What `cmake --install` and the Debian package hold, and where.
#
# Nothing here depends on the architecture but the programs, so the pkg-config file and the CMake
# package lie below share/; both find the prefix from where they lie, so a tree installed with
# another --prefix is right, too.
include(CMakePackageConfigHelpers)

set(LANYARD_PLUGIN_DIR lib/lanyard/plugins)  # relative to the prefix, where vde2 has lib/vde2/plugins

install(TARGETS lanyard lanyardd lanyard-gateway RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
# Printed by the program, so that it is that of this version.
add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/completions/lanyard
  COMMAND ${CMAKE_COMMAND} -E make_directory completions
  COMMAND lanyard completion bash > completions/lanyard
  DEPENDS lanyard VERBATIM)
add_custom_target(lanyard_completion ALL DEPENDS ${PROJECT_BINARY_DIR}/completions/lanyard)
install(FILES ${PROJECT_BINARY_DIR}/completions/lanyard
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
# A symbolic link, and installed as one.
install(FILES ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/vde_switch DESTINATION ${CMAKE_INSTALL_BINDIR})

# The plugin interface; the plugins themselves are plugins/CMakeLists.txt's.
install(FILES plugins/lanyard_plugin.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lanyard)

configure_file(cmake/package/lanyard.pc.in lanyard.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lanyard.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)

set(lanyard_cmake_dir ${CMAKE_INSTALL_DATADIR}/cmake/lanyard)
configure_package_config_file(cmake/package/lanyard-config.cmake.in lanyard-config.cmake
  INSTALL_DESTINATION ${lanyard_cmake_dir} PATH_VARS LANYARD_PLUGIN_DIR CMAKE_INSTALL_INCLUDEDIR
  NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(lanyard-config-version.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/lanyard-config.cmake
              ${PROJECT_BINARY_DIR}/lanyard-config-version.cmake
        DESTINATION ${lanyard_cmake_dir})

# ---- the Debian package ----

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME lanyard)
set(CPACK_PACKAGE_CONTACT "The Lanyard authors <lanyard@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "networks and a virtual Ethernet switch for virtual machines")
set(CPACK_PACKAGE_DESCRIPTION "\
Lanyard gives virtual machines NAT networks with DHCP, DNS and forwarded
ports, host-only and routed networks, and networks among guests; the NAT
networks need no right. The command lanyard starts and shows them.
.
Underneath is a virtual Ethernet switch for QEMU, VirtualBox and User-Mode
Linux guests, TAP interfaces of the host and the programs of the VDE family.
It learns addresses, keeps VLANs apart, counts every frame, and lets no slow
or dead guest hold up the others.
.
The package takes the place of vde-switch: the program vde_switch has the
same options, the same management console and the same sockets, so guests
and scripts go on unchanged. Plugins compiled for it load. Its spanning tree
is that of the standard, and speaks the dialect of the original to it.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# vde2 depends on vde-switch, whatever its version; before this one it held the program itself.
set(CPACK_DEBIAN_PACKAGE_PROVIDES "vde-switch (= 2.3.2)")
set(CPACK_DEBIAN_PACKAGE_CONFLICTS "vde-switch")
set(CPACK_DEBIAN_PACKAGE_BREAKS "vde2 (<< 2.3.2+r586-3)")
set(CPACK_DEBIAN_PACKAGE_REPLACES "vde-switch, vde2 (<< 2.3.2+r586-3)")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "qemu-system, vde2, vdeplug")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# What Debian wants to find in every package.
configure_file(cmake/package/changelog.in changelog.Debian @ONLY)
add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/changelog.Debian.gz
  COMMAND ${LANYARD_GZIP} -9nc changelog.Debian > changelog.Debian.gz
  DEPENDS ${PROJECT_BINARY_DIR}/changelog.Debian VERBATIM)
add_custom_target(lanyard_changelog ALL DEPENDS ${PROJECT_BINARY_DIR}/changelog.Debian.gz)
install(FILES ${PROJECT_BINARY_DIR}/changelog.Debian.gz cmake/package/copyright
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/lanyard)
install(FILES README.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/lanyard)
# The manual and the README name them: units, labs, a plugin to start from.
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/lanyard USE_SOURCE_PERMISSIONS)

include(CPack)
