// SPDX-License-Identifier: MIT
//
// Which file a plugin's name means, and whether it may be loaded. A plugin runs with all rights of
// the daemon, so a daemon that has more than its user's loads only what nobody but root could have
// put there. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"
#include "switch/network/network_config.h"

namespace lanyard {

// VDE's places (the name as it is, ~/.vde2/plugins, /usr/lib/vde2/plugins), then ours.
std::vector<std::string> plugin_directories();

// The file, without symbolic links in its path; NAME and NAME.so are tried in each place. ENOENT
// names the places.
Result<std::string> find_plugin(std::string_view name, const std::vector<std::string>& directories);

// The same for a plugin of our interface where nobody is at a console: a name is looked for in our
// place only, and anything else must be an absolute path.
Result<std::string> find_our_plugin(std::string_view name);

// Whether the process has rights that its user has not: root, or any capability.
bool is_privileged();

// EACCES, with the reason, when somebody but root could change the file or the way to it. The path
// must be absolute and without symbolic links.
Result<void> check_only_root_writes(const std::string& path);

// What keeps the plugins of a configuration from being loaded by this process, a sentence each.
std::vector<std::string> plugin_file_problems(const Configuration& configuration);

}  // namespace lanyard
