// SPDX-License-Identifier: MIT
//
// In place of plug_library.cpp where libvdeplug is missing.
#include <cerrno>

#include "backend/plug_library.h"
#include "switch/base/text.h"

namespace lanyard {

Result<std::unique_ptr<CableAttempt>> begin_plug_library(const std::string& url, EventLoop&,
                                                         CableDone) {
  return Error{ENOTSUP,
               fmt::format("plug: '{}' is libvdeplug's to open, and this was built without "
                           "it (libvdeplug-dev); without it, plug takes the directories "
                           "of VDE switches",
                           printable(url))};
}

}  // namespace lanyard
