// SPDX-License-Identifier: MIT
//
// Kernel settings as files below /proc/sys, named as sysctl(8) does: "net.ipv4.ip_forward", with
// '/' instead of '.' because interface names may have dots. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "switch/base/result.h"

namespace lanyard {

// The file's text without blanks at its end; nullopt when there is none or it cannot be read.
std::optional<std::string> read_setting(const std::string& path);

Result<void> write_setting(const std::string& path, std::string_view value);

// /proc/sys/net/FAMILY/conf/INTERFACE/NAME, when it is there and not yet `value`. Quietly: who has
// no right leaves it as it is. Nothing when `value` is empty.
void set_interface_sysctl(std::string_view family, std::string_view interface,
                          std::string_view name, std::string_view value);

}  // namespace lanyard
