// SPDX-License-Identifier: MIT
//
// In place of syscall_filter.cpp where libseccomp is not there.
#include <cerrno>

#include "switch/base/sandbox.h"

namespace lanyard {

Result<std::size_t> filter_system_calls(std::span<const AllowedCall>, SandboxMode) {
  return Error{ENOSYS, "system calls are not filtered: this program was built without libseccomp"};
}

}  // namespace lanyard
