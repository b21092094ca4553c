// SPDX-License-Identifier: MIT
//
// In place of pcap.cpp and pcap_files.cpp where libpcap is missing.
#include <cerrno>

#include "switch/base/text.h"
#include "switch/runtime/backend.h"

namespace lanyard {
namespace {

Result<void> open(const BackendOptions& options, Patchbay&) {
  return Error{ENOTSUP,
               fmt::format("{}: this was built without libpcap (libpcap-dev)", options.kind())};
}

}  // namespace

extern const Backend pcap_backend;
const Backend pcap_backend{"pcap", "pcap://INTERFACE", "not in this build: libpcap is missing",
                           &open};
extern const Backend replay_backend;
const Backend replay_backend{"replay", "replay://FILE", "not in this build: libpcap is missing",
                             &open};
extern const Backend record_backend;
const Backend record_backend{"record", "record://FILE", "not in this build: libpcap is missing",
                             &open};

}  // namespace lanyard
