// SPDX-License-Identifier: MIT
//
// The lines that plug a VM into networks, for each hypervisor that can. MAC addresses follow from
// the names of VM and network, so that the same line comes out every time and two VMs never have
// the one address that QEMU gives to all. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "switch/frame/mac_address.h"

namespace lanyard {

struct PlugPlace {
  std::string network;
  std::string socket;     // the VDE directory
  std::string interface;  // of the host; empty when there is none
};

// 52:54:00 and three octets of a hash.
MacAddress vm_mac(std::string_view vm, std::string_view network);

// "-netdev vde,id=n0,sock=/run/lanyard/lab -device virtio-net-pci,netdev=n0,mac=..."
std::string qemu_line(const PlugPlace& place, std::size_t index, std::string_view vm);

// Each with a newline at its end.
std::string virtualbox_lines(const std::vector<PlugPlace>& places, std::string_view vm);
std::string libvirt_lines(const std::vector<PlugPlace>& places, std::string_view vm);

}  // namespace lanyard
