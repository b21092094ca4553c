// SPDX-License-Identifier: MIT
//
// As fstat(2), by the call that takes a path, too: C libraries differ in which of the two they make
// for fstat(3), and a list of allowed system calls shall have one. Any thread.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

namespace lanyard {

inline bool file_status(int fd, struct stat& status) {
  return ::fstatat(fd, "", &status, AT_EMPTY_PATH) == 0;
}

}  // namespace lanyard
