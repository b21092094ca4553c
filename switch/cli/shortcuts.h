// SPDX-License-Identifier: MIT
//
// Words of the command line that are no method of the daemon: what starts one, asks about files, or
// prints lines to paste. One row each: help, manual and completion come from it. Any thread.
#pragma once

#include <span>
#include <string_view>

namespace lanyard {

struct Shortcut {
  std::string_view name;
  std::string_view arguments;  // "[FILE]"
  std::string_view completes;  // as RpcParameter::completes
  std::size_t arguments_max = 0;
  std::string_view method;  // of the daemon, when it is only a shorter word for it
  std::string_view help;
};

std::span<const Shortcut> shortcuts();
const Shortcut* find_shortcut(std::string_view name);

}  // namespace lanyard
