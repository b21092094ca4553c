// SPDX-License-Identifier: MIT
//
// What a client is told besides its address: the options of a reply in the order in which they
// deserve the room, and the boot fields of its header.
//
// Always sent: type, server, mask, times, and back to the client what it said of itself (RFC 6842,
// RFC 4702, RFC 3046). The rest is sent when it is in the parameter request list, or all of it when
// there is none (RFC 2131 4.3.1); a boot ROM gets what it boots by even if it did not ask. A host's
// option wins over the network's, and that over what we would say ourselves; one without bytes is a
// wish not to say it. A value; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/gateway/dhcp_message.h"
#include "switch/network/network_config.h"

namespace lanyard {

struct DhcpReplyFacts {
  const NetworkConfig& config;
  const HostConfig* host = nullptr;  // of the configuration; nullptr
  const DhcpMessage& request;
  DhcpType type = DhcpType::offer;  // offer, or ack
  Ipv4Address server;
  std::optional<std::uint32_t> lease_time_s;  // none for INFORM
  std::string name;                           // what the guest is called; empty
};

// Whether the request comes from a boot ROM: PXE, or UEFI's HTTP boot.
bool is_boot_client(const DhcpMessage& request);

std::vector<DhcpOptionConfig> dhcp_reply_options(const DhcpReplyFacts& facts);
// Sets siaddr, file and server name.
void set_boot_fields(const DhcpReplyFacts& facts, DhcpMessage& reply);
// What a refusal says.
std::vector<DhcpOptionConfig> dhcp_nak_options(const DhcpMessage& request, Ipv4Address server,
                                               std::string_view why);

}  // namespace lanyard
