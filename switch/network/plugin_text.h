// SPDX-License-Identifier: MIT
//
// A plugin of a network as a configuration names it: "pdump; pdump/ports 3; pdump/active 1". First
// the plugin, by its name or by an absolute path; then, behind semicolons, what is said to it once
// it is loaded, in the words of the console. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"

namespace lanyard {

struct PluginText {
  std::string file;
  std::vector<std::string> commands;
};

Result<PluginText> parse_plugin_text(std::string_view text);

// What the file is called, without directories and ".so": two of the same are the same plugin.
std::string_view plugin_stem(std::string_view file);

}  // namespace lanyard
