// SPDX-License-Identifier: MIT
//
// Networks and forwards as JSON, for gateways and for --json. The keys are those of the TOML file
// (lanyard.toml(5)), with "name" beside them; every value is there, resolved. Reading is strict:
// unknown keys and wrong types are errors (EINVAL), what is absent has the value of an empty
// NetworkConfig. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "switch/base/result.h"
#include "switch/network/json_rpc.h"
#include "switch/network/network_config.h"

namespace lanyard {

Json to_json(const NetworkConfig& network);
Result<NetworkConfig> network_from_json(const Json& json);

// {"name": "ssh", "from": "tcp:127.0.0.1:2222", "to": "10.0.2.15:22"}
Json to_json(const ForwardConfig& forward);
Result<ForwardConfig> forward_from_json(const Json& json);

// from: [tcp:|udp:][ADDRESS:]PORT[-PORT] or unix:PATH; an IPv6 address stands in brackets. Without
// an address the host alone can connect (127.0.0.1); "*" is all of its IPv4 addresses.
// to: GUEST:PORT, a guest by address ([IPv6] in brackets) or name.
Result<ForwardConfig> parse_forward(std::string_view name, std::string_view from,
                                    std::string_view to);

// VirtualBox's "[NAME],tcp|udp,[HOST ADDRESS],HOST PORT,[GUEST ADDRESS],GUEST PORT". Without a
// host address all of the host's IPv4 addresses, without a guest one `guest` stays empty.
Result<ForwardConfig> parse_virtualbox_forward(std::string_view rule);

// What parse_forward reads back.
std::string forward_from_text(const ForwardConfig& forward);
std::string forward_to_text(const ForwardConfig& forward);

// "nat", "host-only", "routed", "internal".
std::string_view kind_text(NetworkKind kind);
// "direct", "libslirp".
std::string_view engine_text(TcpEngineKind engine);

}  // namespace lanyard
