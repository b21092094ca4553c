// SPDX-License-Identifier: MIT
//
// DHCP messages as they travel (RFC 2131, 2132): foreign bytes into a value, a reply into bytes.
// The awkward parts are in here: options that go on in the header's file and server name fields
// (option 52), options longer than a length byte can say (RFC 3396), the compressed domain search
// list (RFC 3397) and routes of any prefix length (RFC 3442). Values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"
#include "switch/frame/mac_address.h"
#include "switch/network/ip_address.h"
#include "switch/network/network_config.h"

namespace lanyard {

namespace dhcp_option {
constexpr std::uint8_t pad = 0;
constexpr std::uint8_t subnet_mask = 1;
constexpr std::uint8_t router = 3;
constexpr std::uint8_t dns = 6;
constexpr std::uint8_t host_name = 12;
constexpr std::uint8_t domain_name = 15;
constexpr std::uint8_t mtu = 26;
constexpr std::uint8_t broadcast = 28;
constexpr std::uint8_t ntp = 42;
constexpr std::uint8_t vendor_information = 43;
constexpr std::uint8_t requested_address = 50;
constexpr std::uint8_t lease_time = 51;
constexpr std::uint8_t overload = 52;
constexpr std::uint8_t message_type = 53;
constexpr std::uint8_t server_identifier = 54;
constexpr std::uint8_t parameter_list = 55;
constexpr std::uint8_t message = 56;
constexpr std::uint8_t message_size_max = 57;
constexpr std::uint8_t renewal_time = 58;
constexpr std::uint8_t rebinding_time = 59;
constexpr std::uint8_t vendor_class = 60;
constexpr std::uint8_t client_identifier = 61;
constexpr std::uint8_t tftp_server = 66;
constexpr std::uint8_t boot_file = 67;
constexpr std::uint8_t client_fqdn = 81;
constexpr std::uint8_t relay_information = 82;
constexpr std::uint8_t domain_search = 119;
constexpr std::uint8_t classless_routes = 121;
constexpr std::uint8_t end = 255;
}  // namespace dhcp_option

enum class DhcpType : std::uint8_t {
  discover = 1,
  offer = 2,
  request = 3,
  decline = 4,
  ack = 5,
  nak = 6,
  release = 7,
  inform = 8,
};

std::string_view text_of(DhcpType type);

struct DhcpMessage {
  static constexpr std::uint16_t kBroadcastFlag = 0x8000;
  static constexpr std::size_t kHeaderSize = 240;  // with the magic number
  static constexpr std::size_t kSizeMin = 300;     // BOOTP clients insist (RFC 1542 2.1)

  bool is_reply = false;  // op
  DhcpType type = DhcpType::discover;
  std::uint8_t hops = 0;
  std::uint32_t xid = 0;
  std::uint16_t secs = 0;
  std::uint16_t flags = 0;
  Ipv4Address ciaddr;  // the client's, when it has one
  Ipv4Address yiaddr;  // what it gets
  Ipv4Address siaddr;  // where it boots from
  Ipv4Address giaddr;  // the relay agent's
  MacAddress chaddr;
  std::string server_name;
  std::string file;
  // By code, the parts of one joined (RFC 3396); never 0, 52, 53 or 255.
  std::map<std::uint8_t, std::vector<std::uint8_t>> options;

  bool wants_broadcast() const { return (flags & kBroadcastFlag) != 0; }
  const std::vector<std::uint8_t>* option(std::uint8_t code) const;
  // nullopt when it is not there. Those that a server reads have their lengths checked.
  std::optional<Ipv4Address> address(std::uint8_t code) const;
  std::optional<std::uint32_t> number(std::uint8_t code) const;  // of 1, 2 or 4 bytes
  std::string_view text(std::uint8_t code) const;                // without NULs at its end
};

// EPROTO with what is wrong: too short, no magic number, BOOTP, another hardware, an option that
// reaches beyond the end.
Result<DhcpMessage> parse_dhcp_message(std::span<const std::uint8_t> bytes);

// The reply's bytes. Options go out in the order given, those that find no room within `size_max`
// in the file and server name fields where these are unused; what has no room even there is named.
struct DhcpBytes {
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint8_t> left_out;  // codes
};
DhcpBytes build_dhcp_message(const DhcpMessage& header, std::span<const DhcpOptionConfig> options,
                             std::size_t size_max);

// Values of options.
std::vector<std::uint8_t> dhcp_value(std::string_view text);
std::vector<std::uint8_t> dhcp_value(std::span<const Ipv4Address> addresses);
std::vector<std::uint8_t> dhcp_value(std::uint32_t number);
std::vector<std::uint8_t> dhcp_value16(std::uint16_t number);
// RFC 3397. A name that no DNS message could hold is left out.
std::vector<std::uint8_t> dhcp_search_list(std::span<const std::string> domains);
// RFC 3442; with a default route by `router`, because a client that reads this option ignores
// option 3.
std::vector<std::uint8_t> dhcp_routes(std::span<const DhcpConfig::Route> routes,
                                      std::optional<Ipv4Address> router);
// The name as DNS writes it, without compression; empty when it is none.
std::vector<std::uint8_t> dns_wire_name(std::string_view name);

}  // namespace lanyard
