// SPDX-License-Identifier: MIT
//
// As write(2), by the call that frames for a TAP need anyway: a list of allowed system calls has
// one of the two. Any thread.
#pragma once

#include <sys/uio.h>

#include <cstddef>

namespace lanyard {

inline ssize_t write_bytes(int fd, const void* bytes, std::size_t size) {
  const iovec one{const_cast<void*>(bytes), size};
  return ::writev(fd, &one, 1);
}

}  // namespace lanyard
