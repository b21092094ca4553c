// SPDX-License-Identifier: MIT
//
// What the target of plug:// names: the directory of a VDE switch, with the options that vdeplug's
// programs write in brackets behind it, or anything else that libvdeplug knows.
//
// A path needs no library, so it is read here; all other addresses are libvdeplug's to understand
// and pass as they are. No sockets; any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "switch/base/result.h"

namespace lanyard {

// /run/lab, vde:///run/lab, /run/lab[5], /run/lab[guests/mode=660/group=kvm].
struct VdeAddress {
  std::string directory;
  std::optional<std::uint32_t> port;  // of the other switch; nullopt: any
  std::string port_group;             // a socket beside `ctl`, tried first; may be empty
  std::optional<mode_t> mode;         // of the data sockets
  std::string group;                  // of ours; may be empty
};

struct PlugTarget {
  std::string text;  // as it was given
  std::optional<VdeAddress> vde;
  std::string vnl;  // virtual network locator of libvdeplug, when it is not a VDE switch
};

Result<PlugTarget> parse_plug_target(std::string_view text);

}  // namespace lanyard
