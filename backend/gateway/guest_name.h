// SPDX-License-Identifier: MIT
//
// What a guest calls itself, and whether it may: the name ends up in DNS answers, in file names and
// on terminals, and comes from a machine that is not trusted. A value; any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "backend/gateway/dhcp_message.h"

namespace lanyard {

// The label in lower case; nullopt when it is no host name (RFC 1123 2.1), has only digits (would
// read as an address) or is one that programs trust: localhost, wpad, isatap.
std::optional<std::string> guest_label(std::string_view text);

// Of option 81, which says more, or option 12.
std::optional<std::string> guest_name(const DhcpMessage& request);

// `wanted` or wanted-2, wanted-3, ... wanted-99, whichever nobody has; empty when all are taken.
std::string unique_guest_name(const std::string& wanted,
                              const std::function<bool(const std::string&)>& is_taken);

}  // namespace lanyard
