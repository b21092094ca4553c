// SPDX-License-Identifier: MIT
//
// The spawner's part for sockets' directories: makes, claims and removes those that its daemon asks
// for.
//
// What makes it hard: the daemon may have been taken over by a guest, and a directory that is made,
// opened to a group or removed where it likes would be worth much to it. So from the moment at
// which it confines itself directories are only below those that it has named before, whatever
// links lead there, and what is done in one is done only in one that was claimed. One thread.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "switch/base/socket_directory.h"
#include "switch/daemon/spawner_message.h"

namespace lanyard {

class SpawnerDirectories {
 public:
  explicit SpawnerDirectories(Log& log) : maker_(log) {}

  // Of the kinds for directories.
  Result<SpawnerAnswer> perform(const SpawnerRequest& request);
  // Nothing is allowed or adopted from here on.
  void settle() { settled_ = true; }

 private:
  Result<void> check(const std::string& path) const;
  Result<SpawnerAnswer> claim(const std::string& path);
  Result<SpawnerAnswer> listen(const SpawnerRequest& request);
  Result<void> clean(const std::string& path, bool remove);

  OwnSocketDirectories maker_;
  std::vector<std::string> allowed_;
  std::set<std::string> claimed_;
  bool settled_ = false;
};

// The directory in which `path` is, without links as far as there are any.
std::string real_directory_of(const std::string& path);
// Both without links.
bool is_below(const std::string& path, const std::string& directory);

}  // namespace lanyard
