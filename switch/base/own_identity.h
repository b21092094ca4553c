// SPDX-License-Identifier: MIT
//
// Who this process is. It stays who it was started as, so the kernel has told it with its start
// (getauxval(3)), and no system call is needed to know. Any thread.
#pragma once

#include <sys/auxv.h>
#include <sys/types.h>

namespace lanyard {

inline uid_t own_user() {
  return static_cast<uid_t>(::getauxval(AT_EUID));
}

inline gid_t own_group() {
  return static_cast<gid_t>(::getauxval(AT_EGID));
}

}  // namespace lanyard
