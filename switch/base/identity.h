// SPDX-License-Identifier: MIT
//
// Who is at the other end of a socket, as the kernel says and not as the client claims. A value.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <vector>

namespace lanyard {

constexpr uid_t kNoUser = static_cast<uid_t>(-1);
constexpr gid_t kNoGroup = static_cast<gid_t>(-1);

struct Identity {
  uid_t uid = kNoUser;
  gid_t gid = kNoGroup;
  pid_t pid = 0;
  std::vector<gid_t> groups;  // supplementary

  bool in_group(gid_t group) const {
    return gid == group || std::find(groups.begin(), groups.end(), group) != groups.end();
  }
};

}  // namespace lanyard
