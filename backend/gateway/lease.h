// SPDX-License-Identifier: MIT
//
// An address and who has it, as shown to people and kept in the lease file. A value; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "switch/frame/mac_address.h"
#include "switch/network/ip_address.h"
#include "switch/network/json_rpc.h"

namespace lanyard {

enum class LeaseState : std::uint8_t {
  offered,   // for a few seconds, until the client asks for it
  bound,     // its client's, until it expires
  declined,  // somebody else uses it; nobody gets it for a while
  reserved,  // for a host of the configuration that has not asked yet
  expired,   // free, but its last client gets it back when it can
};

std::string_view text_of(LeaseState state);

struct Lease {
  Ipv4Address address;
  MacAddress mac;
  // The bytes of option 61; hardware type and address when the client sent none. They are what the
  // client is known by (RFC 2131 4.2).
  std::string client_id;
  std::string name;  // a label in lower case; empty
  LeaseState state = LeaseState::bound;
  std::int64_t expires_s = 0;      // Unix time; 0 when never (reserved)
  std::uint32_t lease_time_s = 0;  // what was granted: more than this cannot be left

  friend bool operator==(const Lease&, const Lease&) = default;
};

// A row of lease.list, but for the network's name.
Json to_json(const Lease& lease);

}  // namespace lanyard
